SELECT (once.verify_import_job('@job@') ->> 'verified')::boolean;
