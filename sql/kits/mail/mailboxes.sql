-- Accounts that mail is read from, and how far the reading has come.
CREATE TABLE "@schema@"."@prefix@mailboxes" (
  mailbox_id         uuid PRIMARY KEY DEFAULT pg_catalog.gen_random_uuid(),
  org_id             uuid NOT NULL,
  provider           text NOT NULL DEFAULT 'gmail',
  provider_email     text NOT NULL CHECK (provider_email <> ''),
  status             text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'paused', 'error', 'disconnected')),
  blob_storage       text NOT NULL DEFAULT 'embedded' CHECK (blob_storage IN ('embedded', 'external')),
  last_history_id    bigint,
  last_synced_at     timestamptz CHECK (pg_catalog.isfinite(last_synced_at)),
  sync_error_message text,
  created_at         timestamptz NOT NULL DEFAULT pg_catalog.now(),
  CONSTRAINT "@prefix@mailboxes_org_email_key" UNIQUE (org_id, provider_email),
  -- What threads refer to, so that a row's org is that of its mailbox.
  CONSTRAINT "@prefix@mailboxes_org_mailbox_key" UNIQUE (org_id, mailbox_id)
);
COMMENT ON TABLE "@schema@"."@prefix@mailboxes" IS
  'Mail accounts, each once per org and address. Two orgs may read one account, and each has its own copy.';
COMMENT ON COLUMN "@schema@"."@prefix@mailboxes".blob_storage IS
  'Where new attachments are kept: embedded is in mail_blobs, external is outside of the database.';
COMMENT ON COLUMN "@schema@"."@prefix@mailboxes".last_history_id IS
  'Up to where the provider''s history has been read; NULL before the first full reading is complete.';
COMMENT ON COLUMN "@schema@"."@prefix@mailboxes".sync_error_message IS 'Why the last reading failed; NULL after one that did not.';

ALTER TABLE "@schema@"."@prefix@mailboxes" ENABLE ROW LEVEL SECURITY;
CREATE POLICY "members_read" ON "@schema@"."@prefix@mailboxes" FOR SELECT USING (
  org_id IN (SELECT m.org_id FROM "@schema@"."@prefix@mail_members" m
             WHERE m.role IN (SELECT r.rolname FROM pg_catalog.pg_roles r WHERE pg_catalog.pg_has_role(r.oid, 'MEMBER'))));
CREATE POLICY "members_insert" ON "@schema@"."@prefix@mailboxes" FOR INSERT WITH CHECK (
  org_id IN (SELECT m.org_id FROM "@schema@"."@prefix@mail_members" m
             WHERE m.role IN (SELECT r.rolname FROM pg_catalog.pg_roles r WHERE pg_catalog.pg_has_role(r.oid, 'MEMBER'))));
CREATE POLICY "members_update" ON "@schema@"."@prefix@mailboxes" FOR UPDATE USING (
  org_id IN (SELECT m.org_id FROM "@schema@"."@prefix@mail_members" m
             WHERE m.role IN (SELECT r.rolname FROM pg_catalog.pg_roles r WHERE pg_catalog.pg_has_role(r.oid, 'MEMBER'))));
CREATE POLICY "members_delete" ON "@schema@"."@prefix@mailboxes" FOR DELETE USING (
  org_id IN (SELECT m.org_id FROM "@schema@"."@prefix@mail_members" m
             WHERE m.role IN (SELECT r.rolname FROM pg_catalog.pg_roles r WHERE pg_catalog.pg_has_role(r.oid, 'MEMBER'))));
