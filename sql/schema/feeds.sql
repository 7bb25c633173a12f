-- What the first create_feed makes beside import_jobs: ordinary tables of the caller's, no members of the extension.
-- Nothing here may use the extension's functions.

CREATE TABLE "@schema@"."feeds" (
  -- Logs and notifications are of a feed, not of whatever has its name later.
  id              uuid NOT NULL UNIQUE DEFAULT pg_catalog.gen_random_uuid(),
  name            text PRIMARY KEY CHECK (name <> '' AND pg_catalog.octet_length(name) <= 200),
  target          text NOT NULL,
  spec            jsonb NOT NULL,
  relation_schema text NOT NULL,
  relation_name   text NOT NULL,
  -- Whose SQL it is that a run executes.
  created_by      text NOT NULL DEFAULT current_user,
  created_at      timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp()
);
COMMENT ON TABLE "@schema@"."feeds" IS
  'Sources that are read again and again into a target: made by create_feed, read by run_feed, forgotten by drop_feed, which takes the right to delete here.';
COMMENT ON COLUMN "@schema@"."feeds".created_by IS 'Who wrote the spec, whose SQL runs with the rights of those who trust him.';

CREATE TABLE "@schema@"."import_states" (
  feed                text PRIMARY KEY REFERENCES "@schema@"."feeds" (name) ON DELETE CASCADE ON UPDATE CASCADE,
  last_processed_row  bigint,
  last_processed_id   text,
  last_processed_time timestamptz CHECK (pg_catalog.isfinite(last_processed_time)),
  last_run_at         timestamptz,
  next_run_at         timestamptz
);
COMMENT ON TABLE "@schema@"."import_states" IS
  'How far each feed has come. It moves in the transaction that writes the rows. What has been taken is in import_state_rows.';
COMMENT ON COLUMN "@schema@"."import_states".last_processed_row IS 'Where the last row that was new stood in its run, from 1. It tells nothing about what is new.';
COMMENT ON COLUMN "@schema@"."import_states".last_processed_id IS 'What that row is known by.';
COMMENT ON COLUMN "@schema@"."import_states".last_processed_time IS 'The latest time of any row; a source with $1 is read from there on, less the overlap.';
COMMENT ON COLUMN "@schema@"."import_states".last_run_at IS 'When the last run began that was not skipped.';
COMMENT ON COLUMN "@schema@"."import_states".next_run_at IS 'When the schedule wants the next one; NULL without a schedule.';

CREATE TABLE "@schema@"."import_state_rows" (
  feed        text NOT NULL REFERENCES "@schema@"."feeds" (name) ON DELETE CASCADE ON UPDATE CASCADE,
  fingerprint uuid NOT NULL,
  job_id      uuid,
  reject_id   bigint,
  PRIMARY KEY (feed, fingerprint)
);
COMMENT ON TABLE "@schema@"."import_state_rows" IS
  'The rows that a feed has taken, by the first 128 bits of a SHA-256. To have a job''s rows taken again, delete them here.';
COMMENT ON COLUMN "@schema@"."import_state_rows".job_id IS 'The job that took the row, or could not.';
COMMENT ON COLUMN "@schema@"."import_state_rows".reject_id IS 'Where in import_rejects a row is that could not be taken: the next run tries it again. NULL for one that was.';

CREATE TABLE "@schema@"."import_logs" (
  run_id             uuid PRIMARY KEY,
  feed_id            uuid NOT NULL,
  feed               text NOT NULL,
  status             text NOT NULL CHECK (status IN ('success', 'partial', 'error', 'skipped')),
  job_id             uuid,
  rows_scanned       bigint NOT NULL DEFAULT 0,
  new_rows_detected  bigint NOT NULL DEFAULT 0,
  inserted           bigint NOT NULL DEFAULT 0,
  updated            bigint NOT NULL DEFAULT 0,
  duplicates_skipped bigint NOT NULL DEFAULT 0,
  rejected           bigint NOT NULL DEFAULT 0,
  errors             jsonb NOT NULL DEFAULT '[]',
  sqlstate           text,
  message            text,
  run_by             text NOT NULL DEFAULT current_user,
  started_at         timestamptz NOT NULL,
  finished_at        timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
  CHECK (started_at <= finished_at AND pg_catalog.isfinite(finished_at))
);
CREATE INDEX "import_logs_by_feed" ON "@schema@"."import_logs" (feed_id, started_at);
COMMENT ON TABLE "@schema@"."import_logs" IS
  'Every run of a feed, for as long as the feed''s keep_logs says: partial where rows were rejected, skipped where another run was under way.';

CREATE TABLE "@schema@"."notifications" (
  id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  user_id    text NOT NULL,
  type       text NOT NULL,
  title      text NOT NULL,
  message    text NOT NULL,
  lead_id    text,
  is_read    boolean NOT NULL DEFAULT false,
  feed_id    uuid NOT NULL,
  feed       text NOT NULL,
  run_id     uuid NOT NULL,
  created_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp()
);
-- A record is new in one run only, and nobody is told of it twice there, nor of the run.
CREATE UNIQUE INDEX "notifications_once" ON "@schema@"."notifications" (run_id, lead_id, user_id) WHERE lead_id IS NOT NULL;
CREATE UNIQUE INDEX "notifications_once_a_run" ON "@schema@"."notifications" (run_id, user_id) WHERE lead_id IS NULL;
CREATE INDEX "notifications_by_user" ON "@schema@"."notifications" (user_id, is_read, created_at);
COMMENT ON TABLE "@schema@"."notifications" IS 'What feeds tell of new records: one per record and recipient, or one per run and recipient.';
COMMENT ON COLUMN "@schema@"."notifications".user_id IS 'A recipient, as the feed''s recipients name him.';
COMMENT ON COLUMN "@schema@"."notifications".lead_id IS 'What names the new record; NULL for the summary of a run.';

-- A feed is shown to whoever may read its table. What runs of it leave is written by whoever may write there, and what
-- a run executes is changed by who wrote it and by the table's owner, who then vouches for it himself.
ALTER TABLE "@schema@"."feeds" ENABLE ROW LEVEL SECURITY;
CREATE POLICY "see_with_table" ON "@schema@"."feeds" FOR SELECT USING (
  EXISTS (SELECT FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
          WHERE n.nspname = relation_schema AND c.relname = relation_name AND pg_catalog.has_table_privilege(c.oid, 'SELECT')));
CREATE POLICY "create_own" ON "@schema@"."feeds" FOR INSERT WITH CHECK (
  created_by = current_user
  AND EXISTS (SELECT FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
              WHERE n.nspname = relation_schema AND c.relname = relation_name AND pg_catalog.has_table_privilege(c.oid, 'INSERT')));
CREATE POLICY "change_own" ON "@schema@"."feeds" FOR UPDATE USING (
  created_by IN (SELECT r.rolname::text FROM pg_catalog.pg_roles r WHERE pg_catalog.pg_has_role(r.oid, 'MEMBER'))
  OR EXISTS (SELECT FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
             WHERE n.nspname = relation_schema AND c.relname = relation_name AND pg_catalog.pg_has_role(c.relowner, 'USAGE')))
  WITH CHECK (created_by = current_user);
-- What a feed says of its table is what the registry says: by it the policies here go.
CREATE FUNCTION "@schema@"."feeds_guard"() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $once$
BEGIN
  IF NOT EXISTS (SELECT FROM "@schema@"."targets" t WHERE t.name = NEW.target AND t.schema_name = NEW.relation_schema
                   AND t.table_name = NEW.relation_name) THEN
    RAISE EXCEPTION USING ERRCODE = 'insufficient_privilege',
      MESSAGE = format('feed %s is not of the table of target %s', NEW.name, NEW.target),
      DETAIL = format('It names %I.%I.', NEW.relation_schema, NEW.relation_name),
      HINT = 'Let create_feed make it.';
  END IF;
  RETURN NEW;
END
$once$;
COMMENT ON FUNCTION "@schema@"."feeds_guard"() IS 'Trigger of feeds: keeps the table that a feed names to the one that its target is registered on.';
CREATE TRIGGER feeds_guard BEFORE INSERT OR UPDATE OF target, relation_schema, relation_name ON "@schema@"."feeds"
  FOR EACH ROW EXECUTE FUNCTION "@schema@"."feeds_guard"();

-- Runs are kept for as long as their feed says. With its owner's rights, since whoever runs feeds has none to delete: that
-- would be one to lock the table. A retention that can't be read hinders no run.
CREATE FUNCTION "@schema@"."import_logs_keep"() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $once$
BEGIN
  DELETE FROM "@schema@"."import_logs" l USING "@schema@"."feeds" f
  WHERE f.id = NEW.feed_id AND l.feed_id = f.id AND l.started_at < clock_timestamp() - (f.spec ->> 'keep_logs')::interval;
  RETURN NULL;
EXCEPTION WHEN data_exception THEN
  RAISE WARNING USING MESSAGE = format('the logs of feed %s are not pruned: %s', NEW.feed, SQLERRM),
    HINT = 'Give keep_logs of its spec an interval.';
  RETURN NULL;
END
$once$;
REVOKE EXECUTE ON FUNCTION "@schema@"."import_logs_keep"() FROM PUBLIC;
COMMENT ON FUNCTION "@schema@"."import_logs_keep"() IS 'Trigger of import_logs: deletes what is older than the feed keeps.';
CREATE TRIGGER import_logs_keep AFTER INSERT ON "@schema@"."import_logs"
  FOR EACH ROW EXECUTE FUNCTION "@schema@"."import_logs_keep"();

-- The feeds whose tables the current role may read or write.
CREATE VIEW "@schema@"."feeds_of_role" WITH (security_invoker = true) AS
SELECT f.id, f.name AS feed, pg_catalog.has_table_privilege(c.oid, 'INSERT') AS writes,
       pg_catalog.pg_has_role(c.relowner, 'USAGE') AS owns
FROM "@schema@"."feeds" f JOIN pg_catalog.pg_namespace n ON n.nspname = f.relation_schema
JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = f.relation_name;
COMMENT ON VIEW "@schema@"."feeds_of_role" IS 'The feeds that the current role sees, and whether it may run them or owns their table: what the policies here ask.';

ALTER TABLE "@schema@"."import_states" ENABLE ROW LEVEL SECURITY;
ALTER TABLE "@schema@"."import_state_rows" ENABLE ROW LEVEL SECURITY;
ALTER TABLE "@schema@"."import_logs" ENABLE ROW LEVEL SECURITY;
ALTER TABLE "@schema@"."notifications" ENABLE ROW LEVEL SECURITY;
CREATE POLICY "who_reads" ON "@schema@"."import_states" FOR SELECT USING (
  feed IN (SELECT r.feed FROM "@schema@"."feeds_of_role" r));
CREATE POLICY "who_runs" ON "@schema@"."import_states" USING (
  feed IN (SELECT r.feed FROM "@schema@"."feeds_of_role" r WHERE r.writes));
CREATE POLICY "who_runs" ON "@schema@"."import_state_rows" USING (
  feed IN (SELECT r.feed FROM "@schema@"."feeds_of_role" r WHERE r.writes));
-- Errors and messages have values of rows, which row-level security may hide in the table: whoever owns that sees them, whoever
-- made the run, and who is told.
CREATE POLICY "see_own" ON "@schema@"."import_logs" FOR SELECT USING (
  run_by IN (SELECT r.rolname::text FROM pg_catalog.pg_roles r WHERE pg_catalog.pg_has_role(r.oid, 'MEMBER')));
CREATE POLICY "see_as_owner" ON "@schema@"."import_logs" FOR SELECT USING (
  feed_id IN (SELECT r.id FROM "@schema@"."feeds_of_role" r WHERE r.owns));
CREATE POLICY "who_runs" ON "@schema@"."import_logs" FOR INSERT WITH CHECK (
  run_by = current_user AND feed_id IN (SELECT r.id FROM "@schema@"."feeds_of_role" r WHERE r.writes));
CREATE POLICY "see_own" ON "@schema@"."notifications" FOR SELECT USING (user_id = current_user);
CREATE POLICY "mark_own" ON "@schema@"."notifications" FOR UPDATE USING (user_id = current_user);
CREATE POLICY "see_as_owner" ON "@schema@"."notifications" FOR SELECT USING (
  feed_id IN (SELECT r.id FROM "@schema@"."feeds_of_role" r WHERE r.owns));
CREATE POLICY "mark_as_owner" ON "@schema@"."notifications" FOR UPDATE USING (
  feed_id IN (SELECT r.id FROM "@schema@"."feeds_of_role" r WHERE r.owns));
CREATE POLICY "who_runs" ON "@schema@"."notifications" FOR INSERT WITH CHECK (
  feed_id IN (SELECT r.id FROM "@schema@"."feeds_of_role" r WHERE r.writes));

-- How each feed is doing.
CREATE VIEW "@schema@"."feed_health" WITH (security_invoker = true) AS
SELECT f.name AS feed, f.target, f.spec ->> 'schedule' AS schedule, s.last_run_at, s.next_run_at,
       coalesce(s.next_run_at < pg_catalog.clock_timestamp() - interval '1 minute', false) AS overdue,
       l.status AS last_status, l.message AS last_message, l.finished_at - l.started_at AS last_duration,
       r.runs, r.skipped, r.failed, pg_catalog.round(r.good::numeric / nullif(r.good + r.failed, 0), 4) AS success_rate,
       r.inserted, r.updated, r.duplicates_skipped, r.rejected, r.average_duration
FROM "@schema@"."feeds" f
LEFT JOIN "@schema@"."import_states" s ON s.feed = f.name
LEFT JOIN LATERAL (
  SELECT x.status, x.message, x.started_at, x.finished_at FROM "@schema@"."import_logs" x
  WHERE x.feed_id = f.id AND x.status <> 'skipped' ORDER BY x.started_at DESC LIMIT 1) l ON true
LEFT JOIN LATERAL (
  SELECT pg_catalog.count(*) AS runs,
         pg_catalog.count(*) FILTER (WHERE x.status = 'skipped') AS skipped,
         pg_catalog.count(*) FILTER (WHERE x.status = 'error') AS failed,
         pg_catalog.count(*) FILTER (WHERE x.status IN ('success', 'partial')) AS good,
         coalesce(pg_catalog.sum(x.inserted), 0) AS inserted,
         coalesce(pg_catalog.sum(x.updated), 0) AS updated,
         coalesce(pg_catalog.sum(x.duplicates_skipped), 0) AS duplicates_skipped,
         coalesce(pg_catalog.sum(x.rejected), 0) AS rejected,
         pg_catalog.avg(x.finished_at - x.started_at) FILTER (WHERE x.status <> 'skipped') AS average_duration
  FROM "@schema@"."import_logs" x
  WHERE x.feed_id = f.id AND x.started_at > pg_catalog.clock_timestamp() - interval '7 days') r ON true;
COMMENT ON VIEW "@schema@"."feed_health" IS
  'Each feed with its last run, and what its runs of the last seven days came to, of those that you may see. overdue: the schedule wanted a run more than a minute ago. success_rate: of the runs that were not skipped, NULL where there were none.';

-- As import_jobs: open to all who may use the schema, and the policies decide. UPDATE is by column, since UPDATE of a whole
-- table is the right to lock it; and so is DELETE, which nobody gets.
GRANT SELECT ON "@schema@"."feeds_of_role", "@schema@"."feed_health" TO PUBLIC;
GRANT SELECT, INSERT ON "@schema@"."feeds", "@schema@"."import_logs", "@schema@"."import_states", "@schema@"."import_state_rows",
  "@schema@"."notifications" TO PUBLIC;
GRANT UPDATE (spec, created_by) ON "@schema@"."feeds" TO PUBLIC;
GRANT UPDATE (last_processed_row, last_processed_id, last_processed_time, last_run_at, next_run_at)
  ON "@schema@"."import_states" TO PUBLIC;
GRANT UPDATE (job_id, reject_id) ON "@schema@"."import_state_rows" TO PUBLIC;
GRANT UPDATE (is_read) ON "@schema@"."notifications" TO PUBLIC;
