-- Rows first, and each index from scratch: for all rows, those too that were there.
BEGIN;
INSERT INTO codes (id, merchant_id, code, serial, sku, points, sku_name, batch_code, price, import_job_id)
SELECT id, merchant_id, code, serial, sku, points, sku_name, batch_code, price, '@job@' FROM clean;
CREATE UNIQUE INDEX ON codes (id);
CREATE UNIQUE INDEX ON codes (merchant_id, code);
CREATE INDEX ON codes (import_job_id);
COMMIT;
