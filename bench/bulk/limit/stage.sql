BEGIN;
TRUNCATE codes_check_temp;
COPY codes_check_temp FROM '@single@' CSV HEADER FREEZE;
COMMIT;
