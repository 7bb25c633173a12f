-- Not measured: the rows that are to be inserted, with their ids; and how many repeat another and are in production.
CREATE UNLOGGED TABLE clean AS
SELECT (SELECT coalesce(max(id), 0) FROM codes) + row_number() OVER () AS id, once.*
FROM (SELECT DISTINCT ON (merchant_id, code) * FROM codes_check_temp ORDER BY merchant_id, code) once
WHERE NOT EXISTS (SELECT FROM codes WHERE codes.merchant_id = once.merchant_id AND codes.code = once.code);
VACUUM (FREEZE, ANALYZE) clean;
SELECT coalesce(sum(times - 1), 0)
FROM (SELECT count(*) AS times FROM codes_check_temp JOIN codes USING (merchant_id, code) GROUP BY merchant_id, code) AS each;
