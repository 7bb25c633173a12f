INSERT INTO codes (merchant_id, code, serial, sku, points, sku_name, batch_code, price, import_job_id)
SELECT merchant_id, code, serial, sku, points, sku_name, batch_code, price, '@job@'
FROM codes_check_temp
WHERE merchant_id = '@merchant@' AND NOT internal_dup AND NOT existing_dup
ORDER BY merchant_id, code;
