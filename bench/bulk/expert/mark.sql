-- Only the duplicates are looked up again and written, by their places: of four ways that were tried the quickest.
ANALYZE codes_check_temp;
UPDATE codes_check_temp staged SET internal_dup = found.internal, existing_dup = found.existing
FROM (
  SELECT place, bool_or(internal) AS internal, bool_or(NOT internal) AS existing
  FROM (
    SELECT place, true AS internal
    FROM (SELECT ctid AS place, row_number() OVER (PARTITION BY code ORDER BY ctid) AS occurrence
          FROM codes_check_temp WHERE merchant_id = '@merchant@') numbered
    WHERE occurrence > 1
    UNION ALL
    SELECT s.ctid, false
    FROM codes_check_temp s JOIN codes ON codes.merchant_id = s.merchant_id AND codes.code = s.code
    WHERE s.merchant_id = '@merchant@'
  ) duplicate
  GROUP BY place
) found
WHERE staged.ctid = found.place;
