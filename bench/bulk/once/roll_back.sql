SELECT once.rollback_import_job('@job@');
