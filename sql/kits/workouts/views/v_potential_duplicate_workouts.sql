-- Two workouts of one athlete and day can be two, and are kept; where something says that they are one, a person decides.
CREATE VIEW "@schema@"."@prefix@v_potential_duplicate_workouts" WITH (security_invoker = true) AS
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
COMMENT ON VIEW "@schema@"."@prefix@v_potential_duplicate_workouts" IS
  'Pairs of workouts of one athlete and day, the older first, that may be one: same hash, import, parsed workout or title.';
GRANT SELECT ON "@schema@"."@prefix@v_potential_duplicate_workouts" TO PUBLIC;
