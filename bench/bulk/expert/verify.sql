SELECT count(*) = @inserted@ FROM codes WHERE import_job_id = '@job@';
