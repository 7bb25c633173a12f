-- What athletes and coaches sent, as they sent it, each content once per athlete.
CREATE TABLE "@schema@"."@prefix@imports" (
  import_id          uuid PRIMARY KEY DEFAULT pg_catalog.gen_random_uuid(),
  athlete_id         uuid,
  raw_text           text NOT NULL,
  checksum_sha256    text COLLATE "C" NOT NULL,
  normalizer_version text,
  source             text NOT NULL,
  source_ref         text,
  tags               text[] NOT NULL DEFAULT '{}',
  received_at        timestamptz NOT NULL DEFAULT pg_catalog.now(),
  CONSTRAINT "@prefix@imports_checksum_sha256_check" CHECK (checksum_sha256 ~ '^[0-9a-f]{64}$')
);
-- The checksum first: it is looked up without an athlete too.
CREATE UNIQUE INDEX "@prefix@imports_checksum_sha256_athlete_id_key" ON "@schema@"."@prefix@imports" (checksum_sha256, athlete_id)
  NULLS NOT DISTINCT WHERE NOT (tags @> ARRAY['duplicate_archived'::text]);
COMMENT ON TABLE "@schema@"."@prefix@imports" IS
  'Raw texts, each once per athlete by the SHA-256 of its normalised content; an unknown athlete counts as one. Rows tagged duplicate_archived are from before that was so.';
COMMENT ON COLUMN "@schema@"."@prefix@imports".normalizer_version IS
  'Which normaliser, in which version, the checksum is of; NULL where the checksum was there before pg_once.';
