-- (ASCII only, as all that CREATE EXTENSION reads: the check below must be reached whatever the encoding.)
-- Operators are qualified: CREATE EXTENSION runs as a superuser, with a search_path that begins where others may create.
-- The registry, and what any role may see of it. Its one table is all that the extension itself owns:
-- names and specs, no OIDs, so that a dump restores it.

DO $once$
BEGIN
  IF pg_catalog.getdatabaseencoding() OPERATOR(pg_catalog.<>) 'UTF8' THEN
    RAISE EXCEPTION USING ERRCODE = 'feature_not_supported',
      MESSAGE = 'pg_once needs a database whose encoding is UTF8',
      DETAIL = pg_catalog.format('The encoding of this database is %s.', pg_catalog.getdatabaseencoding()),
      HINT = 'CREATE DATABASE ... ENCODING ''UTF8'' TEMPLATE template0;';
  END IF;
END
$once$;

CREATE TABLE @extschema@.targets (
  name          text PRIMARY KEY CHECK (name OPERATOR(pg_catalog.<>) ''),
  schema_name   text NOT NULL,
  table_name    text NOT NULL,
  staging_name  text,
  spec          jsonb NOT NULL CHECK (
    CASE WHEN coalesce(spec OPERATOR(pg_catalog.->>) 'kind', 'bulk') OPERATOR(pg_catalog.=) 'bulk' THEN
      staging_name IS NOT NULL
      AND coalesce(pg_catalog.jsonb_typeof(spec OPERATOR(pg_catalog.->) 'key') OPERATOR(pg_catalog.=) 'array', false)
    ELSE staging_name IS NULL END
    AND coalesce(pg_catalog.jsonb_typeof(spec OPERATOR(pg_catalog.#>) '{match,0}'), 'array') OPERATOR(pg_catalog.=) 'array'
    AND coalesce(pg_catalog.jsonb_typeof(spec OPERATOR(pg_catalog.->) 'columns'), 'array') OPERATOR(pg_catalog.=) 'array'
    AND coalesce(pg_catalog.jsonb_typeof(spec OPERATOR(pg_catalog.->) 'required'), 'array') OPERATOR(pg_catalog.=) 'array'),
  registered_by text NOT NULL DEFAULT current_user,
  registered_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
  -- Two targets on one staging table would each take the other's flags for its own.
  UNIQUE (schema_name, staging_name)
);
SELECT pg_catalog.pg_extension_config_dump('@extschema@.targets', '');

-- Whoever created the extension owns this table, but the tables that it names are others'. So anyone may
-- write a row, and the trigger lets only the owner of the tables that the row names do it.
CREATE FUNCTION @extschema@.targets_guard() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $once$
DECLARE
  entry @extschema@.targets;
  names text[];
  owned boolean;
  is_superuser boolean := (SELECT rolsuper FROM pg_roles WHERE rolname = current_user);
BEGIN
  IF TG_OP = 'DELETE' THEN
    entry := OLD;
  ELSE
    NEW.registered_by := current_user;
    entry := NEW;
  END IF;
  -- The table and all that the spec names beside it.
  SELECT array_agg(DISTINCT u.name) INTO names
  FROM (SELECT unnest(ARRAY[entry.table_name, entry.staging_name, entry.spec #>> '{drafts,table}', entry.spec #>> '{records,table}'])
        UNION ALL SELECT l ->> 'table' FROM jsonb_path_query(entry.spec, '$.links[*]') l) AS u(name)
  WHERE u.name IS NOT NULL;
  SELECT count(*) = cardinality(names) AND bool_and(pg_has_role(c.relowner, 'USAGE')) INTO owned
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE n.nspname = entry.schema_name AND c.relname = ANY (names) AND c.relpersistence <> 't';
  IF is_superuser OR owned
     OR (TG_OP = 'DELETE' AND entry.registered_by IN (SELECT rolname FROM pg_roles WHERE pg_has_role(oid, 'USAGE'))) THEN
    RETURN entry;
  END IF;
  RAISE EXCEPTION USING ERRCODE = 'insufficient_privilege',
    MESSAGE = format('target "%s" can be registered and dropped only by the owner of its tables', entry.name),
    DETAIL = format('Role "%s" does not own all of %s in schema %I.', current_user,
                    (SELECT string_agg(quote_ident(n), ', ') FROM unnest(names) n), entry.schema_name),
    HINT = 'Let their owner do it.';
END
$once$;

CREATE TRIGGER targets_guard BEFORE INSERT OR UPDATE OR DELETE ON @extschema@.targets
  FOR EACH ROW EXECUTE FUNCTION @extschema@.targets_guard();

-- Not UPDATE (a registration is dropped and made anew) and not TRUNCATE (it would pass by the guard).
REVOKE ALL ON @extschema@.targets FROM PUBLIC;
GRANT SELECT, INSERT, DELETE ON @extschema@.targets TO PUBLIC;
REVOKE ALL ON FUNCTION @extschema@.targets_guard() FROM PUBLIC;

CREATE VIEW @extschema@.target_list AS
SELECT t.name,
       coalesce(t.spec OPERATOR(pg_catalog.->>) 'kind', 'bulk') AS kind,
       pg_catalog.format('%I.%I', t.schema_name, t.table_name) AS relation,
       CASE WHEN t.staging_name IS NOT NULL THEN pg_catalog.format('%I.%I', t.schema_name, t.staging_name) END AS staging,
       ARRAY(SELECT pg_catalog.jsonb_array_elements_text(t.spec OPERATOR(pg_catalog.->) 'key')
             UNION ALL SELECT t.spec OPERATOR(pg_catalog.->>) 'checksum' WHERE t.spec OPERATOR(pg_catalog.->) 'checksum' IS NOT NULL
             UNION ALL SELECT pg_catalog.jsonb_array_elements_text(t.spec OPERATOR(pg_catalog.#>) '{match,0}')) AS key,
       t.spec OPERATOR(pg_catalog.->) 'match' AS match,
       t.spec OPERATOR(pg_catalog.->>) 'scope' AS scope,
       t.spec OPERATOR(pg_catalog.->>) 'job_column' AS job_column,
       t.spec OPERATOR(pg_catalog.->>) 'protect' AS protect,
       ARRAY(SELECT pg_catalog.jsonb_array_elements_text(t.spec OPERATOR(pg_catalog.->) 'columns')) AS columns,
       ARRAY(SELECT pg_catalog.jsonb_array_elements_text(t.spec OPERATOR(pg_catalog.->) 'required')) AS required,
       coalesce(t.spec OPERATOR(pg_catalog.->) 'aliases', '{}') AS aliases,
       t.registered_by,
       t.registered_at
FROM @extschema@.targets t;
GRANT SELECT ON @extschema@.target_list TO PUBLIC;

COMMENT ON TABLE @extschema@.targets IS
  'Tables that pg_once may write to, each with its spec. Written by create_target and drop_target; a trigger lets only the owner of a table register it.';
COMMENT ON FUNCTION @extschema@.targets_guard() IS
  'Trigger of targets: only the owner of the target and staging tables may register or drop a target. Raises 42501.';
COMMENT ON VIEW @extschema@.target_list IS
  'The registered targets: kind (bulk, document, rows), table, staging table (NULL where rows are not staged), key (of rows the first one; match has all of them, NULL of other kinds), scope, job column, protect column, copied and required columns, other names of columns in files, and who registered them.';
