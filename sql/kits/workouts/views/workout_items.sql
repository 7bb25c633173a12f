-- The items of each block, numbered as the sessions are.
CREATE VIEW "@schema@"."@prefix@workout_items" WITH (security_invoker = true) AS
SELECT w.workout_id, w.athlete_id, w.workout_date,
       s.number::integer AS session_number, b.number::integer AS block_number, i.number::integer AS item_number,
       coalesce(i.element ->> 'exercise_name', i.element ->> 'exercise', i.element ->> 'name', i.element ->> 'title') AS exercise,
       i.element -> 'prescription' AS prescription,
       i.element -> 'performed' AS performed,
       i.element AS item
FROM "@schema@"."@prefix@workouts" w
CROSS JOIN LATERAL pg_catalog.jsonb_array_elements(
  CASE pg_catalog.jsonb_typeof(w.parsed_workout -> 'sessions') WHEN 'array' THEN w.parsed_workout -> 'sessions' ELSE '[]' END
) WITH ORDINALITY AS s(element, number)
CROSS JOIN LATERAL pg_catalog.jsonb_array_elements(
  CASE pg_catalog.jsonb_typeof(s.element -> 'blocks') WHEN 'array' THEN s.element -> 'blocks' ELSE '[]' END
) WITH ORDINALITY AS b(element, number)
CROSS JOIN LATERAL pg_catalog.jsonb_array_elements(
  CASE pg_catalog.jsonb_typeof(b.element -> 'items') WHEN 'array' THEN b.element -> 'items' ELSE '[]' END
) WITH ORDINALITY AS i(element, number);
COMMENT ON VIEW "@schema@"."@prefix@workout_items" IS 'The items of each block: what was prescribed and what was performed, apart.';
GRANT SELECT ON "@schema@"."@prefix@workout_items" TO PUBLIC;
