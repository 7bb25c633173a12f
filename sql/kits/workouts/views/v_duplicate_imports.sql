CREATE VIEW "@schema@"."@prefix@v_duplicate_imports" WITH (security_invoker = true) AS
SELECT i.athlete_id, i.checksum_sha256, count(*) AS duplicate_count,
       array_agg(i.import_id ORDER BY i.received_at, i.import_id) AS import_ids,
       min(i.received_at) AS first_received_at, max(i.received_at) AS last_received_at
FROM "@schema@"."@prefix@imports" i
WHERE i.checksum_sha256 IS NOT NULL AND (i.tags @> ARRAY['duplicate_archived'::text]) IS NOT TRUE
GROUP BY i.athlete_id, i.checksum_sha256 HAVING count(*) > 1;
COMMENT ON VIEW "@schema@"."@prefix@v_duplicate_imports" IS
  'Imports of one athlete with one content, the archived ones aside: adopt_imports tags all but the oldest.';
GRANT SELECT ON "@schema@"."@prefix@v_duplicate_imports" TO PUBLIC;
