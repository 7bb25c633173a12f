-- The sessions of each parsed workout, numbered from 1 in the order of the JSON. What is no array where one belongs has
-- no elements. The view runs with the rights of whoever asks, so the table decides what he sees.
CREATE VIEW "@schema@"."@prefix@workout_sessions" WITH (security_invoker = true) AS
SELECT w.workout_id, w.athlete_id, w.workout_date, s.number::integer AS session_number,
       coalesce(s.element ->> 'title', s.element ->> 'name') AS title,
       s.element AS session
FROM "@schema@"."@prefix@workouts" w
CROSS JOIN LATERAL pg_catalog.jsonb_array_elements(
  CASE pg_catalog.jsonb_typeof(w.parsed_workout -> 'sessions') WHEN 'array' THEN w.parsed_workout -> 'sessions' ELSE '[]' END
) WITH ORDINALITY AS s(element, number);
COMMENT ON VIEW "@schema@"."@prefix@workout_sessions" IS 'The sessions of each parsed workout.';
GRANT SELECT ON "@schema@"."@prefix@workout_sessions" TO PUBLIC;
