CREATE SCHEMA once;
CREATE EXTENSION pg_once SCHEMA once;
SELECT once.install_kit('promo_codes', 'public');
