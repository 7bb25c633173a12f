-- What has happened, as a chain of hashes per org: added to, never changed.
CREATE TABLE "@schema@"."@prefix@ledger_events" (
  org_id         uuid NOT NULL,
  number         bigint NOT NULL CHECK (number > 0),
  -- No BC: the text that is hashed would not say so.
  occurred_at    timestamptz NOT NULL CHECK (occurred_at >= '0001-01-01 00:00:00+00' AND occurred_at < 'infinity'),
  event_type     text NOT NULL,
  actor          text NOT NULL,
  entity_type    text,
  entity_id      text CHECK (pg_catalog.octet_length(entity_id) <= 1000),
  correlation_id text CHECK (pg_catalog.octet_length(correlation_id) <= 1000),
  payload        jsonb NOT NULL DEFAULT '{}',
  previous_hash  text COLLATE "C" NOT NULL CHECK (previous_hash ~ '^[0-9a-f]{64}$'),
  hash           text COLLATE "C" NOT NULL CHECK (hash ~ '^[0-9a-f]{64}$'),
  PRIMARY KEY (org_id, number),
  CONSTRAINT "@prefix@ledger_events_first_check" CHECK (number > 1 OR previous_hash = pg_catalog.repeat('0', 64))
);
-- The two questions that are asked of it: what one run did, and what has become of one thing.
CREATE INDEX "@prefix@ledger_events_correlation_idx" ON "@schema@"."@prefix@ledger_events" (org_id, correlation_id)
  WHERE correlation_id IS NOT NULL;
CREATE INDEX "@prefix@ledger_events_entity_idx" ON "@schema@"."@prefix@ledger_events" (org_id, entity_type, entity_id)
  WHERE entity_id IS NOT NULL;
COMMENT ON TABLE "@schema@"."@prefix@ledger_events" IS
  'What has happened in an org, numbered from 1 without gaps, each event chained to the one before by its hash. Events are added, and never changed or deleted.';
COMMENT ON COLUMN "@schema@"."@prefix@ledger_events".occurred_at IS 'To the microsecond, which the hash covers.';
COMMENT ON COLUMN "@schema@"."@prefix@ledger_events".actor IS 'Who did it, in the words of what wrote the event.';
COMMENT ON COLUMN "@schema@"."@prefix@ledger_events".correlation_id IS 'What ties the events of one run together, such as a job''s id.';
COMMENT ON COLUMN "@schema@"."@prefix@ledger_events".previous_hash IS 'The hash of the event with the number before in the same org; 64 zeros for number 1.';
COMMENT ON COLUMN "@schema@"."@prefix@ledger_events".hash IS
  $$encode(sha256(convert_to(previous_hash || jsonb_build_array(org_id, number, to_char(occurred_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), event_type, actor, entity_type, entity_id, correlation_id, payload)::text, 'UTF8')), 'hex')$$;

CREATE FUNCTION "@schema@"."@prefix@mail_ledger_guard"() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $once$
BEGIN
  RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
    MESSAGE = 'events of the ledger are never changed or deleted',
    DETAIL = format('%s on %I.%I was refused.', TG_OP, TG_TABLE_SCHEMA, TG_TABLE_NAME),
    HINT = 'Add an event that says what is so now.';
END
$once$;
COMMENT ON FUNCTION "@schema@"."@prefix@mail_ledger_guard"() IS
  'Trigger of ledger_events: refuses what is not an INSERT, from everybody.';
CREATE TRIGGER "@prefix@ledger_events_guard" BEFORE UPDATE OR DELETE OR TRUNCATE ON "@schema@"."@prefix@ledger_events"
  FOR EACH STATEMENT EXECUTE FUNCTION "@schema@"."@prefix@mail_ledger_guard"();
-- Under session_replication_role = replica, too.
ALTER TABLE "@schema@"."@prefix@ledger_events" ENABLE ALWAYS TRIGGER "@prefix@ledger_events_guard";

-- An event that does not follow the last one would be found by whoever verifies, and never be mended: it is not let in.
CREATE FUNCTION "@schema@"."@prefix@mail_ledger_chain"() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET jit = off AS $once$
BEGIN
  IF EXISTS (
    SELECT FROM new_events n LEFT JOIN "@schema@"."@prefix@ledger_events" p ON p.org_id = n.org_id AND p.number = n.number - 1
    WHERE n.previous_hash IS DISTINCT FROM CASE WHEN n.number = 1 THEN repeat('0', 64) ELSE p.hash END
       OR n.hash <> encode(sha256(convert_to(n.previous_hash || jsonb_build_array(n.org_id, n.number,
            to_char(n.occurred_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), n.event_type, n.actor, n.entity_type,
            n.entity_id, n.correlation_id, n.payload)::text, 'UTF8')), 'hex')) THEN
    RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
      MESSAGE = 'the event does not follow the last one of the ledger',
      DETAIL = format('%I.%I takes numbers without gaps, each with the hash of the one before.', TG_TABLE_SCHEMA, TG_TABLE_NAME),
      HINT = 'Write it with append_ledger_event.';
  END IF;
  RETURN NULL;
END
$once$;
COMMENT ON FUNCTION "@schema@"."@prefix@mail_ledger_chain"() IS
  'Trigger of ledger_events: refuses events whose number or hashes do not follow from what is there.';
CREATE TRIGGER "@prefix@ledger_events_chain" AFTER INSERT ON "@schema@"."@prefix@ledger_events"
  REFERENCING NEW TABLE AS new_events FOR EACH STATEMENT EXECUTE FUNCTION "@schema@"."@prefix@mail_ledger_chain"();

ALTER TABLE "@schema@"."@prefix@ledger_events" ENABLE ROW LEVEL SECURITY;
CREATE POLICY "members_read" ON "@schema@"."@prefix@ledger_events" FOR SELECT USING (
  org_id IN (SELECT m.org_id FROM "@schema@"."@prefix@mail_members" m
             WHERE m.role IN (SELECT r.rolname FROM pg_catalog.pg_roles r WHERE pg_catalog.pg_has_role(r.oid, 'MEMBER'))));
CREATE POLICY "members_insert" ON "@schema@"."@prefix@ledger_events" FOR INSERT WITH CHECK (
  org_id IN (SELECT m.org_id FROM "@schema@"."@prefix@mail_members" m
             WHERE m.role IN (SELECT r.rolname FROM pg_catalog.pg_roles r WHERE pg_catalog.pg_has_role(r.oid, 'MEMBER'))));
