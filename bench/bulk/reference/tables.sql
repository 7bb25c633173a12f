-- The documented design: a logged staging table with its three indexes from the start, production under random UUIDs,
-- and marking in a function that goes through the rows by their numbers.
CREATE TABLE codes_check_temp (
  merchant_id  uuid,
  code         text,
  serial       text,
  sku          text,
  points       numeric,
  sku_name     text,
  batch_code   text,
  price        numeric,
  row_number   bigint,
  internal_dup boolean DEFAULT false,
  existing_dup boolean DEFAULT false,
  created_at   timestamptz DEFAULT now()
);
CREATE INDEX ON codes_check_temp (code, merchant_id);
CREATE INDEX ON codes_check_temp (merchant_id, internal_dup, existing_dup);
CREATE INDEX ON codes_check_temp (row_number);

CREATE TABLE codes (
  id                  uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  merchant_id         uuid NOT NULL,
  code                text NOT NULL,
  sku                 text,
  points              numeric,
  sku_name            text,
  batch_code          text,
  serial              text,
  price               numeric,
  window_start        timestamptz,
  window_end          timestamptz,
  activated           boolean NOT NULL DEFAULT false,
  deactivated         boolean NOT NULL DEFAULT false,
  claimed             boolean NOT NULL DEFAULT false,
  claimed_customer_id uuid,
  import_job_id       uuid,
  source              text,
  created_at          timestamptz NOT NULL DEFAULT now(),
  UNIQUE (code, merchant_id)
);
CREATE INDEX ON codes (merchant_id, code);
CREATE INDEX ON codes (import_job_id);

CREATE TABLE codes_import_jobs (
  id                    uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  merchant_id           uuid NOT NULL,
  status                text NOT NULL DEFAULT 'pending',
  total_codes_to_insert bigint,
  codes_inserted        bigint,
  created_at            timestamptz NOT NULL DEFAULT now(),
  completed_at          timestamptz
);

CREATE FUNCTION mark_duplicates_in_temp(p_merchant_id uuid, p_chunk_size bigint DEFAULT 100000) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
  first_row bigint;
  last_row  bigint;
BEGIN
  UPDATE codes_check_temp staged SET internal_dup = true
  FROM (SELECT row_number, row_number() OVER (PARTITION BY code ORDER BY row_number) AS occurrence
        FROM codes_check_temp WHERE merchant_id = p_merchant_id) numbered
  WHERE staged.row_number = numbered.row_number AND staged.merchant_id = p_merchant_id AND numbered.occurrence > 1;

  SELECT min(row_number), max(row_number) INTO first_row, last_row FROM codes_check_temp WHERE merchant_id = p_merchant_id;
  WHILE first_row <= last_row LOOP
    UPDATE codes_check_temp staged SET existing_dup = true
    WHERE staged.merchant_id = p_merchant_id
      AND staged.row_number >= first_row AND staged.row_number < first_row + p_chunk_size
      AND EXISTS (SELECT FROM codes WHERE codes.code = staged.code AND codes.merchant_id = staged.merchant_id);
    first_row := first_row + p_chunk_size;
  END LOOP;
END $$;

CREATE FUNCTION insert_clean_codes_to_production(p_merchant_id uuid, p_job_id uuid) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
  expected bigint;
  known    bigint;
  written  bigint;
BEGIN
  SELECT count(*) INTO known FROM codes_check_temp staged
  WHERE merchant_id = p_merchant_id AND NOT internal_dup AND NOT existing_dup
    AND EXISTS (SELECT FROM codes WHERE codes.code = staged.code AND codes.merchant_id = staged.merchant_id);
  IF known > 0 THEN
    RAISE EXCEPTION '% codes have come into production meanwhile', known;
  END IF;

  SELECT count(*) INTO expected FROM codes_check_temp
  WHERE merchant_id = p_merchant_id AND NOT internal_dup AND NOT existing_dup;
  INSERT INTO codes_import_jobs (id, merchant_id, status, total_codes_to_insert)
  VALUES (p_job_id, p_merchant_id, 'processing', expected);
  INSERT INTO codes (merchant_id, code, serial, sku, points, sku_name, batch_code, price, import_job_id)
  SELECT merchant_id, code, serial, sku, points, sku_name, batch_code, price, p_job_id
  FROM codes_check_temp staged
  WHERE merchant_id = p_merchant_id AND NOT internal_dup AND NOT existing_dup
    AND NOT EXISTS (SELECT FROM codes WHERE codes.code = staged.code AND codes.merchant_id = staged.merchant_id);
  GET DIAGNOSTICS written = ROW_COUNT;
  UPDATE codes_import_jobs SET status = 'completed', codes_inserted = written, completed_at = now() WHERE id = p_job_id;
  RETURN written;
END $$;
