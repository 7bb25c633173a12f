-- Leads of an org, each once by any of three keys, and what gives new ones to agents.
CREATE TABLE "@schema@"."@prefix@leads" (
  lead_id              uuid NOT NULL DEFAULT pg_catalog.gen_random_uuid(),
  org_id               uuid NOT NULL,
  client_name          text,
  phone_number         text COLLATE "C" CHECK (phone_number ~ '^[+][1-9][0-9]{6,14}$'),
  phone_number_raw     text COLLATE "C",
  phone_number_version text COLLATE "C",
  email                text COLLATE "C" CHECK (email <> ''),
  email_raw            text COLLATE "C",
  external_lead_id     text COLLATE "C" CHECK (external_lead_id <> ''),
  source               text COLLATE "C" CHECK (source <> ''),
  platform             text,
  campaign_id          text COLLATE "C",
  campaign_name        text,
  ad_id                text COLLATE "C",
  ad_name              text,
  adset_id             text COLLATE "C",
  adset_name           text,
  form_id              text COLLATE "C",
  form_name            text,
  is_organic           boolean,
  lead_created_time    timestamptz CHECK (pg_catalog.isfinite(lead_created_time)),
  lead_status          text,
  interest_level       text,
  assigned_user_id     uuid,
  assignment           text NOT NULL DEFAULT 'round_robin' CHECK (assignment IN ('round_robin', 'open')),
  extra                jsonb CHECK (pg_catalog.jsonb_typeof(extra) = 'object'),
  import_job_id        uuid,
  created_at           timestamptz NOT NULL DEFAULT pg_catalog.now(),
  CONSTRAINT "@prefix@leads_pkey" PRIMARY KEY (lead_id),
  CONSTRAINT "@prefix@leads_org_external_key" UNIQUE (org_id, source, external_lead_id),
  CONSTRAINT "@prefix@leads_org_email_key" UNIQUE (org_id, email),
  CONSTRAINT "@prefix@leads_org_phone_key" UNIQUE (org_id, phone_number),
  -- What assignments refer to.
  CONSTRAINT "@prefix@leads_org_lead_key" UNIQUE (lead_id, org_id),
  CONSTRAINT "@prefix@leads_assigned_fkey" FOREIGN KEY (assigned_user_id, org_id)
    REFERENCES "@schema@"."@prefix@lead_users" (user_id, org_id) ON DELETE SET NULL (assigned_user_id)
);
CREATE INDEX "@prefix@leads_assigned_idx" ON "@schema@"."@prefix@leads" (assigned_user_id, lead_created_time);
CREATE INDEX "@prefix@leads_job_idx" ON "@schema@"."@prefix@leads" (import_job_id);
COMMENT ON TABLE "@schema@"."@prefix@leads" IS
  'Leads, each once per org by (source, external_lead_id), by email and by phone_number. To insert them takes also UPDATE of this table, INSERT on lead_assignments, SELECT on lead_users and SELECT, INSERT, UPDATE on lead_rotations: the trigger that assigns them has the writer''s rights.';
COMMENT ON COLUMN "@schema@"."@prefix@leads".phone_number IS 'E.164, such as +60123456789; a number without a country is read as Malaysian.';
COMMENT ON COLUMN "@schema@"."@prefix@leads".phone_number_raw IS 'The number as it came.';
COMMENT ON COLUMN "@schema@"."@prefix@leads".phone_number_version IS 'Which normaliser, in which version, phone_number is by.';
COMMENT ON COLUMN "@schema@"."@prefix@leads".email IS 'In lower case, or NULL where what was given is no address; email_raw has it as it came.';
COMMENT ON COLUMN "@schema@"."@prefix@leads".external_lead_id IS 'The source''s own id, without a prefix such as l:, compared byte by byte.';
COMMENT ON COLUMN "@schema@"."@prefix@leads".source IS 'Where the lead came from first; lead_sources has all sources.';
COMMENT ON COLUMN "@schema@"."@prefix@leads".lead_created_time IS 'When the lead was made at its source.';
COMMENT ON COLUMN "@schema@"."@prefix@leads".assigned_user_id IS 'Who works on the lead; the trigger sets it where assignment is round_robin and an agent is there.';
COMMENT ON COLUMN "@schema@"."@prefix@leads".assignment IS 'round_robin: a new lead is given to the next agent; open: it waits for whoever takes it. Looked at when the lead is inserted.';
COMMENT ON COLUMN "@schema@"."@prefix@leads".extra IS 'What the rows of imports have that no other column takes.';
COMMENT ON COLUMN "@schema@"."@prefix@leads".import_job_id IS 'The job that inserted the row.';

-- Gives the new leads of a statement to the active agents of their orgs, one after the other. Planned anew each time: a
-- plan from when the table was empty would not suit 10,000 leads.
CREATE FUNCTION "@schema@"."@prefix@leads_assign"() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_custom_plan SET jit = off AS $once$
DECLARE
  orgs uuid[];
BEGIN
  -- An org without an active agent has no turn: its leads stay open.
  SELECT array_agg(o.org_id ORDER BY o.org_id) INTO orgs
  FROM (SELECT DISTINCT n.org_id FROM new_leads n
        WHERE n.assignment = 'round_robin' AND n.assigned_user_id IS NULL) o
  WHERE EXISTS (SELECT FROM "@schema@"."@prefix@lead_users" a
                WHERE a.org_id = o.org_id AND a.active AND a.role = 'agent');
  IF orgs IS NULL THEN
    RETURN NULL;
  END IF;

  -- One writer at a time has an org's turn; in order, so that two can't wait for each other. What follows is a statement
  -- of its own, so that it sees where the writer before has left off.
  INSERT INTO "@schema@"."@prefix@lead_rotations" (org_id)
  SELECT u.org_id FROM unnest(orgs) u (org_id) ORDER BY u.org_id
  ON CONFLICT DO NOTHING;
  PERFORM FROM "@schema@"."@prefix@lead_rotations" r WHERE r.org_id = ANY (orgs) ORDER BY r.org_id FOR UPDATE;

  WITH turns AS MATERIALIZED (
    -- From the agent after the last one on, whether that one is still there or not, and round again.
    SELECT a.org_id, a.user_id, a.created_at,
           row_number() OVER (PARTITION BY a.org_id ORDER BY
             coalesce((a.created_at, a.user_id) <= (r.last_user_created_at, r.last_user_id), false),
             a.created_at, a.user_id) - 1 AS place,
           count(*) OVER (PARTITION BY a.org_id) AS agents
    FROM "@schema@"."@prefix@lead_users" a
    JOIN "@schema@"."@prefix@lead_rotations" r ON r.org_id = a.org_id
    WHERE a.org_id = ANY (orgs) AND a.active AND a.role = 'agent'
  ), waiting AS (
    SELECT n.org_id, n.lead_id,
           row_number() OVER (PARTITION BY n.org_id ORDER BY
             n.lead_created_time NULLS LAST, n.external_lead_id, n.lead_id) - 1 AS number
    FROM new_leads n
    WHERE n.org_id = ANY (orgs) AND n.assignment = 'round_robin' AND n.assigned_user_id IS NULL
  ), given AS MATERIALIZED (
    SELECT w.org_id, w.lead_id, w.number, t.user_id, t.created_at
    FROM (SELECT DISTINCT s.org_id, s.agents FROM turns s) sizes
    JOIN waiting w ON w.org_id = sizes.org_id
    JOIN turns t ON t.org_id = sizes.org_id AND t.place = w.number % sizes.agents
  ), assigned AS (
    UPDATE "@schema@"."@prefix@leads" l SET assigned_user_id = g.user_id
    FROM given g WHERE l.lead_id = g.lead_id AND l.org_id = g.org_id
  ), linked AS (
    INSERT INTO "@schema@"."@prefix@lead_assignments" (lead_id, user_id, org_id)
    SELECT g.lead_id, g.user_id, g.org_id FROM given g
    ON CONFLICT DO NOTHING
  )
  UPDATE "@schema@"."@prefix@lead_rotations" r
  SET last_user_id = last.user_id, last_user_created_at = last.created_at
  FROM (SELECT DISTINCT ON (g.org_id) g.org_id, g.user_id, g.created_at
        FROM given g ORDER BY g.org_id, g.number DESC) last
  WHERE r.org_id = last.org_id;
  RETURN NULL;
END
$once$;
COMMENT ON FUNCTION "@schema@"."@prefix@leads_assign"() IS
  'Trigger of leads: gives the new leads of a statement, ordered by lead_created_time, external_lead_id and lead_id, to the active agents of their org in turn.';
CREATE TRIGGER "@prefix@leads_assign" AFTER INSERT ON "@schema@"."@prefix@leads"
  REFERENCING NEW TABLE AS new_leads
  FOR EACH STATEMENT EXECUTE FUNCTION "@schema@"."@prefix@leads_assign"();
