-- Messages, and what keeps the facts of their threads.
CREATE TABLE "@schema@"."@prefix@mail_messages" (
  message_id          uuid NOT NULL DEFAULT pg_catalog.gen_random_uuid(),
  org_id              uuid NOT NULL,
  mailbox_id          uuid NOT NULL,
  thread_id           uuid NOT NULL,
  provider_message_id text COLLATE "C" NOT NULL CHECK (provider_message_id <> ''),
  history_id          bigint,
  from_email          text,
  from_name           text,
  to_emails           text[],
  cc_emails           text[],
  bcc_emails          text[],
  subject             text,
  snippet             text,
  body_plain          text,
  body_html           text,
  sent_at             timestamptz CHECK (pg_catalog.isfinite(sent_at)),
  internal_date       timestamptz CHECK (pg_catalog.isfinite(internal_date)),
  raw_headers         jsonb CHECK (pg_catalog.jsonb_typeof(raw_headers) = 'array'),
  label_ids           text[],
  has_attachments     boolean,
  size_estimate       bigint CHECK (size_estimate >= 0),
  import_job_id       uuid,
  created_at          timestamptz NOT NULL DEFAULT pg_catalog.now(),
  CONSTRAINT "@prefix@mail_messages_provider_key" UNIQUE (mailbox_id, provider_message_id),
  CONSTRAINT "@prefix@mail_messages_thread_fkey" FOREIGN KEY (org_id, mailbox_id, thread_id)
    REFERENCES "@schema@"."@prefix@mail_threads" (org_id, mailbox_id, thread_id)
);
CREATE INDEX "@prefix@mail_messages_job_idx" ON "@schema@"."@prefix@mail_messages" (import_job_id);
-- By the thread alone, so that no other index seems as good for its facts.
CREATE INDEX "@prefix@mail_messages_thread_idx" ON "@schema@"."@prefix@mail_messages" (thread_id);
-- What attachments refer to, and the primary key: last of all, as in mail_threads.
ALTER TABLE "@schema@"."@prefix@mail_messages"
  ADD CONSTRAINT "@prefix@mail_messages_org_message_key" UNIQUE (message_id, org_id, mailbox_id);
ALTER TABLE "@schema@"."@prefix@mail_messages" ADD CONSTRAINT "@prefix@mail_messages_pkey" PRIMARY KEY (message_id);
-- Bodies are most of what is written, and pglz, Postgres's own compression, would take a quarter of an import's time.
DO $once$
BEGIN
  IF EXISTS (SELECT FROM pg_catalog.pg_settings s WHERE s.name = 'default_toast_compression' AND 'lz4' = ANY (s.enumvals)) THEN
    ALTER TABLE "@schema@"."@prefix@mail_messages" ALTER COLUMN body_plain SET COMPRESSION lz4,
      ALTER COLUMN body_html SET COMPRESSION lz4, ALTER COLUMN raw_headers SET COMPRESSION lz4;
  END IF;
END
$once$;
COMMENT ON TABLE "@schema@"."@prefix@mail_messages" IS
  'Messages, each once per mailbox and provider''s id. To write them takes SELECT on this table and mailboxes, SELECT and UPDATE on mail_threads: their triggers keep the threads'' facts with the writer''s rights.';
COMMENT ON COLUMN "@schema@"."@prefix@mail_messages".provider_message_id IS 'The provider''s own id, compared byte by byte.';
COMMENT ON COLUMN "@schema@"."@prefix@mail_messages".history_id IS 'The provider''s number of the last change that is in this row: the newest labels stay.';
COMMENT ON COLUMN "@schema@"."@prefix@mail_messages".sent_at IS 'The header Date, which is whatever the sender says.';
COMMENT ON COLUMN "@schema@"."@prefix@mail_messages".internal_date IS 'When the provider received it; the time of the message, where it is known.';
COMMENT ON COLUMN "@schema@"."@prefix@mail_messages".raw_headers IS
  'All headers as an array of [name, value] in their order, since some occur more than once.';
COMMENT ON COLUMN "@schema@"."@prefix@mail_messages".label_ids IS 'The provider''s labels; UNREAD is one.';
COMMENT ON COLUMN "@schema@"."@prefix@mail_messages".has_attachments IS 'NULL while that is unknown: only the metadata was fetched.';
COMMENT ON COLUMN "@schema@"."@prefix@mail_messages".size_estimate IS 'In bytes, as the provider puts it.';
COMMENT ON COLUMN "@schema@"."@prefix@mail_messages".import_job_id IS 'The job that inserted the row.';

-- Keeps the facts of the threads that a statement has touched. Planned anew each time: a plan from when the table was
-- empty would read all of it, for each batch of a long first import.
CREATE FUNCTION "@schema@"."@prefix@mail_messages_facts"() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_custom_plan SET jit = off AS $once$
DECLARE
  touched uuid[];
  reached uuid[];
BEGIN
  IF TG_OP = 'INSERT' THEN
    SELECT array_agg(DISTINCT n.thread_id) INTO touched FROM new_messages n;
  ELSIF TG_OP = 'DELETE' THEN
    SELECT array_agg(DISTINCT o.thread_id) INTO touched FROM old_messages o;
  ELSIF TG_OP = 'UPDATE' THEN
    -- A full join, since message_id may itself be what has changed.
    SELECT array_agg(DISTINCT both_ends.thread_id) INTO touched
    FROM old_messages o FULL JOIN new_messages n USING (message_id)
    CROSS JOIN LATERAL (VALUES (o.thread_id), (n.thread_id)) both_ends (thread_id)
    WHERE both_ends.thread_id IS NOT NULL
      AND (o.thread_id, o.provider_message_id, o.internal_date, o.sent_at, o.subject, o.snippet, o.from_email,
           o.to_emails, o.cc_emails, o.bcc_emails, o.label_ids, o.has_attachments)
          IS DISTINCT FROM
          (n.thread_id, n.provider_message_id, n.internal_date, n.sent_at, n.subject, n.snippet, n.from_email,
           n.to_emails, n.cc_emails, n.bcc_emails, n.label_ids, n.has_attachments);
  ELSE
    -- TRUNCATE heeds no policy, but what follows does.
    IF row_security_active(to_regclass(format('%I.%I', TG_TABLE_SCHEMA, '@prefix@mail_threads'))) THEN
      RAISE EXCEPTION USING ERRCODE = 'insufficient_privilege',
        MESSAGE = 'the messages of all orgs can only be truncated by who sees all threads',
        DETAIL = 'Row-level security hides threads from you, and their facts would be left as they are.',
        HINT = 'DELETE your own messages, or let the owner of the tables TRUNCATE them.';
    END IF;
    SELECT array_agg(t.thread_id) INTO touched FROM "@schema@"."@prefix@mail_threads" t;
  END IF;
  IF touched IS NULL THEN
    RETURN NULL;
  END IF;

  -- In order, so that two writers can't wait for each other; and in a statement of its own, so that the next one sees
  -- what those have committed that this one waited for.
  SELECT coalesce(array_agg(locked.thread_id), '{}') INTO reached
  FROM (SELECT t.thread_id FROM "@schema@"."@prefix@mail_threads" t
        WHERE t.thread_id = ANY (touched) ORDER BY t.thread_id FOR NO KEY UPDATE) locked;
  -- Those that a statement has deleted together with their messages are gone; others, only a policy can keep away.
  IF cardinality(reached) < cardinality(touched) AND EXISTS (
       SELECT FROM "@schema@"."@prefix@mail_messages" m
       WHERE m.thread_id = ANY (touched) AND m.thread_id <> ALL (reached)) THEN
    RAISE EXCEPTION USING ERRCODE = 'insufficient_privilege',
      MESSAGE = 'the messages are of threads that can''t be updated',
      DETAIL = 'A policy on the threads keeps them from you, and their facts would be left as they are.',
      HINT = 'Let the policies on threads be no narrower than those on messages.';
  END IF;

  -- A thread is written where its facts differ; and after an UPDATE always, or a transaction under REPEATABLE READ,
  -- which does not see that update, could not notice it and would keep facts by what it does see.
  UPDATE "@schema@"."@prefix@mail_threads" t
  SET subject = f.subject, snippet = f.snippet, participant_emails = f.participant_emails,
      message_count = f.message_count, has_attachments = f.has_attachments, first_message_at = f.first_message_at,
      last_message_at = f.last_message_at, is_read = f.is_read, label_ids = f.label_ids
  FROM (
    SELECT k.thread_id, of_all.*, coalesce(people.emails, '{}') AS participant_emails, coalesce(labels.ids, '{}') AS label_ids
    FROM "@schema@"."@prefix@mail_threads" k
    CROSS JOIN LATERAL (
      SELECT (array_agg(m.subject ORDER BY m.at, m.provider_message_id COLLATE "C") FILTER (WHERE m.subject <> ''))[1] AS subject,
             (array_agg(m.snippet ORDER BY m.at DESC NULLS LAST, m.provider_message_id COLLATE "C" DESC)
               FILTER (WHERE m.snippet <> ''))[1] AS snippet,
             count(*) AS message_count,
             coalesce(bool_or(m.has_attachments), false) AS has_attachments,
             min(m.at) AS first_message_at,
             max(m.at) AS last_message_at,
             NOT coalesce(bool_or('UNREAD' = ANY (m.label_ids)), false) AS is_read
      FROM (SELECT coalesce(a.internal_date, a.sent_at) AS at, a.*
            FROM "@schema@"."@prefix@mail_messages" a
            WHERE a.thread_id = k.thread_id) m) of_all
    CROSS JOIN LATERAL (
      SELECT array_agg(DISTINCT e.email COLLATE "C" ORDER BY e.email COLLATE "C") FILTER (WHERE e.email <> '') AS emails
      FROM "@schema@"."@prefix@mail_messages" a
      CROSS JOIN LATERAL (VALUES (ARRAY[a.from_email]), (a.to_emails), (a.cc_emails), (a.bcc_emails)) field (emails)
      CROSS JOIN LATERAL unnest(field.emails) e (email)
      WHERE a.thread_id = k.thread_id) people
    CROSS JOIN LATERAL (
      SELECT array_agg(DISTINCT l.id COLLATE "C" ORDER BY l.id COLLATE "C") FILTER (WHERE l.id IS NOT NULL) AS ids
      FROM "@schema@"."@prefix@mail_messages" a
      CROSS JOIN LATERAL unnest(a.label_ids) l (id)
      WHERE a.thread_id = k.thread_id) labels
    WHERE k.thread_id = ANY (reached)
  ) f
  WHERE t.thread_id = f.thread_id
    AND (TG_OP = 'UPDATE' OR
         (t.subject, t.snippet, t.participant_emails, t.message_count, t.has_attachments, t.first_message_at,
          t.last_message_at, t.is_read, t.label_ids)
         IS DISTINCT FROM
         (f.subject, f.snippet, f.participant_emails, f.message_count, f.has_attachments, f.first_message_at,
          f.last_message_at, f.is_read, f.label_ids));
  RETURN NULL;
END
$once$;
COMMENT ON FUNCTION "@schema@"."@prefix@mail_messages_facts"() IS
  'Trigger of mail_messages: sets what mail_threads says of each thread whose messages a statement has added, changed, moved or taken.';
CREATE TRIGGER "@prefix@mail_messages_facts_insert" AFTER INSERT ON "@schema@"."@prefix@mail_messages"
  REFERENCING NEW TABLE AS new_messages
  FOR EACH STATEMENT EXECUTE FUNCTION "@schema@"."@prefix@mail_messages_facts"();
CREATE TRIGGER "@prefix@mail_messages_facts_update" AFTER UPDATE ON "@schema@"."@prefix@mail_messages"
  REFERENCING OLD TABLE AS old_messages NEW TABLE AS new_messages
  FOR EACH STATEMENT EXECUTE FUNCTION "@schema@"."@prefix@mail_messages_facts"();
CREATE TRIGGER "@prefix@mail_messages_facts_delete" AFTER DELETE ON "@schema@"."@prefix@mail_messages"
  REFERENCING OLD TABLE AS old_messages
  FOR EACH STATEMENT EXECUTE FUNCTION "@schema@"."@prefix@mail_messages_facts"();
CREATE TRIGGER "@prefix@mail_messages_facts_truncate" AFTER TRUNCATE ON "@schema@"."@prefix@mail_messages"
  FOR EACH STATEMENT EXECUTE FUNCTION "@schema@"."@prefix@mail_messages_facts"();

ALTER TABLE "@schema@"."@prefix@mail_messages" ENABLE ROW LEVEL SECURITY;
CREATE POLICY "members_read" ON "@schema@"."@prefix@mail_messages" FOR SELECT USING (
  org_id IN (SELECT m.org_id FROM "@schema@"."@prefix@mail_members" m
             WHERE m.role IN (SELECT r.rolname FROM pg_catalog.pg_roles r WHERE pg_catalog.pg_has_role(r.oid, 'MEMBER'))));
-- Checked before any unique key is, so that a row put into another's mailbox does not tell what that holds.
CREATE POLICY "members_insert" ON "@schema@"."@prefix@mail_messages" FOR INSERT WITH CHECK (
  mailbox_id IN (SELECT b.mailbox_id FROM "@schema@"."@prefix@mailboxes" b) AND
  org_id IN (SELECT m.org_id FROM "@schema@"."@prefix@mail_members" m
             WHERE m.role IN (SELECT r.rolname FROM pg_catalog.pg_roles r WHERE pg_catalog.pg_has_role(r.oid, 'MEMBER'))));
CREATE POLICY "members_update" ON "@schema@"."@prefix@mail_messages" FOR UPDATE USING (
  org_id IN (SELECT m.org_id FROM "@schema@"."@prefix@mail_members" m
             WHERE m.role IN (SELECT r.rolname FROM pg_catalog.pg_roles r WHERE pg_catalog.pg_has_role(r.oid, 'MEMBER')))) WITH CHECK (
  mailbox_id IN (SELECT b.mailbox_id FROM "@schema@"."@prefix@mailboxes" b) AND
  org_id IN (SELECT m.org_id FROM "@schema@"."@prefix@mail_members" m
             WHERE m.role IN (SELECT r.rolname FROM pg_catalog.pg_roles r WHERE pg_catalog.pg_has_role(r.oid, 'MEMBER'))));
CREATE POLICY "members_delete" ON "@schema@"."@prefix@mail_messages" FOR DELETE USING (
  org_id IN (SELECT m.org_id FROM "@schema@"."@prefix@mail_members" m
             WHERE m.role IN (SELECT r.rolname FROM pg_catalog.pg_roles r WHERE pg_catalog.pg_has_role(r.oid, 'MEMBER'))));
