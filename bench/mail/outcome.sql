SELECT (SELECT count(*) FROM @schema@.mail_messages), (SELECT count(*) FROM @schema@.mail_threads),
       (SELECT count(*) FROM @schema@.mail_attachments),
       (SELECT sum(hashtextextended(ROW(t.provider_thread_id, m.provider_message_id, m.history_id, m.from_email, m.from_name,
               m.to_emails, m.cc_emails, m.subject, m.snippet, m.body_plain, m.body_html, m.sent_at, m.internal_date,
               m.raw_headers, m.label_ids, m.has_attachments, m.size_estimate)::text, 0))
        FROM @schema@.mail_messages m JOIN @schema@.mail_threads t USING (thread_id)),
       (SELECT sum(hashtextextended(ROW(provider_thread_id, message_count, last_message_at, label_ids)::text, 0))
        FROM @schema@.mail_threads),
       (SELECT sum(hashtextextended(ROW(m.provider_message_id, a.provider_attachment_id, a.download_id, a.filename, a.mime_type,
               a.size_bytes, a.content_id, a.is_inline)::text, 0))
        FROM @schema@.mail_attachments a JOIN @schema@.mail_messages m USING (message_id))
