-- The duplicate reports stream their rows in constant memory, which PL/pgSQL's RETURN QUERY does, and
-- the promo-code face of the generic functions.
--
-- The reports join all that is staged with itself and with production. Fresh staging has no statistics, and a planner
-- that takes a million rows for one would nest loops over them.

CREATE FUNCTION @extschema@.duplicate_report(target text, scope text)
RETURNS TABLE (row_number bigint, staged jsonb, status text, duplicates_row bigint, duplicates_id text)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET enable_nestloop = off SET jit = off AS $once$
BEGIN
  RETURN QUERY EXECUTE @extschema@.duplicate_report_query(target, scope) USING scope;
END
$once$;

CREATE FUNCTION @extschema@.get_duplicate_report(p_merchant_id uuid, p_target text DEFAULT 'codes')
RETURNS TABLE (merchant_id uuid, code text, serial text, sku text, points numeric, sku_name text, batch_code text,
               price numeric, row_number bigint, internal_dup boolean, existing_dup boolean, created_at timestamptz,
               status text, duplicates_row bigint, duplicates_id text)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET enable_nestloop = off SET jit = off AS $once$
BEGIN
  -- The casts are for adopted tables, whose types may be others.
  RETURN QUERY EXECUTE format(
    'SELECT m::uuid, c::text, se::text, sk::text, p::numeric, n::text, b::text, pr::numeric, r, i, e, t::timestamptz, st, dr, di
     FROM (%s) AS report (m, c, se, sk, p, n, b, pr, r, i, e, t, st, dr, di)',
    @extschema@.duplicate_report_query(p_target, p_merchant_id::text,
      ARRAY['merchant_id', 'code', 'serial', 'sku', 'points', 'sku_name', 'batch_code', 'price', 'row_number',
            'internal_dup', 'existing_dup', 'created_at'])) USING p_merchant_id::text;
END
$once$;

CREATE FUNCTION @extschema@.mark_duplicates_in_temp(p_merchant_id uuid, p_chunk_size bigint DEFAULT 100000, p_target text DEFAULT 'codes')
RETURNS jsonb LANGUAGE sql SET search_path = pg_catalog, pg_temp
AS $once$ SELECT @extschema@.mark_duplicates(p_target, p_merchant_id::text, p_chunk_size) $once$;

CREATE FUNCTION @extschema@.validate_clean_codes_for_insert(p_merchant_id uuid, p_target text DEFAULT 'codes')
RETURNS jsonb LANGUAGE sql SET search_path = pg_catalog, pg_temp
AS $once$ SELECT @extschema@.validate_staged(p_target, p_merchant_id::text) $once$;

CREATE FUNCTION @extschema@.insert_clean_codes_to_production(p_merchant_id uuid, p_source_info jsonb DEFAULT NULL, p_target text DEFAULT 'codes')
RETURNS jsonb LANGUAGE sql SET search_path = pg_catalog, pg_temp
AS $once$ SELECT @extschema@.insert_clean(p_target, p_merchant_id::text, p_source_info) $once$;

CREATE FUNCTION @extschema@.clear_temp_data(p_merchant_id uuid, p_target text DEFAULT 'codes')
RETURNS jsonb LANGUAGE sql SET search_path = pg_catalog, pg_temp
AS $once$ SELECT @extschema@.clear_staging(p_target, p_merchant_id::text) $once$;
