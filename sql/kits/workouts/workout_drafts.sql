-- What was parsed from an import, as often as it was tried.
CREATE TABLE "@schema@"."@prefix@workout_drafts" (
  draft_id     uuid PRIMARY KEY DEFAULT pg_catalog.gen_random_uuid(),
  import_id    uuid NOT NULL REFERENCES "@schema@"."@prefix@imports" (import_id),
  parsed_draft jsonb,
  stage        text NOT NULL DEFAULT 'draft',
  created_at   timestamptz NOT NULL DEFAULT pg_catalog.now()
);
CREATE INDEX "@prefix@workout_drafts_import_id_idx" ON "@schema@"."@prefix@workout_drafts" (import_id);
COMMENT ON TABLE "@schema@"."@prefix@workout_drafts" IS
  'Drafts of workouts, any number per import. stage is the application''s own.';
