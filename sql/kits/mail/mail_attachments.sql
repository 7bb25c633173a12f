-- What is attached to messages: known from the message, and stored when its content has been fetched.
CREATE TABLE "@schema@"."@prefix@mail_attachments" (
  attachment_id          uuid PRIMARY KEY DEFAULT pg_catalog.gen_random_uuid(),
  org_id                 uuid NOT NULL,
  mailbox_id             uuid NOT NULL,
  message_id             uuid NOT NULL,
  provider_attachment_id text COLLATE "C" NOT NULL,
  download_id            text,
  filename               text,
  mime_type              text,
  size_bytes             bigint CHECK (size_bytes >= 0),
  content_id             text,
  is_inline              boolean,
  sha256                 text COLLATE "C" CHECK (sha256 ~ '^[0-9a-f]{64}$'),
  storage_path           text,
  stored_at              timestamptz CHECK (pg_catalog.isfinite(stored_at)),
  created_at             timestamptz NOT NULL DEFAULT pg_catalog.now(),
  CONSTRAINT "@prefix@mail_attachments_part_key" UNIQUE (message_id, provider_attachment_id),
  CONSTRAINT "@prefix@mail_attachments_stored_check" CHECK (pg_catalog.num_nulls(sha256, storage_path, stored_at) IN (0, 3)),
  -- An attachment is part of its message, and goes with it.
  CONSTRAINT "@prefix@mail_attachments_message_fkey" FOREIGN KEY (org_id, mailbox_id, message_id)
    REFERENCES "@schema@"."@prefix@mail_messages" (org_id, mailbox_id, message_id) ON DELETE CASCADE
);
-- Whether anything still has a content, before it is taken out of mail_blobs.
CREATE INDEX "@prefix@mail_attachments_sha256_idx" ON "@schema@"."@prefix@mail_attachments" (org_id, sha256) WHERE sha256 IS NOT NULL;
COMMENT ON TABLE "@schema@"."@prefix@mail_attachments" IS
  'Attachments, each once per message and part. They are deleted with their message; what they held stays in mail_blobs.';
COMMENT ON COLUMN "@schema@"."@prefix@mail_attachments".provider_attachment_id IS
  'What names the part within its message for good: Gmail''s partId, such as 1 or 0.2; empty for a message that is nothing but an attachment.';
COMMENT ON COLUMN "@schema@"."@prefix@mail_attachments".download_id IS
  'Gmail''s attachmentId of the last fetch, which is another with every fetch: no key.';
COMMENT ON COLUMN "@schema@"."@prefix@mail_attachments".filename IS 'As the sender gives it: never a path to write to.';
COMMENT ON COLUMN "@schema@"."@prefix@mail_attachments".size_bytes IS 'As the provider says, before it is stored.';
COMMENT ON COLUMN "@schema@"."@prefix@mail_attachments".content_id IS 'What the HTML body names it by (cid:), without the angle brackets.';
COMMENT ON COLUMN "@schema@"."@prefix@mail_attachments".sha256 IS 'Of the content; NULL until it is stored, as are storage_path and stored_at.';
COMMENT ON COLUMN "@schema@"."@prefix@mail_attachments".storage_path IS 'Where the content is, in the words of what stored it.';

ALTER TABLE "@schema@"."@prefix@mail_attachments" ENABLE ROW LEVEL SECURITY;
CREATE POLICY "members_read" ON "@schema@"."@prefix@mail_attachments" FOR SELECT USING (
  org_id IN (SELECT m.org_id FROM "@schema@"."@prefix@mail_members" m
             WHERE m.role IN (SELECT r.rolname FROM pg_catalog.pg_roles r WHERE pg_catalog.pg_has_role(r.oid, 'MEMBER'))));
CREATE POLICY "members_insert" ON "@schema@"."@prefix@mail_attachments" FOR INSERT WITH CHECK (
  org_id IN (SELECT m.org_id FROM "@schema@"."@prefix@mail_members" m
             WHERE m.role IN (SELECT r.rolname FROM pg_catalog.pg_roles r WHERE pg_catalog.pg_has_role(r.oid, 'MEMBER'))));
CREATE POLICY "members_update" ON "@schema@"."@prefix@mail_attachments" FOR UPDATE USING (
  org_id IN (SELECT m.org_id FROM "@schema@"."@prefix@mail_members" m
             WHERE m.role IN (SELECT r.rolname FROM pg_catalog.pg_roles r WHERE pg_catalog.pg_has_role(r.oid, 'MEMBER'))));
CREATE POLICY "members_delete" ON "@schema@"."@prefix@mail_attachments" FOR DELETE USING (
  org_id IN (SELECT m.org_id FROM "@schema@"."@prefix@mail_members" m
             WHERE m.role IN (SELECT r.rolname FROM pg_catalog.pg_roles r WHERE pg_catalog.pg_has_role(r.oid, 'MEMBER'))));
