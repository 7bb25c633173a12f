-- The parsed workouts unfolded: sessions, their blocks, their items, each numbered from 1 in the order of the JSON.
-- What is no array where one belongs has no elements.
CREATE OR REPLACE VIEW "@schema@"."@prefix@workout_sessions" WITH (security_invoker = true) AS
SELECT w.workout_id, w.athlete_id, w.workout_date, s.number::integer AS session_number,
       coalesce(s.element ->> 'title', s.element ->> 'name') AS title,
       s.element AS session
FROM "@schema@"."@prefix@workouts" w
CROSS JOIN LATERAL pg_catalog.jsonb_array_elements(
  CASE pg_catalog.jsonb_typeof(w.parsed_workout -> 'sessions') WHEN 'array' THEN w.parsed_workout -> 'sessions' ELSE '[]' END
) WITH ORDINALITY AS s(element, number);

CREATE OR REPLACE VIEW "@schema@"."@prefix@workout_blocks" WITH (security_invoker = true) AS
SELECT s.workout_id, s.athlete_id, s.workout_date, s.session_number, b.number::integer AS block_number,
       coalesce(b.element ->> 'title', b.element ->> 'name') AS title,
       coalesce(b.element ->> 'block_type', b.element ->> 'type') AS block_type,
       b.element AS block
FROM "@schema@"."@prefix@workout_sessions" s
CROSS JOIN LATERAL pg_catalog.jsonb_array_elements(
  CASE pg_catalog.jsonb_typeof(s.session -> 'blocks') WHEN 'array' THEN s.session -> 'blocks' ELSE '[]' END
) WITH ORDINALITY AS b(element, number);

CREATE OR REPLACE VIEW "@schema@"."@prefix@workout_items" WITH (security_invoker = true) AS
SELECT b.workout_id, b.athlete_id, b.workout_date, b.session_number, b.block_number, i.number::integer AS item_number,
       coalesce(i.element ->> 'exercise_name', i.element ->> 'exercise', i.element ->> 'name', i.element ->> 'title') AS exercise,
       i.element -> 'prescription' AS prescription,
       i.element -> 'performed' AS performed,
       i.element AS item
FROM "@schema@"."@prefix@workout_blocks" b
CROSS JOIN LATERAL pg_catalog.jsonb_array_elements(
  CASE pg_catalog.jsonb_typeof(b.block -> 'items') WHEN 'array' THEN b.block -> 'items' ELSE '[]' END
) WITH ORDINALITY AS i(element, number);

COMMENT ON VIEW "@schema@"."@prefix@workout_sessions" IS 'The sessions of each parsed workout.';
COMMENT ON VIEW "@schema@"."@prefix@workout_blocks" IS 'The blocks of each session.';
COMMENT ON VIEW "@schema@"."@prefix@workout_items" IS
  'The items of each block: what was prescribed and what was performed, apart.';
-- The views run with the rights of whoever asks, so the table decides what he sees.
GRANT SELECT ON "@schema@"."@prefix@workout_sessions", "@schema@"."@prefix@workout_blocks", "@schema@"."@prefix@workout_items" TO PUBLIC;
