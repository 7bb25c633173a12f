CREATE SCHEMA hashing;
CREATE TABLE hashing.texts (name text PRIMARY KEY, content text NOT NULL);
ALTER TABLE hashing.texts ALTER content SET STORAGE EXTERNAL;

-- How long an expression over a text takes: without what it takes to read the text, and to hand it over.
CREATE FUNCTION hashing.seconds(expression text, text_name text) RETURNS double precision LANGUAGE plpgsql AS $$
DECLARE
  text  text := (SELECT t.content || '' FROM hashing.texts t WHERE t.name = text_name);
  begun timestamptz;
  hash  text;
  ended timestamptz;
BEGIN
  -- OFFSET keeps the planner from computing it beforehand.
  EXECUTE format('SELECT clock_timestamp(), %s, clock_timestamp() FROM (SELECT $1 AS content OFFSET 0) one', expression)
  INTO STRICT begun, hash, ended USING text;
  RETURN extract(epoch FROM ended - begun);
END $$;
