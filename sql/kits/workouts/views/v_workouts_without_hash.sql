CREATE VIEW "@schema@"."@prefix@v_workouts_without_hash" WITH (security_invoker = true) AS
SELECT w.workout_id, w.athlete_id, w.workout_date, w.session_title, w.import_id, w.created_at
FROM "@schema@"."@prefix@workouts" w
WHERE w.content_hash_ref IS NULL;
COMMENT ON VIEW "@schema@"."@prefix@v_workouts_without_hash" IS
  'Workouts that no content tells, so that they could be committed again.';
GRANT SELECT ON "@schema@"."@prefix@v_workouts_without_hash" TO PUBLIC;
