-- To where a case begins, without triggers.
SET session_replication_role = replica;
TRUNCATE @schema@.mail_attachments, @schema@.mail_messages, @schema@.mail_threads;
INSERT INTO @schema@.mail_threads SELECT * FROM before_mail.mail_threads;
INSERT INTO @schema@.mail_messages SELECT * FROM before_mail.mail_messages;
INSERT INTO @schema@.mail_attachments SELECT * FROM before_mail.mail_attachments;
RESET session_replication_role;
VACUUM ANALYZE @schema@.mail_threads, @schema@.mail_messages, @schema@.mail_attachments;
CHECKPOINT;
