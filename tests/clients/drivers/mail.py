"""An export of a mailbox in mbox, from psycopg 3, by the functions that docs/mail.md shows.

What the messages say is read by Python's own email package, and must be what the tables have.
"""

import email.policy
import glob
import mailbox
import os
import subprocess
import sys
import tempfile

import psycopg
from mailboxes import synchronise
from program import resources

MAILS = os.path.join(os.environ["ONCE_TEST_WORKSPACE"], "crates/once-core/tests/mail/*.eml")


def export(path):
    """Writes an mbox of real structure; gives its messages as Python reads them."""
    box = mailbox.mbox(path)
    for file in sorted(glob.glob(MAILS)):
        with open(file, "rb") as content:
            box.add(mailbox.mboxMessage(content.read()))
    box.flush()
    return [email.message_from_bytes(message.as_bytes(), policy=email.policy.default) for message in mailbox.mbox(path)]


with psycopg.connect(autocommit=True) as connection, tempfile.TemporaryDirectory() as folder:
    path = os.path.join(folder, "export.mbox")
    messages = export(path)
    assert len(messages) > 20, len(messages)
    (box,) = connection.execute(
        "INSERT INTO mailboxes (org_id, provider_email) VALUES (gen_random_uuid(), 'old@example.com') RETURNING mailbox_id"
    ).fetchone()
    answers = list(synchronise(connection, box, resources(path), size=10))
    assert all(not answer["errors"] for answer in answers), answers
    different = len({message["id"] for message in resources(path)})
    assert sum(answer["messages_ingested"] for answer in answers) == different, answers

    wrong = []
    for resource, message in zip(resources(path), messages):
        subject, sender = connection.execute(
            "SELECT subject, from_email FROM mail_messages WHERE provider_message_id = %s", (resource["id"],)
        ).fetchone()
        wanted = message["Subject"] and message["Subject"].replace("\0", "\ufffd")
        if wanted is not None and " ".join(wanted.split()) != " ".join((subject or "").split()):
            wrong.append((resource["id"], wanted, subject))
        addresses = message["From"].addresses if message["From"] is not None else ()
        plain = len(addresses) == 1 and addresses[0].addr_spec.isascii() and "@" in addresses[0].addr_spec
        if plain and addresses[0].addr_spec.lower() != (sender or "").lower():
            wrong.append((resource["id"], addresses[0].addr_spec, sender))
    assert not wrong, wrong

    # By the program of the page, as one would run it: everything is there.
    program = os.path.join(os.path.dirname(os.path.abspath(__file__)), "program.py")
    ran = subprocess.run([sys.executable, program, str(box), path], check=True, capture_output=True, text=True)
    assert ran.stdout.startswith(f"0 ingested, {different} unchanged"), ran.stdout
    (verified,) = connection.execute("SELECT once.verify_mail_idempotency(%s)", (box,)).fetchone()
    assert verified["valid"] and verified["messages"] == different, verified
    (ledger,) = connection.execute(
        "SELECT once.verify_ledger(org_id) FROM mailboxes WHERE mailbox_id = %s", (box,)).fetchone()
    assert ledger["valid"], ledger
