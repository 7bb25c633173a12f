-- Workouts, each once per athlete, day and content; and a draft is committed once.
CREATE TABLE "@schema@"."@prefix@workouts" (
  workout_id       uuid PRIMARY KEY DEFAULT pg_catalog.gen_random_uuid(),
  import_id        uuid REFERENCES "@schema@"."@prefix@imports" (import_id),
  draft_id         uuid REFERENCES "@schema@"."@prefix@workout_drafts" (draft_id),
  athlete_id       uuid NOT NULL,
  workout_date     date NOT NULL,
  session_title    text,
  status           text NOT NULL DEFAULT 'committed',
  content_hash_ref text COLLATE "C",
  parsed_workout   jsonb,
  created_at       timestamptz NOT NULL DEFAULT pg_catalog.now(),
  CONSTRAINT "@prefix@workouts_athlete_date_content_key" UNIQUE (athlete_id, workout_date, content_hash_ref),
  CONSTRAINT "@prefix@workouts_draft_key" UNIQUE (draft_id)
);
CREATE INDEX "@prefix@workouts_import_id_idx" ON "@schema@"."@prefix@workouts" (import_id);
COMMENT ON TABLE "@schema@"."@prefix@workouts" IS
  'Workouts, each once per athlete, date and content. content_hash_ref is the checksum of the import they came from, or a hash of another kind where they came by other ways.';
