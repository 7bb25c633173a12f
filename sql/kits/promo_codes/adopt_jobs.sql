-- A table of jobs from before pg_once: its rows become jobs of the target, under their own ids. Columns it lacks
-- are NULL. $1 target, $2 relation's schema, $3 its name, $4 the spec.
INSERT INTO "@jobs@"."import_jobs" AS known
  (id, target, scope, status, rows_expected, rows_written, validation_passed, validation_errors, source_info,
   created_by, created_by_id, created_at, completed_at, rolled_back_at, error_message, relation_schema, relation_name, spec)
SELECT (j ->> 'id')::uuid, $1, (j ->> 'merchant_id')::uuid::text, j ->> 'status',
       (j ->> 'total_codes_to_insert')::bigint, (j ->> 'codes_inserted')::bigint,
       (j ->> 'validation_passed')::boolean, nullif(j -> 'validation_errors', 'null'), nullif(j -> 'source_info', 'null'),
       coalesce(j ->> 'created_by', current_user),
       substring(j ->> 'created_by' from '^[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$')::uuid,
       coalesce((j ->> 'created_at')::timestamptz, clock_timestamp()),
       (j ->> 'completed_at')::timestamptz, (j ->> 'rolled_back_at')::timestamptz, j ->> 'error_message',
       $2, $3, $4::jsonb
FROM (SELECT to_jsonb(old.*) AS j FROM "@schema@"."@prefix@codes_import_jobs" old) jobs
ON CONFLICT (id) DO NOTHING
