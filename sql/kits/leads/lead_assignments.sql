-- Who works, or has worked, on a lead.
CREATE TABLE "@schema@"."@prefix@lead_assignments" (
  lead_id uuid NOT NULL,
  user_id uuid NOT NULL,
  org_id  uuid NOT NULL,
  CONSTRAINT "@prefix@lead_assignments_pkey" PRIMARY KEY (lead_id, user_id, org_id),
  CONSTRAINT "@prefix@lead_assignments_lead_fkey" FOREIGN KEY (lead_id, org_id)
    REFERENCES "@schema@"."@prefix@leads" (lead_id, org_id) ON DELETE CASCADE,
  CONSTRAINT "@prefix@lead_assignments_user_fkey" FOREIGN KEY (user_id, org_id)
    REFERENCES "@schema@"."@prefix@lead_users" (user_id, org_id) ON DELETE CASCADE
);
CREATE INDEX "@prefix@lead_assignments_user_idx" ON "@schema@"."@prefix@lead_assignments" (user_id, org_id);
COMMENT ON TABLE "@schema@"."@prefix@lead_assignments" IS
  'The users of each lead, of its own org; imports and the trigger of leads add to them and take none away.';
