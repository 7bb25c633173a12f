-- The feeds on the kit's targets: what import_leads goes by.
CREATE VIEW "@schema@"."@prefix@import_configurations" WITH (security_invoker = true) AS
SELECT f.name, f.target, coalesce(f.spec ->> 'format', 'sheet') AS format, f.spec #>> '{set,org_id}' AS org_id, f.spec #>> '{set,source}' AS source,
       f.spec ->> 'schedule' AS schedule, f.spec #>> '{notify,mode}' AS notify, f.spec, f.created_by, f.created_at,
       s.last_processed_row, s.last_processed_id, s.last_processed_time, s.last_run_at, s.next_run_at
FROM "@jobs@"."feeds" f LEFT JOIN "@jobs@"."import_states" s ON s.feed = f.name
WHERE (f.relation_schema, f.relation_name) = (@schema_literal@, '@prefix@leads');
COMMENT ON VIEW "@schema@"."@prefix@import_configurations" IS
  'The feeds on the targets of leads, each with how far it has come: import_leads(name, rows) takes leads in by one of them.';
