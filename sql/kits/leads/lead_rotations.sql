-- How far the turn of each org has come.
CREATE TABLE "@schema@"."@prefix@lead_rotations" (
  org_id               uuid NOT NULL,
  last_user_id         uuid,
  last_user_created_at timestamptz,
  CONSTRAINT "@prefix@lead_rotations_pkey" PRIMARY KEY (org_id)
);
COMMENT ON TABLE "@schema@"."@prefix@lead_rotations" IS
  'Who was given a lead last, by org; written by the trigger of leads, which locks the row for as long as its transaction takes.';
COMMENT ON COLUMN "@schema@"."@prefix@lead_rotations".last_user_id IS 'No foreign key: the turn goes on after an agent who is gone.';
COMMENT ON COLUMN "@schema@"."@prefix@lead_rotations".last_user_created_at IS 'His place in the order, with last_user_id.';
