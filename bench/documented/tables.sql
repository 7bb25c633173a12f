-- The staging table of the documented way: logged, and with its three indexes from the start.
CREATE SCHEMA documented;
CREATE TABLE documented.codes_check_temp (
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
CREATE INDEX ON documented.codes_check_temp (code, merchant_id);
CREATE INDEX ON documented.codes_check_temp (merchant_id, internal_dup, existing_dup);
CREATE INDEX ON documented.codes_check_temp (row_number);
