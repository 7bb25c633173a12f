-- What leads are tagged with.
CREATE TABLE "@schema@"."@prefix@lead_tags" (
  lead_id uuid NOT NULL REFERENCES "@schema@"."@prefix@leads" ON DELETE CASCADE,
  tag     text COLLATE "C" NOT NULL CHECK (tag <> ''),
  CONSTRAINT "@prefix@lead_tags_pkey" PRIMARY KEY (lead_id, tag)
);
CREATE INDEX "@prefix@lead_tags_tag_idx" ON "@schema@"."@prefix@lead_tags" (tag);
COMMENT ON TABLE "@schema@"."@prefix@lead_tags" IS 'The tags of each lead; imports add to them and take none away.';
