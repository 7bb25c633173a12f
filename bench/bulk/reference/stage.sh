#!/usr/bin/env bash
# The documented way to stage a folder of CSV files: for each a psql that copies it into a temporary table of text
# columns in the header's order, and from there, cast and numbered on, into the indexed staging table.
set -euo pipefail

staging=codes_check_temp

for file in "$1"/*.csv; do
  columns=$(head -n 1 "$file")
  columns=${columns//batch_id/batch_code}
  values=${columns//merchant_id/merchant_id::uuid}
  values=${values//points/points::numeric}
  values=${values//price/price::numeric}

  psql -X -q -v ON_ERROR_STOP=1 <<SQL
CREATE TEMP TABLE incoming (${columns//,/ text, } text);
\copy incoming FROM '$file' CSV HEADER
INSERT INTO $staging ($columns, row_number)
SELECT $values, before.rows + row_number() OVER ()
FROM incoming, (SELECT coalesce(max(row_number), 0) AS rows FROM $staging) AS before;
DROP TABLE incoming;
SQL
done
