-- The blocks of each session, numbered as the sessions are.
CREATE VIEW "@schema@"."@prefix@workout_blocks" WITH (security_invoker = true) AS
SELECT w.workout_id, w.athlete_id, w.workout_date, s.number::integer AS session_number, b.number::integer AS block_number,
       coalesce(b.element ->> 'title', b.element ->> 'name') AS title,
       coalesce(b.element ->> 'block_type', b.element ->> 'type') AS block_type,
       b.element AS block
FROM "@schema@"."@prefix@workouts" w
CROSS JOIN LATERAL pg_catalog.jsonb_array_elements(
  CASE pg_catalog.jsonb_typeof(w.parsed_workout -> 'sessions') WHEN 'array' THEN w.parsed_workout -> 'sessions' ELSE '[]' END
) WITH ORDINALITY AS s(element, number)
CROSS JOIN LATERAL pg_catalog.jsonb_array_elements(
  CASE pg_catalog.jsonb_typeof(s.element -> 'blocks') WHEN 'array' THEN s.element -> 'blocks' ELSE '[]' END
) WITH ORDINALITY AS b(element, number);
COMMENT ON VIEW "@schema@"."@prefix@workout_blocks" IS 'The blocks of each session.';
GRANT SELECT ON "@schema@"."@prefix@workout_blocks" TO PUBLIC;
