-- The extension lives in the schema that CREATE EXTENSION names, and leaves nothing behind.
SELECT extname, extnamespace::regnamespace FROM pg_extension WHERE extname = 'pg_once';
DROP EXTENSION pg_once;
SELECT count(*) AS left_behind FROM pg_depend d JOIN pg_namespace n ON n.oid = d.refobjid
WHERE d.refclassid = 'pg_namespace'::regclass AND n.nspname = 'once';
CREATE SCHEMA "Another schema";
CREATE EXTENSION pg_once SCHEMA "Another schema";
SELECT extnamespace::regnamespace FROM pg_extension WHERE extname = 'pg_once';
