-- Conversations. All but the keys are facts: the triggers of mail_messages keep them equal to what a thread's messages say.
CREATE TABLE "@schema@"."@prefix@mail_threads" (
  thread_id          uuid NOT NULL DEFAULT pg_catalog.gen_random_uuid(),
  org_id             uuid NOT NULL,
  mailbox_id         uuid NOT NULL,
  provider_thread_id text COLLATE "C" NOT NULL CHECK (provider_thread_id <> ''),
  subject            text,
  snippet            text,
  participant_emails text[] NOT NULL DEFAULT '{}',
  message_count      bigint NOT NULL DEFAULT 0,
  has_attachments    boolean NOT NULL DEFAULT false,
  first_message_at   timestamptz,
  last_message_at    timestamptz,
  is_read            boolean NOT NULL DEFAULT true,
  label_ids          text[] NOT NULL DEFAULT '{}',
  import_job_id      uuid,
  created_at         timestamptz NOT NULL DEFAULT pg_catalog.now(),
  CONSTRAINT "@prefix@mail_threads_provider_key" UNIQUE (mailbox_id, provider_thread_id),
  CONSTRAINT "@prefix@mail_threads_mailbox_fkey" FOREIGN KEY (org_id, mailbox_id)
    REFERENCES "@schema@"."@prefix@mailboxes" (org_id, mailbox_id)
);
-- For lists of threads, the latest first: read backwards.
CREATE INDEX "@prefix@mail_threads_listing_idx" ON "@schema@"."@prefix@mail_threads" (mailbox_id, last_message_at);
CREATE INDEX "@prefix@mail_threads_job_idx" ON "@schema@"."@prefix@mail_threads" (import_job_id);
-- What messages refer to, so that none is in another org's thread; and the primary key, last of all: while a table has few rows
-- and no statistics, of indexes that seem equal Postgres takes the one made last, and a session keeps the plan of a foreign key's
-- check. By an index that begins with the mailbox, each check of a long first import would read the mailbox.
ALTER TABLE "@schema@"."@prefix@mail_threads"
  ADD CONSTRAINT "@prefix@mail_threads_org_thread_key" UNIQUE (thread_id, org_id, mailbox_id);
ALTER TABLE "@schema@"."@prefix@mail_threads" ADD CONSTRAINT "@prefix@mail_threads_pkey" PRIMARY KEY (thread_id);
COMMENT ON TABLE "@schema@"."@prefix@mail_threads" IS
  'Conversations, each once per mailbox and provider''s id. What is said of a thread is kept by the triggers of mail_messages, whose writers so need SELECT and UPDATE here.';
COMMENT ON COLUMN "@schema@"."@prefix@mail_threads".provider_thread_id IS 'The provider''s own id, compared byte by byte.';
COMMENT ON COLUMN "@schema@"."@prefix@mail_threads".subject IS 'Of the earliest message that has one; a message without a time comes after all others.';
COMMENT ON COLUMN "@schema@"."@prefix@mail_threads".snippet IS 'Of the latest message that has one; a message without a time counts as the earliest.';
COMMENT ON COLUMN "@schema@"."@prefix@mail_threads".participant_emails IS 'From, to, cc and bcc of all messages, sorted byte by byte, each once.';
COMMENT ON COLUMN "@schema@"."@prefix@mail_threads".has_attachments IS 'Whether a message is known to have one.';
COMMENT ON COLUMN "@schema@"."@prefix@mail_threads".first_message_at IS
  'The time of a message is when the provider received it (internal_date), else its header''s (sent_at). NULL where no message has one.';
COMMENT ON COLUMN "@schema@"."@prefix@mail_threads".last_message_at IS 'As first_message_at.';
COMMENT ON COLUMN "@schema@"."@prefix@mail_threads".is_read IS 'Whether no message has the label UNREAD.';
COMMENT ON COLUMN "@schema@"."@prefix@mail_threads".label_ids IS 'The labels of all messages, sorted byte by byte, each once.';
COMMENT ON COLUMN "@schema@"."@prefix@mail_threads".import_job_id IS 'The job that inserted the row.';

ALTER TABLE "@schema@"."@prefix@mail_threads" ENABLE ROW LEVEL SECURITY;
CREATE POLICY "members_read" ON "@schema@"."@prefix@mail_threads" FOR SELECT USING (
  org_id IN (SELECT m.org_id FROM "@schema@"."@prefix@mail_members" m
             WHERE m.role IN (SELECT r.rolname FROM pg_catalog.pg_roles r WHERE pg_catalog.pg_has_role(r.oid, 'MEMBER'))));
-- Checked before any unique key is, so that a row put into another's mailbox does not tell what that holds.
CREATE POLICY "members_insert" ON "@schema@"."@prefix@mail_threads" FOR INSERT WITH CHECK (
  mailbox_id IN (SELECT b.mailbox_id FROM "@schema@"."@prefix@mailboxes" b) AND
  org_id IN (SELECT m.org_id FROM "@schema@"."@prefix@mail_members" m
             WHERE m.role IN (SELECT r.rolname FROM pg_catalog.pg_roles r WHERE pg_catalog.pg_has_role(r.oid, 'MEMBER'))));
CREATE POLICY "members_update" ON "@schema@"."@prefix@mail_threads" FOR UPDATE USING (
  org_id IN (SELECT m.org_id FROM "@schema@"."@prefix@mail_members" m
             WHERE m.role IN (SELECT r.rolname FROM pg_catalog.pg_roles r WHERE pg_catalog.pg_has_role(r.oid, 'MEMBER')))) WITH CHECK (
  mailbox_id IN (SELECT b.mailbox_id FROM "@schema@"."@prefix@mailboxes" b) AND
  org_id IN (SELECT m.org_id FROM "@schema@"."@prefix@mail_members" m
             WHERE m.role IN (SELECT r.rolname FROM pg_catalog.pg_roles r WHERE pg_catalog.pg_has_role(r.oid, 'MEMBER'))));
CREATE POLICY "members_delete" ON "@schema@"."@prefix@mail_threads" FOR DELETE USING (
  org_id IN (SELECT m.org_id FROM "@schema@"."@prefix@mail_members" m
             WHERE m.role IN (SELECT r.rolname FROM pg_catalog.pg_roles r WHERE pg_catalog.pg_has_role(r.oid, 'MEMBER'))));
