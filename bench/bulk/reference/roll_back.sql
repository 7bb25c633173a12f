DELETE FROM codes WHERE import_job_id = '@job@';
UPDATE codes_import_jobs SET status = 'rolled_back' WHERE id = '@job@';
