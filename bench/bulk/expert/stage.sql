-- Into a table that is new or emptied in the same transaction, COPY can write rows as those that all can see.
BEGIN;
TRUNCATE codes_check_temp;
\copy codes_check_temp (merchant_id, code, serial, sku, points, sku_name, batch_code, price) FROM '@single@' CSV HEADER FREEZE
COMMIT;
