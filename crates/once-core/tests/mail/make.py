#!/usr/bin/env python3
"""Writes the fixtures of mail's tests: each message as it is sent (*.eml), and expected.json: what Gmail gives for it as
format=full, and what is to be read of it. Both come from Python's `email`, so from nothing of what is tested.

Run it here, without arguments, with Python 3.11 or later; it writes the same files again."""

import base64
import email
import json
import pathlib
import re
from email.header import decode_header
from email.utils import getaddresses, parsedate_to_datetime

MESSAGES = {}


def message(name, text, crlf=False):
    text = text if isinstance(text, bytes) else text.encode()
    MESSAGES[name] = text.replace(b"\n", b"\r\n") if crlf else text


PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNk+A8AAQUBAScY42YAAAAASUVORK5CYII="

message("simple", """\
From: John Doe <jdoe@machine.example>
To: Mary Smith <mary@example.net>
Subject: Saying Hello
Date: Fri, 21 Nov 1997 09:55:06 -0600
Message-ID: <1234@local.machine.example>

This is a message just to say hello.
So, "Hello".
""")

message("mixed", """\
From: "Smith, Anna" <anna@EXAMPLE.com>
To: Bob <bob@example.org>, carol@example.org
Cc: dan@example.org (Dan the Man)
Bcc: erin@example.org
Reply-To: <office@example.com>
Subject: Quarterly report
Date: Tue, 2 Jan 2024 10:00:00 +0530
Message-ID: <q1@example.com>
In-Reply-To: <p1@example.org>
References: <o1@example.org>
 <p1@example.org>
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary="outer=_1"

Preamble, not to be shown.
--outer=_1
Content-Type: multipart/alternative; boundary=inner

--inner
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: quoted-printable

Caf=C3=A9: 5 =E2=82=AC =
for two.

--inner
Content-Type: text/html; charset=utf-8
Content-Transfer-Encoding: base64

PHA+Q2Fmw6k6IDUg4oKsIGZvciB0d28uPC9wPgo=
--inner--

--outer=_1
Content-Type: application/pdf; name="report.pdf"
Content-Disposition: attachment; filename="report.pdf"
Content-Transfer-Encoding: base64

JVBERi0xLjQKJcOkw7zDtsOf
--outer=_1--
Epilogue, not to be shown.
""", crlf=True)

message("related", f"""\
From: a@example.com
To: b@example.com
Subject: picture
Date: 3 Feb 2024 23:59:60 GMT
MIME-Version: 1.0
Content-Type: multipart/related; type="multipart/alternative"; boundary="rel"

--rel
Content-Type: multipart/alternative; boundary="alt"

--alt
Content-Type: text/plain

[image: dot]
--alt
Content-Type: text/html

<img src="cid:dot@example">
--alt--
--rel
Content-Type: IMAGE/PNG; name=dot.png
Content-Disposition: inline; filename=dot.png
Content-ID: <dot@example>
Content-Transfer-Encoding: base64

{PNG}
--rel
Content-Type: image/gif
Content-ID: <unnamed@example>
Content-Transfer-Encoding: base64

R0lGODlhAQABAAAAACw=
--rel--
""")

message("html_only", b"""\
From: shop@example.fr
Subject: Re: =?iso-8859-1?Q?R=E9sum=E9?=
Date: Mon, 5 Feb 2024 08:00:00 +0100 (CET)
MIME-Version: 1.0
Content-Type: text/html; charset="ISO-8859-1"
Content-Transfer-Encoding: 8bit

<p>Tr\xe8s bient\xf4t \x96 merci</p>
""")

message("no_subject_no_date", """\
From: a@example.com
To: undisclosed-recipients:;

body
""")

message("encoded_words", """\
From: =?utf-8?Q?M=C3=BCller=2C_Hans?= <hans@example.de>
To: =?ISO-2022-JP?B?GyRCOzNFRBsoQg==?= =?ISO-2022-JP?B?GyRCQkBPOhsoQg==?= <taro@example.jp>,
 "=?utf-8?B?xYF1a2Fzeg==?=" <lukasz@example.pl>
Subject: =?utf-8?B?5pel5pys6A==?=
 =?utf-8?B?qp4=?= and =?utf-8?q?a_b=5F?= =?iso-8859-1*fr?q?=E9t=E9?= =?broken =?x?z?y?= end
Date: Mon, 5 Feb 2024 08:00:00 -0000

x
""")

message("rfc2231", """\
From: a@example.com
Subject: names
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary=b

--b
Content-Type: application/octet-stream
Content-Disposition: attachment;
 filename*0*=UTF-8''%E6%97%A5%E6%9C;
 filename*1*=%AC%20and;
 filename*2=" more.txt"

one
--b
Content-Type: application/x-stuff;
 name*=iso-8859-1'en'na%EFve%20caf%E9.bin

two
--b
Content-Type: application/pdf; name="=?utf-8?Q?R=C3=A9sum=C3=A9?=
 =?utf-8?Q?_2024=2Epdf?="
Content-Disposition: attachment

three
--b
Content-Type: application/zip
Content-Disposition: attachment; filename="a;b \\"c\\".zip"

four
--b--
""")

message("addresses", """\
From: Pete(A nice \\) chap) <pete(his account)@silly.test(his host)>
To: A Group:Ed Jones <joe@a.test>,joe@where.test,John <jdoe@one.test>;,
 "Joe Q. Public" <john.q.public@Example.COM>, Who? <one@y.test>,
 <boss@nil.test>, "Giant; \\"Big\\" Box" <sysservices@example.net>
Cc: Undisclosed recipients:;
Subject: RFC 5322, appendix A.1

x
""")

message("attached_message", """\
From: a@example.com
To: b@example.com
Subject: Fwd: inner
Date: Mon, 5 Feb 2024 08:00:00 +0000
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary=out

--out
Content-Type: text/plain

See attached.
--out
Content-Type: message/rfc822
Content-Disposition: attachment; filename="inner.eml"

From: c@example.com
Subject: inner
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary=in

--in
Content-Type: text/plain

inner text
--in
Content-Type: application/pdf; name=inner.pdf
Content-Disposition: attachment; filename=inner.pdf

PDF
--in--

--out
Content-Type: image/png; name=last.png
Content-Transfer-Encoding: base64

AAEC
--out--
""")

CHARSETS = {
    "utf-8": "Größe ☺", "iso-8859-1": "Größe", "iso-8859-2": "Žluťoučký", "iso-8859-5": "Привет", "iso-8859-7": "Γειά",
    "iso-8859-9": "İstanbul", "iso-8859-15": "5 €", "windows-1250": "Žluť", "windows-1251": "Привет",
    "windows-1252": "“5 €”", "windows-1253": "Γειά", "windows-1254": "ığş", "windows-1255": "שלום",
    "windows-1256": "مرحبا", "windows-1257": "ąčę", "Shift_JIS": "日本語テスト", "EUC-JP": "日本語", "GB2312": "你好",
    "GBK": "世界", "gb18030": "世界", "Big5": "你好", "EUC-KR": "안녕하세요", "koi8-r": "Привет", "koi8-u": "Київ",
    "iso-2022-jp": "日本語", "utf-16be": "é日", "us-ascii": "plain",
}
body = b"From: a@example.com\nSubject: charsets\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n"
for charset, text in CHARSETS.items():
    body += f"--b\nContent-Type: text/plain; charset={charset}\nContent-Transfer-Encoding: base64\n\n".encode()
    body += base64.b64encode((charset + ": " + text + "\n").encode(charset)) + b"\n"
message("charsets", body + b"--b--\n")

message("broken_base64", """\
From: a@example.com
Subject: broken
MIME-Version: 1.0
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: Base64

SGVs!bG8s
 IHdv*cmxk
""")

message("empty_multipart", """\
From: a@example.com
Subject: nothing
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary=b

--b--
""")

message("no_boundary", """\
From: a@example.com
Subject: no boundary
MIME-Version: 1.0
Content-Type: multipart/mixed

--b
Content-Type: text/plain

text
--b--
""")

message("boundary_not_found", """\
From: a@example.com
Subject: lost boundary
MIME-Version: 1.0
Content-Type: multipart/alternative; boundary="there-is-none"

All that there is.
""")

message("folded", """\
From: a@example.com
Subject: a subject that
 goes on\tand
\ton
Date: Mon,
 5 Feb 2024
 08:00:00 +0200
X-Empty:
X-Long: one;
        two

x
""", crlf=True)

message("eight_bit_headers", b"""\
From: J\xc3\xb6rg <joerg@example.de>
To: Ren\xe9 <rene@example.fr>
Subject: \xc3\x9cbung

x
""")

message("nuls", b"""\
From: a@example.com
Subject: a\x00b =?utf-8?Q?c=00d?=
X-Nul: \x00
Content-Type: text/plain

one\x00two
""")

message("duplicates", """\
From: first@example.com
From: second@example.com
To: one@example.com
Subject: first
To: two@example.com
Subject: second
Date: Mon, 5 Feb 2024 08:00:00 -0800

x
""")

message("pgp", """\
From: a@example.com
Subject: signed
MIME-Version: 1.0
Content-Type: multipart/signed; boundary=s; micalg=pgp-md5; protocol="application/pgp-signature"

--s
Content-Type: text/plain; charset=iso-8859-1
Content-Transfer-Encoding: quoted-printable

& =A1Hola!

--s
Content-Type: application/pgp-signature

-----BEGIN PGP MESSAGE-----
Version: 2.6.2

iQCVAwUBMJrRF2N9oWBghPDJAQE9UQQAtl7LuRVndBjrk4EqYBIb3h5QXIX/LC//
-----END PGP MESSAGE-----

--s--
""")

message("smime", """\
From: a@example.com
Subject: signed
MIME-Version: 1.0
Content-Type: multipart/signed; protocol="application/pkcs7-signature"; micalg=sha1; boundary=boundary42

--boundary42
Content-Type: text/plain

This is a clear-signed message.

--boundary42
Content-Type: application/pkcs7-signature; name=smime.p7s
Content-Transfer-Encoding: base64
Content-Disposition: attachment; filename=smime.p7s

ghyHhHUujhJhjH77n8HHGTrfvbnj756tbB9HG4VQpfyF467GhIGfHfYT6
4VQpfyF467GhIGfHfYT6jH77n8HHGghyHhHUujhJh756tbB9HGTrfvbnj
n8HHGTrfvhJhjH776tbB9HG4VQbnj7567GhIGfHfYT6ghyHhHUujpfyF4
7GhIGfHfYT64VQbnj756

--boundary42--
""")

message("invite", """\
From: cal@example.com
Subject: Invitation
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary=m

--m
Content-Type: multipart/alternative; boundary=a

--a
Content-Type: text/plain; charset=utf-8; format=flowed; delsp=yes

You are invited.
--a
Content-Type: text/html; charset=utf-8

<b>You are invited.</b>
--a
Content-Type: text/calendar; charset=utf-8; method=REQUEST

BEGIN:VCALENDAR
END:VCALENDAR
--a--
--m
Content-Type: application/ics; name="invite.ics"
Content-Disposition: attachment; filename="invite.ics"
Content-Transfer-Encoding: base64

QkVHSU46VkNBTEVOREFS
--m--
""")

message("bounce", """\
From: Mail Delivery Subsystem <MAILER-DAEMON@cs.utk.edu>
To: owner-info-mime@cs.utk.edu
Subject: Returned mail: User unknown
Date: Thu, 7 Jul 1994 17:16:05 -0400
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status;
      boundary="RAA14128.773615765/CS.UTK.EDU"

--RAA14128.773615765/CS.UTK.EDU

The original message was received at Sat, 2 Jul 1994 17:10:28 -0400

--RAA14128.773615765/CS.UTK.EDU
Content-Type: message/delivery-status

Reporting-MTA: dns; cs.utk.edu

Original-Recipient: rfc822;louisl@larry.slip.umd.edu
Action: failed
Status: 4.0.0

--RAA14128.773615765/CS.UTK.EDU
Content-Type: message/rfc822

From: owner-info-mime@cs.utk.edu
Subject: original

original text
--RAA14128.773615765/CS.UTK.EDU--
""")

message("digest", """\
From: list@example.com
Subject: digest
MIME-Version: 1.0
Content-Type: multipart/digest; boundary=d

--d

From: one@example.com
Subject: one

text one
--d
Content-Type: message/rfc822

From: two@example.com

text two
--d--
""")

message("soft_break_at_boundary", """\
From: a@example.com
Subject: soft
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary=b

--b
Content-Transfer-Encoding: quoted-printable

foo bar=
--b
Content-Transfer-Encoding: quoted-printable

=
--b--
""")

message("boundary_lookalikes", """\
From: a@example.com
Subject: b
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary=b

--b
Content-Type: multipart/alternative; boundary=bb

--bb
Content-Type: text/plain

visit --b for details
--bbb
 --bb
--bb--x
--bb--
--b\t
Content-Type: text/plain

footer
--b--
""")

message("unclosed", """\
From: a@example.com
Subject: cut
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary=b

--b
Content-Type: multipart/alternative; boundary=c

--c
Content-Type: text/plain

one
--b
Content-Type: text/plain

two, cut he""")

message("from_line", """\
From a@example.com Mon Feb  5 08:00:00 2024
From: a@example.com
Subject: from a mailbox file

x
""")

message("only_a_file", """\
From: scanner@example.com
Subject: scan
MIME-Version: 1.0
Content-Type: application/pdf; name="scan.pdf"
Content-Transfer-Encoding: base64

JVBERi0xLjQK
""")

message("text_attached", """\
From: a@example.com
Subject: notes
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary=b

--b
Content-Type: text/plain

see my notes
--b
Content-Type: text/plain; charset=utf-8; name=notes.txt
Content-Disposition: inline; filename=notes.txt

notes
--b
Content-Type: text/html
Content-Disposition: attachment

<p>no name</p>
--b
Content-Type: text/plain

-- 
list footer
--b--
""")

message("no_headers", "\njust a body\n")
message("headers_only", "From: a@example.com\nSubject: and nothing else\n")


def unescaped(text):
    """Header bytes as text: UTF-8, or else windows-1252."""
    data = text.encode("utf-8", "surrogateescape")
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data.decode("cp1252")


def header_text(value):
    return unescaped(re.sub(r"[\r\n]", "", value)).strip(" \t").replace("\0", "\ufffd")


def decoded(value):
    out = ""
    for data, charset in decode_header(value):
        if isinstance(data, bytes):
            data = data.decode((charset or "raw-unicode-escape").split("*")[0], "replace")
        out += data
    return out.replace("\0", "\ufffd")


def headers_of(part):
    return [(name, header_text(value)) for name, value in part.raw_items()]


def filename_of(part):
    name = part.get_filename()
    return decoded(re.sub(r"[\r\n]", "", name)) if name else ""


def data_of(part):
    if part.get_content_type() == "message/rfc822":
        return part.get_payload(0).as_bytes()
    if part.get_content_type() == "message/delivery-status":
        # Python reads blocks of headers, and ends the last one with an empty line too.
        return b"".join(block.as_bytes() for block in part.get_payload())[:-1]
    if part.is_multipart():
        return b""
    return part.get_payload(decode=True) or b""


def gmail(part, part_id=""):
    kind = part.get_content_type()
    tree = {"partId": part_id, "mimeType": kind, "filename": filename_of(part),
            "headers": [{"name": name, "value": value} for name, value in headers_of(part)]}
    data = data_of(part)
    body = {"size": len(data)}
    if kind.startswith("multipart/") and part.is_multipart():
        body = {"size": 0}
    elif tree["filename"] or not (kind.startswith("text/") or kind.startswith("multipart/")):
        body["attachmentId"] = "ANGjdJ" + part_id.replace(".", "_")
    elif data:
        body["data"] = base64.urlsafe_b64encode(data).decode()
    tree["body"] = body
    if part.is_multipart() and kind != "message/delivery-status":
        prefix = part_id + "." if part_id else ""
        tree["parts"] = [gmail(child, prefix + str(n)) for n, child in enumerate(part.get_payload())]
    return tree


def bodies(part):
    """Plain and HTML text, as lists of pieces."""
    kind = part.get_content_type()
    if kind.startswith("multipart/") and part.is_multipart():
        found = [bodies(child) for child in part.get_payload()]
        if kind == "multipart/alternative":
            return [next((f[0] for f in found if f[0]), []), next((f[1] for f in found if f[1]), [])]
        return [sum((f[0] for f in found), []), sum((f[1] for f in found), [])]
    shown = kind in ("text/plain", "text/html") or kind.startswith("multipart/")
    if not shown or filename_of(part) or part.get_content_disposition() == "attachment":
        return [[], []]
    charset = part.get_content_charset() or "utf-8"
    charset = {"iso-8859-1": "cp1252"}.get(charset, charset)
    text = data_of(part).decode(charset, "replace").replace("\0", "\ufffd")
    if kind.startswith("multipart/") and not text.strip():
        return [[], []]
    return [[], [text]] if kind == "text/html" else [[text], []]


def joined(pieces):
    out = ""
    for piece in pieces:
        if out and piece and not out.endswith("\n"):
            out += "\n"
        out += piece
    return out if pieces else None


def lower_domain(address):
    local, _, domain = address.rpartition("@")
    return f"{local}@{domain.lower()}"


# Where Python says something else: it adds comments to names, and knows no leap seconds.
BY_HAND = {"addresses": {"from": [["Pete", "pete@silly.test"]]}, "related": {"sent_at": "2024-02-03T23:59:59Z"}}


def expected(parsed):
    headers = headers_of(parsed)
    first = {}
    for name, value in headers:
        first.setdefault(name.lower(), value)
    def people(name):
        values = [value for other, value in headers if other.lower() == name]
        found = getaddresses(values)
        return [[decoded(person) or None, lower_domain(address)] for person, address in found if address]
    date = first.get("date")
    if date:
        date = re.sub(r":60\b", ":59", date)
        date = parsedate_to_datetime(date).isoformat().replace("+00:00", "Z")
        date = date if len(date) > 19 else date + "Z"
    plain, html = bodies(parsed)
    return {"subject": decoded(first["subject"]) if "subject" in first else None, "from": people("from")[:1],
            "to": people("to"), "cc": people("cc"), "bcc": people("bcc"), "reply_to": people("reply-to"),
            "sent_at": date, "plain": joined(plain), "html": joined(html)}


if __name__ == "__main__":
    here = pathlib.Path(__file__).parent
    out = {}
    for name, text in MESSAGES.items():
        (here / f"{name}.eml").write_bytes(text)
        parsed = email.message_from_bytes(re.sub(rb"\AFrom [^\n]*\n", b"", text))
        out[name] = {"payload": gmail(parsed), "expected": expected(parsed) | BY_HAND.get(name, {})}
    (here / "expected.json").write_text(json.dumps(out, ensure_ascii=False, indent=1) + "\n")
