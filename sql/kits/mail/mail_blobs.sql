-- Contents of attachments, each once per org.
CREATE TABLE "@schema@"."@prefix@mail_blobs" (
  org_id     uuid NOT NULL,
  sha256     text COLLATE "C" NOT NULL,
  bytes      bytea NOT NULL,
  size_bytes bigint NOT NULL,
  created_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
  -- Not by the content alone: that would tell one org what another has.
  PRIMARY KEY (org_id, sha256),
  -- Nobody can store one content under the name of another.
  CONSTRAINT "@prefix@mail_blobs_sha256_check" CHECK (sha256 = pg_catalog.encode(pg_catalog.sha256(bytes), 'hex')),
  CONSTRAINT "@prefix@mail_blobs_size_check" CHECK (size_bytes = pg_catalog.octet_length(bytes))
);
-- Attachments are mostly compressed already; to try again costs time at every write, and a part could not be read without the whole.
ALTER TABLE "@schema@"."@prefix@mail_blobs" ALTER COLUMN bytes SET STORAGE EXTERNAL;
COMMENT ON TABLE "@schema@"."@prefix@mail_blobs" IS
  'Contents of attachments, each once per org. The database itself checks that the bytes are those of the hash.';
COMMENT ON COLUMN "@schema@"."@prefix@mail_blobs".bytes IS 'Stored uncompressed, since most attachments are compressed already: substr reads only the part it gives.';

ALTER TABLE "@schema@"."@prefix@mail_blobs" ENABLE ROW LEVEL SECURITY;
CREATE POLICY "members_read" ON "@schema@"."@prefix@mail_blobs" FOR SELECT USING (
  org_id IN (SELECT m.org_id FROM "@schema@"."@prefix@mail_members" m
             WHERE m.role IN (SELECT r.rolname FROM pg_catalog.pg_roles r WHERE pg_catalog.pg_has_role(r.oid, 'MEMBER'))));
CREATE POLICY "members_insert" ON "@schema@"."@prefix@mail_blobs" FOR INSERT WITH CHECK (
  org_id IN (SELECT m.org_id FROM "@schema@"."@prefix@mail_members" m
             WHERE m.role IN (SELECT r.rolname FROM pg_catalog.pg_roles r WHERE pg_catalog.pg_has_role(r.oid, 'MEMBER'))));
CREATE POLICY "members_update" ON "@schema@"."@prefix@mail_blobs" FOR UPDATE USING (
  org_id IN (SELECT m.org_id FROM "@schema@"."@prefix@mail_members" m
             WHERE m.role IN (SELECT r.rolname FROM pg_catalog.pg_roles r WHERE pg_catalog.pg_has_role(r.oid, 'MEMBER'))));
CREATE POLICY "members_delete" ON "@schema@"."@prefix@mail_blobs" FOR DELETE USING (
  org_id IN (SELECT m.org_id FROM "@schema@"."@prefix@mail_members" m
             WHERE m.role IN (SELECT r.rolname FROM pg_catalog.pg_roles r WHERE pg_catalog.pg_has_role(r.oid, 'MEMBER'))));
