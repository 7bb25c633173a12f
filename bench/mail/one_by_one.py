"""Takes messages of the Gmail API in one by one: the thread, the message, each attachment.

Arguments: what a commit is for ("batch", "message" or "upsert"), and the files of the batches."""

import base64
import html
import json
import sys
from datetime import datetime, timedelta, timezone
from email.utils import getaddresses, parsedate_to_datetime

import psycopg
from psycopg.types.json import Jsonb

ORG = "aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa"
MAILBOX = "11111111-1111-4111-8111-111111111111"
EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)

COLUMNS = [
    "thread_id", "history_id", "from_email", "from_name", "to_emails", "cc_emails", "bcc_emails", "subject", "snippet",
    "body_plain", "body_html", "sent_at", "internal_date", "raw_headers", "label_ids", "has_attachments", "size_estimate",
]  # fmt: skip
UPSERT_THREAD = """
    INSERT INTO one_by_one.mail_threads AS t
      (org_id, mailbox_id, provider_thread_id, subject, snippet, message_count, last_message_at, label_ids)
    VALUES (%(org_id)s, %(mailbox_id)s, %(provider_thread_id)s, %(subject)s, %(snippet)s, %(count)s, %(internal_date)s,
            ARRAY(SELECT DISTINCT l COLLATE "C" FROM unnest(%(label_ids)s::text[]) AS l ORDER BY 1))
    ON CONFLICT (mailbox_id, provider_thread_id) DO UPDATE SET
      message_count = greatest(t.message_count, EXCLUDED.message_count),
      last_message_at = greatest(t.last_message_at, EXCLUDED.last_message_at),
      label_ids = ARRAY(SELECT DISTINCT l COLLATE "C" FROM unnest(t.label_ids || EXCLUDED.label_ids) AS l ORDER BY 1)
    RETURNING thread_id
"""
UPSERT_MESSAGE = f"""
    INSERT INTO one_by_one.mail_messages AS m (org_id, mailbox_id, provider_message_id, {", ".join(COLUMNS)})
    VALUES (%(org_id)s, %(mailbox_id)s, %(provider_message_id)s, {", ".join(f"%({name})s" for name in COLUMNS)})
    ON CONFLICT (mailbox_id, provider_message_id) DO UPDATE SET
      {", ".join(f"{name} = COALESCE(EXCLUDED.{name}, m.{name})" for name in COLUMNS)}
    RETURNING message_id
"""
UPSERT_ATTACHMENT = """
    INSERT INTO one_by_one.mail_attachments AS a
      (org_id, mailbox_id, message_id, provider_attachment_id, download_id, filename, mime_type, size_bytes, content_id,
       is_inline)
    VALUES (%(org_id)s, %(mailbox_id)s, %(message_id)s, %(provider_attachment_id)s, %(download_id)s, %(filename)s,
            %(mime_type)s, %(size_bytes)s, %(content_id)s, %(is_inline)s)
    ON CONFLICT (message_id, provider_attachment_id) DO UPDATE SET
      download_id = COALESCE(EXCLUDED.download_id, a.download_id), filename = COALESCE(EXCLUDED.filename, a.filename),
      mime_type = COALESCE(EXCLUDED.mime_type, a.mime_type), size_bytes = COALESCE(EXCLUDED.size_bytes, a.size_bytes)
"""


def leaves(part):
    for inner in part.get("parts", ()):
        yield from leaves(inner)
    if "parts" not in part:
        yield part


def header(part, name):
    return next((h["value"] for h in part.get("headers", ()) if h["name"].lower() == name), None)


def emails(payload, name):
    return [email for _, email in getaddresses([header(payload, name) or ""]) if email]


def read(message):
    """The row of a message, and those of its attachments."""
    payload = message["payload"]
    bodies, attachments = {}, []
    for part in leaves(payload):
        body = part["body"]
        if "attachmentId" not in body:
            bodies[part["mimeType"]] = base64.urlsafe_b64decode(body["data"]).decode()
            continue
        attachments.append({
            "provider_attachment_id": part["partId"],
            "download_id": body["attachmentId"],
            "filename": part["filename"],
            "mime_type": part["mimeType"],
            "size_bytes": body["size"],
            "content_id": (header(part, "content-id") or "").strip("<>") or None,
            "is_inline": (header(part, "content-disposition") or "").startswith("inline"),
        })  # fmt: skip
    [(from_name, from_email)] = getaddresses([header(payload, "from")])
    row = {
        "org_id": ORG,
        "mailbox_id": MAILBOX,
        "provider_message_id": message["id"],
        "provider_thread_id": message["threadId"],
        "history_id": int(message["historyId"]),
        "from_email": from_email,
        "from_name": from_name or None,
        "to_emails": emails(payload, "to"),
        "cc_emails": emails(payload, "cc"),
        "bcc_emails": emails(payload, "bcc"),
        "subject": header(payload, "subject"),
        "snippet": html.unescape(message["snippet"]),
        "body_plain": bodies.get("text/plain"),
        "body_html": bodies.get("text/html"),
        "sent_at": parsedate_to_datetime(header(payload, "date")),
        "internal_date": EPOCH + timedelta(milliseconds=int(message["internalDate"])),
        "raw_headers": Jsonb([[h["name"], h["value"]] for h in payload["headers"]]),
        "label_ids": sorted(set(message["labelIds"])),
        "has_attachments": bool(attachments),
        "size_estimate": message["sizeEstimate"],
    }
    return row, attachments


commits = sys.argv[1]
seen = {}  # of each thread
with psycopg.connect(autocommit=commits == "upsert") as connection, connection.cursor() as cursor:
    for path in sys.argv[2:]:
        with open(path, encoding="utf-8") as file:
            messages = json.load(file)
        for message in messages:
            row, attachments = read(message)
            seen[row["provider_thread_id"]] = row["count"] = seen.get(row["provider_thread_id"], 0) + 1
            row["thread_id"] = cursor.execute(UPSERT_THREAD, row).fetchone()[0]
            message_id = cursor.execute(UPSERT_MESSAGE, row).fetchone()[0]
            for attachment in attachments:
                keys = {"org_id": ORG, "mailbox_id": MAILBOX, "message_id": message_id}
                cursor.execute(UPSERT_ATTACHMENT, {**attachment, **keys})
            if commits == "message":
                connection.commit()
        connection.commit()
