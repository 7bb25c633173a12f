-- Batches into a target of rows, as psql sends them: each in a variable. Phone numbers are new in every run, so that it can be
-- run again.
SELECT format('[{"phone": "+60 12 %1$s", "name": "Tan Ah Kow", "tags": ["psql"], "joined": "2026-03-02"},
                {"phone": "012-%1$s", "name": "", "city": "Ipoh"},
                {"phone": "none", "name": "Raj"}]', phone) AS batch,
       format('[{"phone": "012 %1$s", "city": "Penang"}]', phone) AS later,
       '+6012' || phone AS phone
FROM (SELECT lpad((count(*) + 2000000)::text, 7, '0') FROM customers) c(phone) \gset

-- A dry run tells all, and leaves nothing.
SELECT ingest('customers', :'batch', dry_run => true) AS dry \gset
SELECT ingest('customers', :'batch', jsonb_build_object('file', 'batch.json', 'plan', :'dry'::jsonb -> 'plan')) AS answer \gset
SELECT ingest('customers', :'batch') AS again \gset
SELECT set_config('test.dry', :'dry', false) IS NULL AS dry, set_config('test.answer', :'answer', false) IS NULL AS answer,
       set_config('test.again', :'again', false) IS NULL AS again, set_config('test.phone', :'phone', false) IS NULL AS phone,
       set_config('test.later', :'later', false) IS NULL AS later \gset
DO $$
DECLARE
  dry jsonb := current_setting('test.dry');
  answer jsonb := current_setting('test.answer');
  again jsonb := current_setting('test.again');
  later jsonb := current_setting('test.later');
  plan jsonb;
  before xid;
BEGIN
  ASSERT dry ->> 'job_id' IS NULL AND dry - '{plan,job_id}'::text[] = answer - 'job_id', dry;
  ASSERT answer @> '{"success": true, "total": 3, "inserted": 1, "duplicate": 1, "rejected": 1}', answer;
  ASSERT answer #>> '{errors,0,value}' = 'none', answer;
  ASSERT (SELECT (name, city, joined, tags) = ('Tan Ah Kow', 'Ipoh', date '2026-03-02', ARRAY['psql']) FROM customers
          WHERE phone = current_setting('test.phone')), 'as merged';
  ASSERT (SELECT status = 'completed' AND rows_written = 1 AND source_info ->> 'file' = 'batch.json' FROM import_jobs
          WHERE id = (answer ->> 'job_id')::uuid), 'the job';

  -- The second identical call changes nothing.
  ASSERT again @> '{"inserted": 0, "updated": 0, "unchanged": 1, "duplicate": 1, "rejected": 1}', again;
  SELECT xmin INTO STRICT before FROM customers WHERE phone = current_setting('test.phone');
  PERFORM ingest('customers', later);
  ASSERT before <> (SELECT xmin FROM customers WHERE phone = current_setting('test.phone')), 'written';
  SELECT xmin INTO STRICT before FROM customers WHERE phone = current_setting('test.phone');
  PERFORM ingest('customers', later);
  ASSERT before = (SELECT xmin FROM customers WHERE phone = current_setting('test.phone')), 'no new version of the row';

  -- A plan that does not hold any more.
  plan := ingest('customers', '[{"phone": "019-555 1234", "name": "New"}]', dry_run => true) -> 'plan';
  INSERT INTO customers (phone, name) VALUES ('+60195551234', 'Other');
  answer := ingest('customers', '[{"phone": "019-555 1234", "name": "New"}]', jsonb_build_object('plan', plan));
  ASSERT answer @> '{"success": false, "sqlstate": "55000"}', answer;
  DELETE FROM customers WHERE phone = '+60195551234';
END
$$;
