-- What autovacuum would have done.
ANALYZE codes_check_temp;
SELECT mark_duplicates_in_temp('@merchant@');
