-- The kit's four scenarios, from import to workout. What is called is found by the search_path. Athletes are new in every
-- run, so that it can be run again.
DO $$
DECLARE
  anna uuid := gen_random_uuid();
  ben uuid := gen_random_uuid();
  log text := 'Squat 5x5 @ 100 kg';
  sum text := encode(sha256(convert_to(log, 'UTF8')), 'hex');
  first record;
  again record;
BEGIN
  -- The exact same text twice.
  SELECT * INTO STRICT first FROM import_raw_text_idempotent(athlete_id => anna, raw_text => log, source => 'psql');
  ASSERT NOT first.is_duplicate AND first.message = 'New import created', first;
  ASSERT first.checksum = sum, 'clean text hashes to plain SHA-256';
  SELECT * INTO STRICT again FROM import_raw_text_idempotent(
    athlete_id => anna, raw_text => log, source => 'mail', source_ref => '<1@club>', tags => ARRAY['again']);
  ASSERT again.is_duplicate AND again.import_id = first.import_id AND again.checksum = sum, again;
  ASSERT again.message ~ '^Duplicate import detected[.] Returning existing import from \d{4}-\d\d-\d\d', again.message;
  ASSERT (SELECT (source, tags) = ('psql', '{}'::text[]) FROM imports i WHERE i.import_id = first.import_id), 'the first stays as it was';

  -- The same content, of two athletes.
  SELECT * INTO STRICT again FROM import_raw_text_idempotent(athlete_id => ben, raw_text => log, source => 'psql');
  ASSERT NOT again.is_duplicate AND again.import_id <> first.import_id AND again.checksum = sum, again;

  -- White space, of all kinds, which is stored as it came.
  SELECT * INTO STRICT again FROM import_raw_text_idempotent(anna, E' Squat  5x5\r\n@\u00a0100\tkg\n', 'psql');
  ASSERT again.is_duplicate AND again.import_id = first.import_id, again;
  SELECT * INTO STRICT again FROM import_raw_text_idempotent(gen_random_uuid(), E' Squat  5x5\n', 'psql');
  ASSERT (SELECT raw_text = E' Squat  5x5\n' FROM imports i WHERE i.import_id = again.import_id), 'as received';

  -- Another text.
  SELECT * INTO STRICT again FROM import_raw_text_idempotent(anna, 'Squat 5x5 @ 105 kg', 'psql');
  ASSERT NOT again.is_duplicate AND again.import_id <> first.import_id, again;

  ASSERT (SELECT count(*) FROM imports WHERE athlete_id = anna) = 2, 'two texts of Anna';
  ASSERT (SELECT count(*) FROM imports WHERE athlete_id = ben) = 1, 'one text of Ben';

  SELECT * INTO STRICT again FROM check_import_duplicate(checksum => sum, athlete_id => ben);
  ASSERT again."exists" AND again.athlete_id = ben AND again.source = 'psql', again;
  SELECT * INTO STRICT again FROM check_import_duplicate(checksum => sum, athlete_id => gen_random_uuid());
  ASSERT NOT again."exists" AND again.import_id IS NULL, again;
END $$;

DO $$
DECLARE
  anna uuid := gen_random_uuid();
  day date := '2026-03-02';
  morning record;
  evening record;
  draft uuid;
  first record;
  again record;
BEGIN
  -- Two workouts on a day.
  SELECT * INTO STRICT morning FROM import_raw_text_idempotent(anna, 'Row 5 km', 'psql');
  SELECT * INTO STRICT evening FROM import_raw_text_idempotent(anna, 'Squat 5x5', 'psql');
  INSERT INTO workout_drafts (import_id) VALUES (morning.import_id) RETURNING draft_id INTO draft;
  SELECT * INTO STRICT first FROM commit_workout_idempotent(
    draft_id => draft, parsed_workout => jsonb_build_object('workout_date', day, 'title', 'Row'));
  ASSERT NOT first.is_duplicate AND first.message = 'New workout committed', first;
  INSERT INTO workout_drafts (import_id) VALUES (evening.import_id) RETURNING draft_id INTO draft;
  SELECT * INTO STRICT again FROM commit_workout_idempotent(draft, jsonb_build_object('workout_date', day, 'title', 'Squat'));
  ASSERT NOT again.is_duplicate AND again.workout_id <> first.workout_id, again;

  -- The same draft, and another draft of the same import.
  SELECT * INTO STRICT again FROM commit_workout_idempotent(draft, jsonb_build_object('workout_date', day, 'title', 'Squats'));
  ASSERT again.is_duplicate AND again.message = 'Duplicate workout detected. Same athlete/date/content already exists', again;
  INSERT INTO workout_drafts (import_id) VALUES (morning.import_id) RETURNING draft_id INTO draft;
  SELECT * INTO STRICT again FROM commit_workout_idempotent(draft, jsonb_build_object('workout_date', day));
  ASSERT again.is_duplicate AND again.workout_id = first.workout_id, again;

  ASSERT (SELECT array_agg(session_title ORDER BY session_title) = '{Row,Squat}' FROM workouts
          WHERE athlete_id = anna AND workout_date = day), 'both are kept, under their first titles';
  SELECT * INTO STRICT again FROM check_workout_duplicate(athlete_id => anna, workout_date => day, content_hash => morning.checksum);
  ASSERT again."exists" AND again.workout_id = first.workout_id AND again.session_title = 'Row', again;
  SELECT * INTO STRICT again FROM check_workout_duplicate(anna, day + 1, morning.checksum);
  ASSERT NOT again."exists" AND again.workout_id IS NULL, again;
END $$;

DO $$
BEGIN
  -- Bad input is an error that a block can catch, and leaves nothing.
  PERFORM import_raw_text_idempotent(NULL, E' \n', 'psql');
  ASSERT false, 'blank text was taken';
EXCEPTION WHEN invalid_parameter_value THEN
  ASSERT SQLERRM = 'the content is blank', SQLERRM;
END $$;

DO $$
BEGIN
  ASSERT NOT EXISTS (SELECT FROM imports WHERE raw_text ~ '^\s*$'), 'blank';
  ASSERT NOT EXISTS (SELECT FROM v_imports_without_checksum), 'checksums';
  ASSERT NOT EXISTS (SELECT FROM v_duplicate_imports), 'duplicates';
END $$;
