-- Members of a merchant see its jobs, whoever ran them, and may roll them back if they may delete codes.
CREATE POLICY "@prefix@codes_members_see" ON "@jobs@"."import_jobs" FOR SELECT USING (
  target = '@prefix@codes' AND relation_schema = @schema_literal@ AND relation_name = '@prefix@codes' AND scope IN (
    SELECT m.merchant_id::text FROM "@schema@"."@prefix@merchant_members" m
    WHERE m.role IN (SELECT r.rolname FROM pg_catalog.pg_roles r WHERE pg_catalog.pg_has_role(r.oid, 'MEMBER'))));
CREATE POLICY "@prefix@codes_members_move_on" ON "@jobs@"."import_jobs" FOR UPDATE USING (
  pg_catalog.has_table_privilege(pg_catalog.to_regclass(pg_catalog.format('%I.%I', relation_schema, relation_name))::oid, 'DELETE')
  AND target = '@prefix@codes' AND relation_schema = @schema_literal@ AND relation_name = '@prefix@codes' AND scope IN (
    SELECT m.merchant_id::text FROM "@schema@"."@prefix@merchant_members" m
    WHERE m.role IN (SELECT r.rolname FROM pg_catalog.pg_roles r WHERE pg_catalog.pg_has_role(r.oid, 'MEMBER'))));
-- And nobody begins a job for a merchant that is not his.
CREATE POLICY "@prefix@codes_members_begin" ON "@jobs@"."import_jobs" AS RESTRICTIVE FOR INSERT WITH CHECK (
  target <> '@prefix@codes' OR scope IN (
    SELECT m.merchant_id::text FROM "@schema@"."@prefix@merchant_members" m
    WHERE m.role IN (SELECT r.rolname FROM pg_catalog.pg_roles r WHERE pg_catalog.pg_has_role(r.oid, 'MEMBER'))));
