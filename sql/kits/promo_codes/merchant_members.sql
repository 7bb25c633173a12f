-- Which role belongs to which merchant. Who may see codes is decided by membership in these roles, which
-- no session can grant itself.
CREATE TABLE "@schema@"."@prefix@merchant_members" (
  merchant_id uuid NOT NULL,
  role        name NOT NULL,
  PRIMARY KEY (merchant_id, role)
);
COMMENT ON TABLE "@schema@"."@prefix@merchant_members" IS
  'Merchants and their roles: a role, and every member of it, may see and import the codes of its merchants. Written by the owner.';
ALTER TABLE "@schema@"."@prefix@merchant_members" ENABLE ROW LEVEL SECURITY;
CREATE POLICY "own_memberships" ON "@schema@"."@prefix@merchant_members" FOR SELECT USING (
  role IN (SELECT r.rolname FROM pg_catalog.pg_roles r WHERE pg_catalog.pg_has_role(r.oid, 'MEMBER')));
-- The policies of codes read it with the rights of whoever reads codes; he sees only his own memberships.
GRANT SELECT ON "@schema@"."@prefix@merchant_members" TO PUBLIC;
