-- The jobs of this kit under the names that its users know.
CREATE OR REPLACE VIEW "@schema@"."@prefix@codes_import_jobs" WITH (security_invoker = true) AS
SELECT j.id,
       CASE WHEN j.scope ~ '^[0-9a-f-]{36}$' THEN j.scope::uuid END AS merchant_id,
       j.status,
       j.rows_expected AS total_codes_to_insert,
       j.rows_written AS codes_inserted,
       j.validation_passed,
       j.validation_errors,
       j.created_at,
       coalesce(j.created_by_id::text, j.created_by) AS created_by,
       j.completed_at,
       j.rolled_back_at,
       j.error_message,
       j.source_info
FROM "@jobs@"."import_jobs" j
WHERE j.target = '@prefix@codes' AND j.relation_schema = @schema_literal@ AND j.relation_name = '@prefix@codes';
COMMENT ON VIEW "@schema@"."@prefix@codes_import_jobs" IS
  'The import jobs of this kit''s codes. created_by is the caller''s own id where he had one, else his role.';
-- The view runs with the rights of whoever asks, so import_jobs decides what he sees.
GRANT SELECT ON "@schema@"."@prefix@codes_import_jobs" TO PUBLIC;
