-- The same table for each contender, nothing but his own imports in it.
SELECT once.install_kit('workouts', 'public');
CREATE SCHEMA bare;
CREATE SCHEMA documented;
CREATE TABLE bare.imports (LIKE public.imports INCLUDING ALL);
CREATE TABLE documented.imports (LIKE public.imports INCLUDING ALL);
-- Not while somebody is measured.
ALTER TABLE public.imports SET (autovacuum_enabled = off, toast.autovacuum_enabled = off);
ALTER TABLE bare.imports SET (autovacuum_enabled = off, toast.autovacuum_enabled = off);
ALTER TABLE documented.imports SET (autovacuum_enabled = off, toast.autovacuum_enabled = off);

-- The documented way: normalise, digest, SELECT, and then INSERT. Two at once: one of them gets an error.
CREATE EXTENSION pgcrypto SCHEMA public;
CREATE FUNCTION documented.import_raw_text(p_athlete_id uuid, p_raw_text text, p_source text)
RETURNS TABLE (import_id uuid, is_duplicate boolean, message text, checksum text) LANGUAGE plpgsql AS $$
DECLARE
  v_checksum    text := encode(public.digest(btrim(regexp_replace(p_raw_text, '\s+', ' ', 'g')), 'sha256'), 'hex');
  v_import_id   uuid;
  v_received_at timestamptz;
BEGIN
  SELECT i.import_id, i.received_at INTO v_import_id, v_received_at
  FROM documented.imports i
  WHERE i.athlete_id = p_athlete_id AND i.checksum_sha256 = v_checksum
    AND NOT (i.tags @> ARRAY['duplicate_archived'::text]);
  IF FOUND THEN
    RETURN QUERY SELECT v_import_id, true,
      'Duplicate import detected. Returning existing import from ' || v_received_at, v_checksum;
    RETURN;
  END IF;
  INSERT INTO documented.imports AS i (athlete_id, raw_text, checksum_sha256, normalizer_version, source, source_ref, tags)
  VALUES (p_athlete_id, p_raw_text, v_checksum, 'whitespace/1', p_source, NULL, '{}')
  RETURNING i.import_id INTO v_import_id;
  RETURN QUERY SELECT v_import_id, false, 'New import created', v_checksum;
END $$;
