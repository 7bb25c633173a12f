-- What to look at: all empty on a healthy database.
CREATE OR REPLACE VIEW "@schema@"."@prefix@v_imports_without_checksum" WITH (security_invoker = true) AS
SELECT i.import_id, i.athlete_id, i.source, i.received_at
FROM "@schema@"."@prefix@imports" i
WHERE i.checksum_sha256 IS NULL OR i.checksum_sha256 !~ '^[0-9a-f]{64}$';

CREATE OR REPLACE VIEW "@schema@"."@prefix@v_duplicate_imports" WITH (security_invoker = true) AS
SELECT i.athlete_id, i.checksum_sha256, count(*) AS duplicate_count,
       array_agg(i.import_id ORDER BY i.received_at, i.import_id) AS import_ids,
       min(i.received_at) AS first_received_at, max(i.received_at) AS last_received_at
FROM "@schema@"."@prefix@imports" i
WHERE i.checksum_sha256 IS NOT NULL AND (i.tags @> ARRAY['duplicate_archived'::text]) IS NOT TRUE
GROUP BY i.athlete_id, i.checksum_sha256 HAVING count(*) > 1;

CREATE OR REPLACE VIEW "@schema@"."@prefix@v_workouts_without_hash" WITH (security_invoker = true) AS
SELECT w.workout_id, w.athlete_id, w.workout_date, w.session_title, w.import_id, w.created_at
FROM "@schema@"."@prefix@workouts" w
WHERE w.content_hash_ref IS NULL;

-- Two workouts of one athlete and day can be two, and are kept; where something says that they are one, a person decides.
CREATE OR REPLACE VIEW "@schema@"."@prefix@v_potential_duplicate_workouts" WITH (security_invoker = true) AS
SELECT w.athlete_id, w.workout_date, w.workout_id, o.workout_id AS other_workout_id,
       w.session_title, o.session_title AS other_session_title,
       pg_catalog.array_remove(ARRAY[
         CASE WHEN w.content_hash_ref = o.content_hash_ref THEN 'same hash' END,
         CASE WHEN w.import_id = o.import_id THEN 'same import' END,
         CASE WHEN w.parsed_workout = o.parsed_workout THEN 'same parsed workout' END,
         CASE WHEN pg_catalog.lower(w.session_title) = pg_catalog.lower(o.session_title) THEN 'same title' END], NULL) AS reasons
FROM "@schema@"."@prefix@workouts" w
JOIN "@schema@"."@prefix@workouts" o
  ON o.athlete_id = w.athlete_id AND o.workout_date = w.workout_date
 AND (coalesce(w.created_at, '-infinity'), w.workout_id) < (coalesce(o.created_at, '-infinity'), o.workout_id)
WHERE w.content_hash_ref = o.content_hash_ref OR w.import_id = o.import_id OR w.parsed_workout = o.parsed_workout
   OR pg_catalog.lower(w.session_title) = pg_catalog.lower(o.session_title);

COMMENT ON VIEW "@schema@"."@prefix@v_imports_without_checksum" IS
  'Imports that no checksum tells, so that they could be imported again: adopt_imports computes what is missing.';
COMMENT ON VIEW "@schema@"."@prefix@v_duplicate_imports" IS
  'Imports of one athlete with one content, the archived ones aside: adopt_imports tags all but the oldest.';
COMMENT ON VIEW "@schema@"."@prefix@v_workouts_without_hash" IS
  'Workouts that no content tells, so that they could be committed again.';
COMMENT ON VIEW "@schema@"."@prefix@v_potential_duplicate_workouts" IS
  'Pairs of workouts of one athlete and day, the older first, that may be one: same hash, import, parsed workout or title.';
GRANT SELECT ON "@schema@"."@prefix@v_imports_without_checksum", "@schema@"."@prefix@v_duplicate_imports",
  "@schema@"."@prefix@v_workouts_without_hash", "@schema@"."@prefix@v_potential_duplicate_workouts" TO PUBLIC;
