-- What every public function takes, gives and raises. All are SECURITY INVOKER: EXECUTE alone gives nobody
-- anything, the caller's rights on the tables decide. So EXECUTE stays with PUBLIC; what can destroy is kept from
-- PUBLIC on the tables themselves.

COMMENT ON FUNCTION @extschema@.create_target(text, regclass, jsonb) IS
'Registers a table as a target under a name; one that takes rows in bulk gets an UNLOGGED staging table beside it where there is none. spec of documents: {"kind": "document", ...}, of rows: {"match": [[columns], ...], ...}, see the docs. spec in bulk: {"key": [columns], "scope": column, "staging": table, "job_column": uuid column, "protect": boolean column, "columns": [copied], "required": [not blank], "aliases": {name in files: column}}; only key is needed. Gives {target, relation, staging (NULL where rows are not staged), created}; the same again changes nothing. Raises 22004 (a NULL), 22023 (spec), 42703, 42804, 42P10 (table lacks a column, a type, the unique index), 42710 (name taken), 42501 (not the owner).';
COMMENT ON FUNCTION @extschema@.drop_target(text) IS
'Forgets a target; its tables and jobs stay, and the jobs can still be verified and rolled back. Raises 22004, 42704 (unknown), 42501 (not the owner).';
COMMENT ON FUNCTION @extschema@.install_kit(text, text, text) IS
'Creates a kit''s tables in a schema, or adopts those that are there, and registers its targets. kit: promo_codes, workouts, clinic, mail or leads. prefix: begins the names of tables and targets, for a second installation. Gives {kit, schema, target, created, adopted}, and targets where the kit has several; the same again changes nothing. Raises 22004, 42704 (kit), 3F000 (schema), 22023 (prefix), 42710 (target name taken), 42501, and what create_target raises of tables that do not fit.';
COMMENT ON FUNCTION @extschema@.grant_import_access(text, text) IS
'Grants a role what importing into a target takes: to use the schemas; in bulk to fill, flag and clear staging, to read, insert into and delete from the table (for rollbacks; row-level security still decides which rows); for documents to read and insert them and their records, and to work on drafts; of rows to read, insert, update and delete (for rollbacks) them. Not TRUNCATE of the table, nor UPDATE where the path does not. Jobs are open to whoever may use the schema, by policies of their own. Raises 22004, 42704 (unknown target or role), 42501 (you can not grant it).';

COMMENT ON FUNCTION @extschema@.begin_file(text, text, text) IS
'Before a file is staged: says in which scopes it is staged already, by the SHA-256 of its content (64 lower-case hex digits), and keeps others from staging it until the transaction ends. scope: the one that it is for, NULL where its rows say so. Gives a row a scope, none for a new file. Raises 22004, 22023 (hash), 42704, 42501, 55000 (a crash emptied staging).';
COMMENT ON FUNCTION @extschema@.end_file(text, text, text, jsonb, jsonb, boolean) IS
'After a file''s rows were staged, in the same transaction: remembers the file. rows: {scope: rows}, the key empty where the target has no scope. rejects: [{line, column, value, reason, sqlstate}], kept in import_rejects in place of the file''s earlier ones. again: counts scopes that have the file already too. Gives the number of rows that are new. Raises as begin_file, and 22023 or 22P02 for rows.';
COMMENT ON FUNCTION @extschema@.recover_staging(text, text[], text) IS
'After a crash has emptied staging: lets those scopes go on whose lost files (as end_file listed them) are all among these, by SHA-256, since they are about to be staged again. scope: the only one that may go on, NULL where the files'' rows say whose they are. Gives a row for each such scope with the number of its files; other scopes are left to clear_staging. Raises 22004, 42704, 42501, 55P03.';
COMMENT ON FUNCTION @extschema@.staging_status(text, text) IS
'What is staged of a scope: {total_rows, internal_duplicates, database_duplicates, both_duplicates, clean_count, marked, emptied, files: [{name, sha256, rows, staged_at}]}. marked: the flags hold for what is staged; emptied: a crash took what was staged. Reads only. Raises 22004, 22023, 42704, 42501.';

COMMENT ON FUNCTION @extschema@.mark_duplicates(text, text, bigint) IS
'Sets internal_dup and existing_dup of a scope''s staged rows to what holds now; the lowest row_number of a key stays clean. scope: the scope column''s value as text, NULL where the target has none. chunk_size: after how many rows progress is told. Gives {success, total_rows, internal_duplicates, database_duplicates, clean_count, chunks_processed}; rows that are both are in both counts. Raises 22004, 22023, 42704, P0002 (unknown scope), 23505 (rows with the same row_number), 55000 (a crash emptied staging), 55P03 (another job holds the scope), 42501.';
COMMENT ON FUNCTION @extschema@.validate_staged(text, text) IS
'Checks a scope''s clean rows: flags those whose key came into the table since they were marked, names those that the table would not take. Gives {valid, total_clean_codes, validation_errors, errors: [{row, column, value, reason}, at most 100], error_totals: {reason: rows}, new_db_duplicates_found}. Raises as mark_duplicates, and 55000 where rows were staged or removed after the last marking.';
COMMENT ON FUNCTION @extschema@.insert_clean(text, text, jsonb) IS
'Validates a scope''s clean rows and writes all of them or none, each with the job''s id. source_info: anything to keep with the job, or NULL. Gives {success, job_id, codes_inserted, message}. Where the rows are at fault success is false, with sqlstate (and detail, errors), the table is as it was and the job is kept as failed. Raises as validate_staged, and whatever is not the rows'' fault.';
COMMENT ON FUNCTION @extschema@.rollback_import_job(uuid, boolean) IS
'Undoes a completed job and marks it rolled_back. In bulk: deletes its rows and no others; gives {success, job_id, codes_deleted, codes_kept, original_insert_count, message}. Of ingest: deletes the records that it made and gives those that it changed their earlier values back, column by column, where they are as the job wrote them; gives {success, job_id, reversed, kept, errored, details: [{table, identity, columns, reason}, at most 100], message}. Protected (claimed) rows are never touched: by default one of them refuses the rollback (success false, nothing changed); with p_keep_protected the others are undone. Raises 22004, P0002 (unknown job), 55000 (not completed; more rows carry its id than it wrote; images pruned), 42501 (rights; rows hidden by row-level security; a job of a role that may do less than you and is not proven by job_column), 42703 (columns that name records are gone), 42704 (a target that was referred to is registered no more), 42P01 (the table is gone).';
COMMENT ON FUNCTION @extschema@.verify_import_job(uuid) IS
'Compares what a job recorded with what is there now (in bulk by the rows that carry its id, of ingest by its images); reads only. Gives {success, job_id, status, expected_count, actual_count, verified, message}; verified means completed and all there as written. Raises 22004, P0002 (unknown job), 42P01 (the table is gone).';
COMMENT ON FUNCTION @extschema@.duplicate_report(text, text) IS
'All staged rows of a scope with their status (CLEAN, INTERNAL_DUPLICATE, DATABASE_DUPLICATE, BOTH_DUPLICATE), the row_number they repeat and the primary key (as text) of the row in the table that has their key. Raises as validate_staged.';
COMMENT ON FUNCTION @extschema@.duplicate_report_query(text, text, text[]) IS
'The statement behind duplicate_report, for EXECUTE ... USING scope (text). columns: the staged columns to give, NULL for row_number and the whole row as jsonb. Raises as validate_staged, and 42703 for a column that is not staged.';
COMMENT ON FUNCTION @extschema@.clear_staging(text, text) IS
'Deletes a scope''s staged rows and the list of its files, and lets it go on after a crash has emptied staging. Gives {success, rows_deleted, rows_remaining}; an empty staging gives 0 and 0. Raises 22004, 22023, 42704, 55P03, 42501.';

COMMENT ON FUNCTION @extschema@.ingest(text, jsonb, jsonb, boolean) IS
'Takes rows into a target: each finds its record by the keys of the spec and is merged with it, or is a new one; the same again changes nothing. rows: an array of objects. source_info: anything to keep with the job, or NULL; its field plan, from a dry run''s answer, binds the job to that plan. dry_run: the same answer, and nothing is written. Gives {success, job_id, total, inserted, updated, unchanged, duplicate, ambiguous, rejected, errors: [{row, column, value, reason}, at most 100]}, with ignored_fields where rows have fields that nothing takes, and plan after a dry run. Where the job failed success is false, with sqlstate and message, and nothing is written. Raises 22004, 22023 (no array), 42704, 42809, 42P10 (target), 42501, 55P03 (another job holds the scope), 40001 (others kept changing the same records).';
COMMENT ON FUNCTION @extschema@.ingest_rows(text, jsonb, jsonb, boolean) IS
'ingest, with a row for each row in order: row_number, outcome (inserted, updated, unchanged, duplicate, ambiguous, rejected), job_id (NULL after a dry run), row_key (its first complete key as it is compared), matched_by (the key that found its record), changed_columns, reason. Raises as ingest.';
COMMENT ON FUNCTION @extschema@.replay_rejects(uuid) IS
'Takes the rejected rows of a job of ingest in again, as a job of its own, now that their cause may be mended; those that are taken count as resolved. Gives what ingest gives, the rows under their first numbers; job_id is NULL where there was nothing to try. Raises 22004, P0002 (unknown job), 42809 (no job of ingest), and as ingest.';
COMMENT ON FUNCTION @extschema@.prune_import_images(interval) IS
'Deletes what is kept to undo jobs of ingest that are older than this; they can not be rolled back then. The jobs stay on record. Gives the number of images. Raises 22004, 42501 (only the owner of import_images may).';

COMMENT ON FUNCTION @extschema@.import_document(text, text, text, text, text, text[]) IS
'Takes a raw text in once per owner, by the SHA-256 of its normalised content. owner: the scope column''s value as text, NULL where unknown. content: kept as it is. source, source_ref: where it comes from. tags: NULL means none. Gives one row: the id of the new or the existing document as text, is_duplicate, a message, the checksum. Writes no import_jobs row. Raises 22004 (a NULL), 22023 (blank content, the tag duplicate_archived, an owner where there is no scope), 54000 (above 1,000,000,000 bytes), 42704, 42809, 42P10, 42501 (target).';
COMMENT ON FUNCTION @extschema@.commit_document(text, text, jsonb) IS
'Commits what was parsed from a document once: per draft, and per owner, key and content. draft: its id as text. parsed: a JSON object, kept whole; the target''s spec says which fields fill columns. Gives one row: the id of the new or the existing record as text, is_duplicate, a message. Raises 22004 (a NULL, a field of the key missing, an unknown owner), 22023 (no object; another owner than the document''s), 22007, 22008, 22P02 (a field that is no value of its column), P0002 (unknown draft), 55000 (no checksum; no records), 42704, 42809, 42P10, 42501 (target).';
COMMENT ON FUNCTION @extschema@.document_checksum(text, text) IS
'The checksum by which a document is found: SHA-256 of its normalised text, 64 lower-case hex digits; NULL for NULL. normalizer: whitespace, keep_lines or exact. Not for indexes: a later version may give another one. Raises 22004, 22023 (normalizer).';
COMMENT ON FUNCTION @extschema@.adopt_imports(regclass, boolean, bigint) IS
'Adopts documents from before there was a key: computes missing checksums, tags all but the oldest of one owner and content duplicate_archived (nothing is deleted), replaces unique keys that would keep out what is not the same, adds NOT NULL, the format check and the unique keys, fills content hashes of records from their documents. dry_run: only tells. max_rows: changed by this call at most, NULL for all. Gives {dry_run, relation, rows, columns_added, checksums_computed, checksums_malformed, tags_filled, duplicates_archived, oldest_by, keys_replaced, constraints_added, records_filled, records_without_hash, complete}. Keeps readers and writers waiting until the transaction ends. Raises 22004, 22023 (max_rows), 42501 (not the owner, or row-level security), 42703, 42804, 42P10 (columns), 23502 (no content), 25001 (above READ COMMITTED), 09000 (a trigger keeps rows as they are).';

COMMENT ON FUNCTION @extschema@.import_raw_text_idempotent(uuid, text, text, text, text[], text) IS
'import_document for athletes'' training logs. athlete_id: NULL where unknown. raw_text: kept as it is.';
COMMENT ON FUNCTION @extschema@.commit_workout_idempotent(uuid, jsonb, text) IS
'commit_document for workouts. parsed_workout: an object with workout_date (YYYY-MM-DD); title becomes session_title; athlete_id counts only where the import has none.';
COMMENT ON FUNCTION @extschema@.check_import_duplicate(text, uuid, text) IS
'Whether a content is there, by its SHA-256 in hex: one row, "exists" with the oldest import that has it, or false with NULLs. athlete_id: whose, NULL for anyone''s. Raises 22004 (checksum), and what the target raises.';
COMMENT ON FUNCTION @extschema@.check_workout_duplicate(uuid, date, text, text) IS
'Whether an athlete has a workout of this content on that day: one row, "exists" with the workout, or false with NULLs. Raises 22004 (a NULL), 55000 (a target without records), and what the target raises.';

COMMENT ON FUNCTION @extschema@.mark_duplicates_in_temp(uuid, bigint, text) IS
'mark_duplicates for a merchant''s staged promo codes.';
COMMENT ON FUNCTION @extschema@.validate_clean_codes_for_insert(uuid, text) IS
'validate_staged for a merchant''s staged promo codes.';
COMMENT ON FUNCTION @extschema@.insert_clean_codes_to_production(uuid, jsonb, text) IS
'insert_clean for a merchant''s staged promo codes.';
COMMENT ON FUNCTION @extschema@.get_duplicate_report(uuid, text) IS
'duplicate_report for a merchant''s staged promo codes: all staged columns, then status, duplicates_row (row_number) and duplicates_id (production id).';
COMMENT ON FUNCTION @extschema@.clear_temp_data(uuid, text) IS
'clear_staging for a merchant''s staged promo codes.';

COMMENT ON FUNCTION @extschema@.normalize_phone(text, text) IS
'A telephone number in E.164 form, as +60123456789; NULL for NULL, for blank and for what is no valid number or may mean another one. value: in international form or as dialled in region; an extension is dropped. region: two letters of ISO 3166-1, as MY. Not for indexes: numbering plans change with the version of pg_once. Raises 22004, 22023 (region).';
COMMENT ON FUNCTION @extschema@.normalize_email(text) IS
'An e-mail address with its domain in lower case, the local part as it is; NULL for NULL, for blank and for what is none by the rule of HTML''s input type email. Not for indexes: a later version may give another result.';
COMMENT ON FUNCTION @extschema@.normalize_email_lower(text) IS
'An e-mail address in lower case; NULL for NULL, for blank and for what is none. Not for indexes: a later version may give another result.';
COMMENT ON FUNCTION @extschema@.normalize_whitespace(text) IS
'The text with one space for each run of Unicode white space, and none at the ends; NULL for NULL and blank. Not for indexes: a later version may give another result.';
COMMENT ON FUNCTION @extschema@.normalize_lower(text) IS
'The text in lower case by Unicode''s rules, whatever the collation, without white space at the ends; NULL for NULL and blank. Not for indexes: a later version may give another result.';
COMMENT ON FUNCTION @extschema@.normalize_upper(text) IS
'The text in upper case by Unicode''s rules, whatever the collation, without white space at the ends; NULL for NULL and blank. Not for indexes: a later version may give another result.';
COMMENT ON FUNCTION @extschema@.normalize_digits(text) IS
'The decimal digits of the text and nothing else, those of other scripts as ASCII''s; NULL for NULL and where there is none. Not for indexes: a later version may give another result.';
COMMENT ON FUNCTION @extschema@.normalize_code(text) IS
'The text in NFKC and upper case, without white space and invisible characters anywhere; NULL for NULL and blank. Not for indexes: a later version may give another result.';
COMMENT ON FUNCTION @extschema@.normalize_unprefixed(text) IS
'The text without the prefixes that exports of leads put before ids, as l: and ag: (one or two letters of a to z and a colon), and without white space and invisible characters at the ends; NULL for NULL and blank. Not for indexes: a later version may give another result.';

COMMENT ON FUNCTION @extschema@.ingest_mail(uuid, jsonb, jsonb, text) IS
'Takes messages of a mailbox in, each once: what is there is merged with what came (bodies never get lost by a later partial fetch), threads are made and what is attached is listed, the ledger is told. messages: an array of Gmail API message resources, of any format. sync_info: kept with the job; of its fields history_id is kept with the mailbox once all messages are taken, correlation_id and actor are the ledger''s; or NULL. Gives {success, job_id, threads_ingested, threads_updated, messages_ingested, messages_updated, unchanged, duplicate, rejected, attachments_seen, attachments_saved, attachments_missing: [...], ledger_head, errors: [{row, column, value, reason}, at most 100]}, and sqlstate and message where success is false. Undo with rollback_import_job. Raises 22004, 22023 (messages, sync_info), P0002 (unknown mailbox), 42501 (rights), 55P03 (busy), 40001, and what the target raises.';
COMMENT ON FUNCTION @extschema@.mail_attachment_exists(uuid, text, text) IS
'Whether the content of an attachment is stored: one row, "exists" with its hash and path, or false. provider_attachment_id: the part''s id in the message (Gmail''s partId). Raises 22004, 42501, and what the target raises.';
COMMENT ON FUNCTION @extschema@.store_mail_attachment(uuid, text, text, text, bytea, text) IS
'Stores the content of an attachment, once per org however many messages carry it, and tells the ledger. filename, mime_type: where the message did not say, or NULL. Of a mailbox with blob_storage external only hash and path are kept. Gives the attachment, whether it had been stored before, the SHA-256 in hex, and the path: the same for the same content however often. Raises 22004, P0002 (unknown message), 55000 (stored with another content), 42501, and what the target raises.';
COMMENT ON FUNCTION @extschema@.mail_storage_path(uuid, uuid, text, text) IS
'Where a content is stored: {org_id}/{mailbox_id}/{sha256}/{filename}, the file name made safe: one file in a folder, 255 bytes at most, Unicode kept. Raises 22004, 22023 (no SHA-256).';
COMMENT ON FUNCTION @extschema@.verify_mail_idempotency(uuid, text) IS
'Counts what a mailbox has, and what of it is there more than once: {mailbox_id, threads, messages, attachments, attachments_stored, duplicates: {threads, messages, attachments}, valid}. Raises 22004, P0002 (unknown mailbox), 42501, and what the target raises.';
COMMENT ON FUNCTION @extschema@.append_ledger_event(uuid, text, text, text, text, text, jsonb, text) IS
'Writes an event to the ledger of an org, for good. actor: who did it, NULL for the current role. entity_type, entity_id: what it is about, or NULL. correlation_id: what it belongs to, or NULL. payload: anything else. Gives the event''s number in the ledger, from 1, and its hash. Other writers of the org wait until the transaction ends. Raises 22004 (org_id, event_type, payload), 42501, 55P03 (busy), 40001, and what the target raises.';
COMMENT ON FUNCTION @extschema@.verify_ledger(uuid, text, text) IS
'Whether the ledger of an org is as it was written. expected_head: a hash that was told earlier and kept elsewhere, or NULL; only with it shows whether the last events are gone. Gives {valid, events, head, first_bad, reason}: the number of events, the last one''s hash (NULL where there is none), and the number of the first event that is not as it was, with why. Events that the caller may not see are none. Raises 22004, 42501, and what the target raises.';
COMMENT ON FUNCTION @extschema@.grant_mail_access(text, text, text) IS
'Grants a role what it takes to synchronise mailboxes (kind service) or to read them (reader); which orgs'' it sees the table mail_members says. Raises 22004, 22023 (kind), 42704 (unknown role or target), 42501 (you can not grant it).';

COMMENT ON FUNCTION @extschema@.create_feed(text, text, jsonb) IS
'Declares a source that is read again and again into a target that takes rows. spec: {"source": {"relation": "schema.table"} or {"query": "SELECT ..."}, "format": another target on the same table, "set": {field: value of every row}, "row_id": [fields that name a row], "time": field, "overlap": interval, "schedule": cron, "notify": {"mode": "each", "summary" or "auto", "threshold": 5, "recipients": "SELECT ...", ...}, "keep_logs": interval}; {} is enough. Gives {feed, target, spec, created, scheduled, next_run_at}; the same again changes nothing. Raises 22004, 22023 (spec), 42704 (target), 42809 (a target of another kind), 42710 (name taken), 42501, and what a source raises that can not be read.';
COMMENT ON FUNCTION @extschema@.drop_feed(text) IS
'Forgets a feed, what it has taken, and its schedule; what it brought and its logs stay. Raises 22004, 42704 (unknown), 42501 (without the right to delete from feeds).';
COMMENT ON FUNCTION @extschema@.run_feed(text, jsonb) IS
'Runs a feed: of the rows (an array of objects; NULL: what its source has) those that are new go to its target, and those that could not be taken before are tried again. Gives {success, status, run_id, job_id, rows_scanned, new_rows_detected, inserted, updated, duplicates_skipped, rejected, errors: [{row, column, value, reason}, at most 100], state}, and sqlstate and message where status is error. status: success, partial (rows were rejected), error, skipped (another run is under way). Every run is kept in import_logs. Raises 22004 (a NULL; no rows and no source), 22023 (no array), 42704 (unknown feed), 42501, 40001; other errors are answered.';
COMMENT ON FUNCTION @extschema@.schedule_feed(text, text) IS
'Has pg_cron run a feed in the name of the caller: cron is minute, hour, day, month and weekday. Runs that were missed while the server was down are made up by one run when it starts. Gives {feed, schedule, next_run_at}. Raises 22004, 22023 (cron), 42704 (unknown feed), 55000 (pg_cron is not installed in this database), 42501.';
COMMENT ON FUNCTION @extschema@.unschedule_feed(text) IS
'Takes a feed from pg_cron; one without a schedule is left as it is. Raises 22004, 42704 (unknown feed), 42501.';
COMMENT ON FUNCTION @extschema@.import_leads(text, jsonb) IS
'Takes leads in by a configuration, which is a feed on a target of the kit leads: as run_feed, and gives the same. Raises as run_feed, and 42809 for another feed.';
