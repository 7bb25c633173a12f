-- The leads kit with a feed, and a table of the same shape for who takes leads one by one.
SELECT once.install_kit('leads', 'public');
INSERT INTO public.lead_users (org_id, name, role)
SELECT '00000000-0000-0000-0000-000000000000', name, 'agent' FROM unnest(ARRAY['Ann', 'Bob', 'Cem']) AS name;
SELECT once.create_feed('sheet', 'leads', '{}');
CREATE SCHEMA one_by_one;
CREATE TABLE one_by_one.leads (LIKE public.leads INCLUDING ALL);
ALTER TABLE public.leads SET (autovacuum_enabled = off);
ALTER TABLE one_by_one.leads SET (autovacuum_enabled = off);
