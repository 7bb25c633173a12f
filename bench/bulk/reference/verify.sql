SELECT codes_inserted = (SELECT count(*) FROM codes WHERE import_job_id = job.id)
FROM codes_import_jobs job WHERE id = '@job@';
