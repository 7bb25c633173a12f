-- Each row is hashed and compared once with production and once with the others; nothing is written.
SELECT staged, internal, existing
FROM (SELECT sum(times) AS staged, sum(times - 1) AS internal
      FROM (SELECT count(*) AS times FROM codes_check_temp GROUP BY merchant_id, code) AS each) AS within,
     (SELECT count(*) AS existing FROM codes_check_temp JOIN codes USING (merchant_id, code)) AS known;
