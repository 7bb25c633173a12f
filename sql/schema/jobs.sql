-- What the first create_target or install_kit makes in the extension's schema: ordinary tables of the
-- caller's, no members of the extension. They are dumped, and stay when the extension is dropped; so nothing here
-- may use the extension's functions.

CREATE TABLE "@schema@"."import_jobs" (
  id                uuid PRIMARY KEY,
  target            text NOT NULL,
  scope             text,
  status            text NOT NULL DEFAULT 'pending'
                    CHECK (status IN ('pending', 'validating', 'processing', 'completed', 'failed', 'rolled_back')),
  rows_expected     bigint,
  rows_written      bigint,
  rows_kept         bigint,
  validation_passed boolean,
  validation_errors jsonb,
  source_info       jsonb,
  created_by        text NOT NULL DEFAULT current_user,
  created_by_id     uuid,
  created_at        timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
  completed_at      timestamptz,
  rolled_back_at    timestamptz,
  error_code        text,
  error_message     text,
  relation_schema   text NOT NULL,
  relation_name     text NOT NULL,
  spec              jsonb NOT NULL,
  summary           jsonb
);
CREATE INDEX "import_jobs_by_scope" ON "@schema@"."import_jobs" (target, scope, created_at);
CREATE INDEX "import_jobs_by_status" ON "@schema@"."import_jobs" (status);
CREATE INDEX "import_jobs_by_time" ON "@schema@"."import_jobs" (created_at);

-- An audit trail is added to, and moves on by the states of a job; nobody takes from it, its owner neither.
CREATE FUNCTION "@schema@"."import_jobs_guard"() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $once$
DECLARE
  owned boolean;
BEGIN
  IF TG_OP IN ('DELETE', 'TRUNCATE') THEN
    RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
      MESSAGE = 'import jobs are never deleted',
      DETAIL = 'import_jobs is the audit trail of every import.',
      HINT = 'rollback_import_job(id) undoes an import and keeps its record.';
  END IF;
  IF TG_OP = 'INSERT' THEN
    SELECT bool_or(pg_has_role(c.relowner, 'USAGE')) INTO owned
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = NEW.relation_schema AND c.relname = NEW.relation_name;
    -- Not under the name of another's target, whose users would take it for one of theirs.
    IF owned AND NOT EXISTS (SELECT FROM "@schema@"."targets" t WHERE t.name = NEW.target
                             AND (t.schema_name, t.table_name) <> (NEW.relation_schema, NEW.relation_name)) THEN
      RETURN NEW;
    END IF;
    -- A rollback deletes what a job says it wrote. So whoever does not own the table can't say it freely: the table
    -- and the columns are those that its owner registered, and the id is a new one.
    IF NOT EXISTS (SELECT FROM "@schema@"."targets" t
                   WHERE t.name = NEW.target AND t.schema_name = NEW.relation_schema AND t.table_name = NEW.relation_name
                     AND t.spec = NEW.spec)
       OR substr(NEW.id::text, 15, 1) <> '7'
       OR abs(('x' || replace(substr(NEW.id::text, 1, 13), '-', ''))::bit(48)::bigint / 1000
              - extract(epoch FROM clock_timestamp())) > 86400
       OR NEW.status <> 'pending'
       OR num_nonnulls(NEW.rows_expected, NEW.rows_written, NEW.rows_kept, NEW.completed_at, NEW.rolled_back_at,
                       NEW.validation_passed, NEW.validation_errors, NEW.error_code, NEW.error_message, NEW.summary) > 0 THEN
      RAISE EXCEPTION USING ERRCODE = 'insufficient_privilege',
        MESSAGE = format('job %s is none that pg_once began', NEW.id),
        DETAIL = 'A job of another''s table has the registered table and spec, a new UUIDv7, and nothing done yet.',
        HINT = 'Let insert_clean or ingest begin it.';
    END IF;
    NEW.created_at := clock_timestamp();
    RETURN NEW;
  END IF;
  IF (NEW.id, NEW.target, NEW.scope, NEW.relation_schema, NEW.relation_name, NEW.spec, NEW.source_info,
      NEW.created_by, NEW.created_by_id, NEW.created_at)
     IS DISTINCT FROM
     (OLD.id, OLD.target, OLD.scope, OLD.relation_schema, OLD.relation_name, OLD.spec, OLD.source_info,
      OLD.created_by, OLD.created_by_id, OLD.created_at)
     OR (OLD.status IN ('completed', 'failed', 'rolled_back')
         AND (NEW.rows_expected, NEW.rows_written, NEW.completed_at, NEW.validation_passed, NEW.validation_errors, NEW.error_code, NEW.error_message, NEW.summary)
             IS DISTINCT FROM
             (OLD.rows_expected, OLD.rows_written, OLD.completed_at, OLD.validation_passed, OLD.validation_errors, OLD.error_code, OLD.error_message, OLD.summary))
     OR ((NEW.status <> 'rolled_back' OR OLD.status = 'rolled_back')
         AND (NEW.rows_kept, NEW.rolled_back_at) IS DISTINCT FROM (OLD.rows_kept, OLD.rolled_back_at)) THEN
    RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
      MESSAGE = format('what job %s was recorded with can''t be changed', OLD.id),
      DETAIL = 'Its identity never changes, and its figures not after it has ended.',
      HINT = 'Leave the record as it is; verify_import_job(id) compares it with the table.';
  END IF;
  IF NEW.status <> OLD.status AND (OLD.status, NEW.status) NOT IN (
       ('pending', 'validating'), ('pending', 'failed'),
       ('validating', 'processing'), ('validating', 'failed'),
       ('processing', 'completed'), ('processing', 'failed'),
       ('completed', 'rolled_back')) THEN
    RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
      MESSAGE = format('job %s can''t go from %s to %s', OLD.id, OLD.status, NEW.status),
      DETAIL = 'A job goes pending, validating, processing, completed, rolled_back; from each of the first three it may fail.',
      HINT = 'Let the functions of pg_once move it on.';
  END IF;
  RETURN NEW;
END
$once$;
CREATE TRIGGER import_jobs_guard BEFORE INSERT OR UPDATE OR DELETE ON "@schema@"."import_jobs"
  FOR EACH ROW EXECUTE FUNCTION "@schema@"."import_jobs_guard"();
CREATE TRIGGER import_jobs_guard_truncate BEFORE TRUNCATE ON "@schema@"."import_jobs"
  FOR EACH STATEMENT EXECUTE FUNCTION "@schema@"."import_jobs_guard"();

-- Who may use the table sees and moves on the jobs of the roles he is a member of, and all jobs of the tables he
-- owns; a kit may add whom else it shows them to. A job is begun in one's own name and on a table one may write
-- to. There is no policy for DELETE.
ALTER TABLE "@schema@"."import_jobs" ENABLE ROW LEVEL SECURITY;
CREATE POLICY "see_own" ON "@schema@"."import_jobs" FOR SELECT USING (
  created_by IN (SELECT r.rolname::text FROM pg_catalog.pg_roles r WHERE pg_catalog.pg_has_role(r.oid, 'MEMBER')));
CREATE POLICY "move_own_on" ON "@schema@"."import_jobs" FOR UPDATE USING (
  created_by IN (SELECT r.rolname::text FROM pg_catalog.pg_roles r WHERE pg_catalog.pg_has_role(r.oid, 'MEMBER')));
CREATE POLICY "see_as_owner" ON "@schema@"."import_jobs" FOR SELECT USING (
  EXISTS (SELECT FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
          WHERE n.nspname = relation_schema AND c.relname = relation_name AND pg_catalog.pg_has_role(c.relowner, 'USAGE')));
CREATE POLICY "move_on_as_owner" ON "@schema@"."import_jobs" FOR UPDATE USING (
  EXISTS (SELECT FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
          WHERE n.nspname = relation_schema AND c.relname = relation_name AND pg_catalog.pg_has_role(c.relowner, 'USAGE')));
CREATE POLICY "begin_own" ON "@schema@"."import_jobs" FOR INSERT WITH CHECK (
  created_by = current_user
  AND EXISTS (SELECT FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
              WHERE n.nspname = relation_schema AND c.relname = relation_name AND pg_catalog.has_table_privilege(c.oid, 'INSERT')));

-- What is known of staging tables. The first is emptied by a crash together with the UNLOGGED staging tables that
-- it remembers; the second remembers that there was something to forget.
CREATE UNLOGGED TABLE "@schema@"."staging_checks" (
  staging_schema text NOT NULL,
  staging_name   text NOT NULL,
  scope          text,
  rows           bigint NOT NULL DEFAULT 0,
  highest        bigint NOT NULL DEFAULT 0,
  fingerprint    bigint NOT NULL DEFAULT 0,
  internal_dups  bigint NOT NULL DEFAULT 0,
  existing_dups  bigint NOT NULL DEFAULT 0,
  checked_at     timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
  UNIQUE NULLS NOT DISTINCT (staging_schema, staging_name, scope)
);
CREATE TABLE "@schema@"."stagings" (
  staging_schema text NOT NULL,
  staging_name   text NOT NULL,
  lost_at        timestamptz,
  PRIMARY KEY (staging_schema, staging_name)
);
-- Who may change a staging table may change what is known of it, and nobody else.
ALTER TABLE "@schema@"."staging_checks" ENABLE ROW LEVEL SECURITY;
ALTER TABLE "@schema@"."stagings" ENABLE ROW LEVEL SECURITY;
CREATE POLICY "who_stages" ON "@schema@"."staging_checks" USING (
  EXISTS (SELECT FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
          WHERE n.nspname = staging_schema AND c.relname = staging_name AND pg_catalog.has_table_privilege(c.oid, 'UPDATE, DELETE')));
CREATE POLICY "who_stages" ON "@schema@"."stagings" USING (
  EXISTS (SELECT FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
          WHERE n.nspname = staging_schema AND c.relname = staging_name AND pg_catalog.has_table_privilege(c.oid, 'UPDATE, DELETE')));

-- Who may read a staging table may read what is known of it, or the functions would tell him untruths.
CREATE POLICY "who_reads" ON "@schema@"."staging_checks" FOR SELECT USING (
  EXISTS (SELECT FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
          WHERE n.nspname = staging_schema AND c.relname = staging_name AND pg_catalog.has_table_privilege(c.oid, 'SELECT')));
CREATE POLICY "who_reads" ON "@schema@"."stagings" FOR SELECT USING (
  EXISTS (SELECT FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
          WHERE n.nspname = staging_schema AND c.relname = staging_name AND pg_catalog.has_table_privilege(c.oid, 'SELECT')));

-- Which files are staged, so that none is staged twice: by the SHA-256 of their content, for each scope of which they
-- hold rows. Entries come and go with the rows; those beside a scope that has no staged rows are void. One that is gone
-- has 0 rows: to delete it, everybody would need a right that is also one to lock the table.
CREATE TABLE "@schema@"."staged_files" (
  staging_schema text NOT NULL,
  staging_name   text NOT NULL,
  scope_column   text NOT NULL,
  scope          text NOT NULL,
  sha256         text NOT NULL CHECK (sha256 ~ '^[0-9a-f]{64}$'),
  name           text NOT NULL,
  rows           bigint NOT NULL CHECK (rows >= 0),
  staged_by      text NOT NULL DEFAULT current_user,
  staged_at      timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
  PRIMARY KEY (staging_schema, staging_name, scope_column, scope, sha256)
);
ALTER TABLE "@schema@"."staged_files" ENABLE ROW LEVEL SECURITY;
CREATE POLICY "who_stages" ON "@schema@"."staged_files" USING (
  EXISTS (SELECT FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
          WHERE n.nspname = staging_schema AND c.relname = staging_name AND pg_catalog.has_table_privilege(c.oid, 'UPDATE, DELETE')));
CREATE POLICY "who_reads" ON "@schema@"."staged_files" FOR SELECT USING (
  EXISTS (SELECT FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
          WHERE n.nspname = staging_schema AND c.relname = staging_name AND pg_catalog.has_table_privilege(c.oid, 'SELECT')));

-- Rows that were not taken, with the reason: of files that could not be staged, and of arrays that were ingested. Staging a
-- file again resolves those that it has no more; replaying a job's resolves those that are taken then.
CREATE TABLE "@schema@"."import_rejects" (
  id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  target          text NOT NULL,
  file            text,
  line            bigint NOT NULL,
  column_name     text,
  value           text,
  reason          text NOT NULL,
  sqlstate        text,
  sha256          text,
  job_id          uuid,
  original        jsonb,
  rejected_by     text NOT NULL DEFAULT current_user,
  rejected_at     timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
  resolved_at     timestamptz,
  resolved_by_job uuid,
  relation_schema text NOT NULL,
  relation_name   text NOT NULL,
  CHECK ((file IS NOT NULL AND sha256 IS NOT NULL) <> (job_id IS NOT NULL))
);
CREATE INDEX "import_rejects_by_file" ON "@schema@"."import_rejects" (target, sha256) WHERE sha256 IS NOT NULL;
CREATE INDEX "import_rejects_by_job" ON "@schema@"."import_rejects" (job_id) WHERE job_id IS NOT NULL;
CREATE INDEX "import_rejects_by_replay" ON "@schema@"."import_rejects" (resolved_by_job) WHERE resolved_by_job IS NOT NULL;
-- A rejected row may be anybody's, so it is shown to whoever brought it and to the owner of the target only.
ALTER TABLE "@schema@"."import_rejects" ENABLE ROW LEVEL SECURITY;
CREATE POLICY "see_own" ON "@schema@"."import_rejects" FOR SELECT USING (
  rejected_by IN (SELECT r.rolname::text FROM pg_catalog.pg_roles r WHERE pg_catalog.pg_has_role(r.oid, 'MEMBER')));
CREATE POLICY "resolve_own" ON "@schema@"."import_rejects" FOR UPDATE USING (
  rejected_by IN (SELECT r.rolname::text FROM pg_catalog.pg_roles r WHERE pg_catalog.pg_has_role(r.oid, 'MEMBER')));
-- A job's rows are replayed with the rights of whoever replays them: only the job itself says which those are.
CREATE POLICY "reject_own" ON "@schema@"."import_rejects" FOR INSERT WITH CHECK (
  rejected_by = current_user
  AND (job_id IS NULL OR job_id IN (SELECT j.id FROM "@schema@"."import_jobs" j WHERE j.status = 'processing' AND j.created_by = current_user))
  AND EXISTS (SELECT FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
              WHERE n.nspname = relation_schema AND c.relname = relation_name AND pg_catalog.has_table_privilege(c.oid, 'INSERT')));
CREATE POLICY "see_as_owner" ON "@schema@"."import_rejects" FOR SELECT USING (
  EXISTS (SELECT FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
          WHERE n.nspname = relation_schema AND c.relname = relation_name AND pg_catalog.pg_has_role(c.relowner, 'USAGE')));
CREATE POLICY "resolve_as_owner" ON "@schema@"."import_rejects" FOR UPDATE USING (
  EXISTS (SELECT FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
          WHERE n.nspname = relation_schema AND c.relname = relation_name AND pg_catalog.pg_has_role(c.relowner, 'USAGE')));

-- What jobs of rows wrote, so that it can be taken back: of a record that was made a number that tells it from every other
-- state of it, of one that was changed the values before and after, as texts. part: which table, as the job's summary says.
CREATE TABLE "@schema@"."import_images" (
  job_id   uuid NOT NULL,
  part     smallint NOT NULL,
  number   bigint NOT NULL,
  identity text[] NOT NULL,
  action   text NOT NULL CHECK (action IN ('inserted', 'updated')),
  before   jsonb,
  after    jsonb,
  digest   bigint,
  PRIMARY KEY (job_id, part, number)
);
-- Images hold values of users' tables: they are shown with their job, and written while it runs by who began it.
ALTER TABLE "@schema@"."import_images" ENABLE ROW LEVEL SECURITY;
CREATE POLICY "see_with_job" ON "@schema@"."import_images" FOR SELECT USING (
  job_id IN (SELECT j.id FROM "@schema@"."import_jobs" j));
CREATE POLICY "write_own" ON "@schema@"."import_images" FOR INSERT WITH CHECK (
  job_id IN (SELECT j.id FROM "@schema@"."import_jobs" j WHERE j.status = 'processing' AND j.created_by = current_user));
CREATE POLICY "change_own" ON "@schema@"."import_images" FOR UPDATE USING (
  job_id IN (SELECT j.id FROM "@schema@"."import_jobs" j WHERE j.status = 'processing' AND j.created_by = current_user));

-- Any owner of a table may register it and import into it, so these are open to all who may use the schema; which
-- rows they see and write is decided by the policies and the guard above. UPDATE is by column, since UPDATE of a whole
-- table is the right to lock it. Nobody gets DELETE or TRUNCATE.
GRANT SELECT, INSERT ON "@schema@"."import_jobs", "@schema@"."staging_checks", "@schema@"."stagings" TO PUBLIC;
GRANT UPDATE (status, rows_expected, rows_written, rows_kept, validation_passed, validation_errors, completed_at,
              rolled_back_at, error_code, error_message, summary) ON "@schema@"."import_jobs" TO PUBLIC;
GRANT UPDATE (rows, highest, fingerprint, internal_dups, existing_dups, checked_at) ON "@schema@"."staging_checks" TO PUBLIC;
GRANT UPDATE (lost_at) ON "@schema@"."stagings" TO PUBLIC;
GRANT SELECT, INSERT ON "@schema@"."staged_files", "@schema@"."import_rejects", "@schema@"."import_images" TO PUBLIC;
GRANT UPDATE (name, rows, staged_by, staged_at) ON "@schema@"."staged_files" TO PUBLIC;
GRANT UPDATE (before, after, digest) ON "@schema@"."import_images" TO PUBLIC;
GRANT UPDATE (resolved_at, resolved_by_job) ON "@schema@"."import_rejects" TO PUBLIC;

COMMENT ON TABLE "@schema@"."import_jobs" IS
  'The audit trail of pg_once: one row per import, never deleted. Written by pg_once''s functions; a trigger refuses what the states of a job forbid.';
COMMENT ON COLUMN "@schema@"."import_jobs".scope IS 'The scope''s value as text; NULL where the target has no scope.';
COMMENT ON COLUMN "@schema@"."import_jobs".rows_kept IS 'Protected rows that a rollback left in place.';
COMMENT ON COLUMN "@schema@"."import_jobs".created_by_id IS 'The caller''s own id where a JSON web token gives one (request.jwt.claims), as behind Supabase''s auth.uid().';
COMMENT ON COLUMN "@schema@"."import_jobs".spec IS 'The spec that the job ran with, so that it can be verified and undone whatever becomes of the registry.';
COMMENT ON FUNCTION "@schema@"."import_jobs_guard"() IS
  'Trigger of import_jobs: refuses deletion, changes of what was recorded, state changes that the machine forbids (55000), and jobs on another''s table that are not as its owner registered it (42501).';
COMMENT ON TABLE "@schema@"."staging_checks" IS
  'Per staging table and scope: what was staged when duplicates were marked last. The row with a NULL scope vanishes with the staged rows in a crash.';
COMMENT ON TABLE "@schema@"."stagings" IS
  'The staging tables of targets, and when a crash was last seen to have emptied each.';
COMMENT ON TABLE "@schema@"."staged_files" IS
  'The files whose rows are staged, per staging table and scope: SHA-256 of the content, name, rows; 0 rows where it is staged no more. Written by end_file, emptied by clear_staging.';
COMMENT ON TABLE "@schema@"."import_rejects" IS
  'Rows that were not taken, with column, value and reason. Of files: file and line (from 1), written by end_file; resolved_at where the file was staged again without it. Of ingest: job_id, line (the row''s number) and the row itself (original); resolved_at and resolved_by_job where replay_rejects took it, until that job is rolled back.';
COMMENT ON TABLE "@schema@"."import_images" IS
  'What jobs of ingest wrote, for rollback_import_job: the records made, each with a digest, and the values changed, before and after. Deleted by prune_import_images; written by ingest.';
COMMENT ON COLUMN "@schema@"."import_jobs".summary IS 'Of a job of ingest: the number of rows by outcome, the tables that import_images.part speaks of, and the number of images of its own records.';
