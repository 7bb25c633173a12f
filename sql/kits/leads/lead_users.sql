-- Who works on leads; agents take turns, in the order in which they came.
CREATE TABLE "@schema@"."@prefix@lead_users" (
  user_id    uuid NOT NULL DEFAULT pg_catalog.gen_random_uuid(),
  org_id     uuid NOT NULL,
  name       text,
  email      text,
  role       text NOT NULL DEFAULT 'agent' CHECK (role IN ('agent', 'manager', 'admin')),
  active     boolean NOT NULL DEFAULT true,
  created_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
  CONSTRAINT "@prefix@lead_users_pkey" PRIMARY KEY (user_id),
  -- What leads and assignments refer to, so that none is given to another org's user.
  CONSTRAINT "@prefix@lead_users_org_user_key" UNIQUE (user_id, org_id)
);
CREATE INDEX "@prefix@lead_users_turn_idx" ON "@schema@"."@prefix@lead_users" (org_id, created_at, user_id);
COMMENT ON TABLE "@schema@"."@prefix@lead_users" IS
  'Users of an org. Its active agents are given the new leads in turn, ordered by created_at and user_id.';
COMMENT ON COLUMN "@schema@"."@prefix@lead_users".role IS 'Only agents take turns.';
COMMENT ON COLUMN "@schema@"."@prefix@lead_users".active IS 'Who is not active is passed over, and keeps the leads that he has.';
