-- Which role belongs to which org. Who may see mail is decided by membership in these roles, which no session can
-- grant itself.
CREATE TABLE "@schema@"."@prefix@mail_members" (
  org_id uuid NOT NULL,
  role   name NOT NULL,
  PRIMARY KEY (org_id, role)
);
COMMENT ON TABLE "@schema@"."@prefix@mail_members" IS
  'Orgs and their roles: a role, and every member of it, may see and import the mail of its orgs, as far as it has the privileges. Written by the owner.';
ALTER TABLE "@schema@"."@prefix@mail_members" ENABLE ROW LEVEL SECURITY;
CREATE POLICY "own_memberships" ON "@schema@"."@prefix@mail_members" FOR SELECT USING (
  role IN (SELECT r.rolname FROM pg_catalog.pg_roles r WHERE pg_catalog.pg_has_role(r.oid, 'MEMBER')));
-- The policies of the other tables read it with the rights of whoever reads those; he sees only his own memberships.
GRANT SELECT ON "@schema@"."@prefix@mail_members" TO PUBLIC;
