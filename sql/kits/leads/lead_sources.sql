-- All sources that a lead came from.
CREATE TABLE "@schema@"."@prefix@lead_sources" (
  lead_id uuid NOT NULL REFERENCES "@schema@"."@prefix@leads" ON DELETE CASCADE,
  source  text COLLATE "C" NOT NULL CHECK (source <> ''),
  CONSTRAINT "@prefix@lead_sources_pkey" PRIMARY KEY (lead_id, source)
);
COMMENT ON TABLE "@schema@"."@prefix@lead_sources" IS 'The sources of each lead; imports add to them and take none away.';
