CREATE VIEW "@schema@"."@prefix@v_imports_without_checksum" WITH (security_invoker = true) AS
SELECT i.import_id, i.athlete_id, i.source, i.received_at
FROM "@schema@"."@prefix@imports" i
WHERE i.checksum_sha256 IS NULL OR i.checksum_sha256 !~ '^[0-9a-f]{64}$';
COMMENT ON VIEW "@schema@"."@prefix@v_imports_without_checksum" IS
  'Imports that no checksum tells, so that they could be imported again: adopt_imports computes what is missing.';
GRANT SELECT ON "@schema@"."@prefix@v_imports_without_checksum" TO PUBLIC;
