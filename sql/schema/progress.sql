-- Progress of the bulk functions, seen from any session while they run. It is kept in the slots that
-- Postgres has for COPY's progress (a running transaction's rows can't be seen from outside), marked as ours
-- by "once" in param11. A role sees the backends whose role it is a member of, as in pg_stat_activity.
CREATE VIEW @extschema@.import_progress AS
SELECT p.pid,
       a.usename AS role,
       pg_catalog.format('%I.%I', n.nspname, c.relname) AS relation,
       (ARRAY['counting', 'marking duplicates', 'validating', 'inserting', 'deleting', 'comparing'])[p.param12] AS phase,
       p.param13 AS rows_done,
       p.param14 AS rows_total,
       a.query_start AS started_at
FROM pg_catalog.pg_stat_get_progress_info('COPY') AS p
JOIN pg_catalog.pg_database d
  ON d.oid OPERATOR(pg_catalog.=) p.datid AND d.datname OPERATOR(pg_catalog.=) pg_catalog.current_database()
LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid OPERATOR(pg_catalog.=) p.pid
LEFT JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) p.relid
LEFT JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
WHERE p.param11 OPERATOR(pg_catalog.=) 1869505381;
GRANT SELECT ON @extschema@.import_progress TO PUBLIC;
COMMENT ON VIEW @extschema@.import_progress IS
  'Running jobs of this database: process, role, target table, phase, rows done and total of the phase, and since when. rows_done moves while rows are marked and inserted; the other phases tell their total alone.';
