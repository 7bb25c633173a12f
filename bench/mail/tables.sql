-- A mailbox of the kit, and tables of the same shape for those who write one by one, without triggers and policies.
SELECT once.install_kit('mail', 'public');
INSERT INTO public.mailboxes (mailbox_id, org_id, provider_email)
VALUES ('11111111-1111-4111-8111-111111111111', 'aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa', 'ann@example.com');

CREATE SCHEMA one_by_one;
CREATE TABLE one_by_one.mailboxes (LIKE public.mailboxes INCLUDING ALL);
CREATE TABLE one_by_one.mail_threads (LIKE public.mail_threads INCLUDING ALL,
  FOREIGN KEY (org_id, mailbox_id) REFERENCES one_by_one.mailboxes (org_id, mailbox_id));
CREATE TABLE one_by_one.mail_messages (LIKE public.mail_messages INCLUDING ALL,
  FOREIGN KEY (org_id, mailbox_id, thread_id) REFERENCES one_by_one.mail_threads (org_id, mailbox_id, thread_id));
CREATE TABLE one_by_one.mail_attachments (LIKE public.mail_attachments INCLUDING ALL,
  FOREIGN KEY (org_id, mailbox_id, message_id)
    REFERENCES one_by_one.mail_messages (org_id, mailbox_id, message_id) ON DELETE CASCADE);
INSERT INTO one_by_one.mailboxes SELECT * FROM public.mailboxes;

-- What a case begins with.
CREATE SCHEMA before_mail;
CREATE TABLE before_mail.mail_threads (LIKE public.mail_threads);
CREATE TABLE before_mail.mail_messages (LIKE public.mail_messages);
CREATE TABLE before_mail.mail_attachments (LIKE public.mail_attachments);

-- Not while somebody is measured.
ALTER TABLE public.mail_threads SET (autovacuum_enabled = off);
ALTER TABLE public.mail_messages SET (autovacuum_enabled = off, toast.autovacuum_enabled = off);
ALTER TABLE public.mail_attachments SET (autovacuum_enabled = off);
ALTER TABLE public.ledger_events SET (autovacuum_enabled = off);
ALTER TABLE one_by_one.mail_threads SET (autovacuum_enabled = off);
ALTER TABLE one_by_one.mail_messages SET (autovacuum_enabled = off, toast.autovacuum_enabled = off);
ALTER TABLE one_by_one.mail_attachments SET (autovacuum_enabled = off);
