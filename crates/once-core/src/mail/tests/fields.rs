use super::super::address::addresses;
use super::super::header::{Parameters, date, decode, message_ids};
use super::*;

#[test]
fn encoded_words() {
    for (encoded, text) in [
        ("plain", "plain"),
        ("", ""),
        ("=?ISO-8859-1?Q?a?=", "a"),
        // The table of RFC 2047, 8.
        ("=?ISO-8859-1?Q?a?= b", "a b"),
        ("=?ISO-8859-1?Q?a?= =?ISO-8859-1?Q?b?=", "ab"),
        ("=?ISO-8859-1?Q?a?=    =?ISO-8859-1?Q?b?=", "ab"),
        ("=?ISO-8859-1?Q?a_b?=", "a b"),
        ("=?ISO-8859-1?Q?a?= =?ISO-8859-2?Q?_b?=", "a b"),
        ("(=?ISO-8859-1?Q?a?= b)", "(a b)"),
        ("=?utf-8?B?5pel5pys6A==?= =?UTF-8?B?qp4=?=", "日本語"),
        ("=?utf-8?Q?=E6=97?= =?utf-8?B?pQ==?=", "日"),
        ("=?utf-8*ja?q?=E6=97=A5?=", "日"),
        ("=?ISO-2022-JP?B?GyRCOzNFRBsoQg==?=", "山田"),
        ("=?windows-1251?B?z/Do4uXy?=", "Привет"),
        ("=?utf-8?Q?no space?= after", "no space after"),
        ("=?utf-8?Q??=", ""),
        ("=?x-unknown?Q?caf=E9?=", "café"),
        ("=?utf-8?Q?unterminated", "=?utf-8?Q?unterminated"),
        ("=?utf-8?Z?x?=", "=?utf-8?Z?x?="),
        ("=? =?utf-8?Q?=C3=A9?= =?", "=? é =?"),
        ("1 =? 2 ?= 3", "1 =? 2 ?= 3"),
        ("=?utf-7?Q?+ZeU?= =?utf-7?Q?abc?=", "日abc"),
    ] {
        assert_eq!(decode(encoded), text, "{encoded}");
    }
}

#[test]
fn parameters() {
    for (header, text) in [
        ("attachment; filename=a.txt", Some("a.txt")),
        ("attachment; FileName = \"a b.txt\" ; x=y", Some("a b.txt")),
        ("attachment; filename=a b.txt", Some("a b.txt")),
        ("attachment; filename=\"C:\\dir\\a.txt\"", Some("C:\\dir\\a.txt")),
        ("attachment; filename=\"a\\\\b\\\"c;d.txt\"", Some("a\\b\"c;d.txt")),
        ("attachment; filename=\"unterminated", Some("unterminated")),
        ("attachment; filename=\"un\\\"terminated", Some("un\"terminated")),
        ("attachment; filename=\"a (1).txt\" (comment)", Some("a (1).txt")),
        ("attachment; filename=a (1).txt", Some("a (1).txt")),
        ("attachment; filename=\"a.txt\" size=3", Some("a.txt")),
        ("attachment; filename=\"5\" pipe.txt\"", Some("5\" pipe.txt")),
        ("attachment; filename=", None),
        ("attachment; filename=\"\"", None),
        ("attachment", None),
        ("attachment; filename", None),
        ("attachment; filename=plain.txt; filename*=utf-8''%E2%82%AC.txt", Some("€.txt")),
        ("attachment; filename*=%E2%82%AC.txt", Some("€.txt")),
        ("attachment; filename*=utf-8'en'100%25%zz", Some("100%%zz")),
        ("attachment; filename*0=a; filename*1=b; filename*3=d", Some("ab")),
        ("attachment; filename*1=b; filename*0=a", Some("ab")),
        ("attachment; filename*1=b; filename=plain", Some("plain")),
        ("attachment; filename*0*=shift_jis''%93; filename*1*=%FA; filename*2=x", Some("日x")),
        ("attachment; filename*99999999999=b; filename=c", Some("c")),
        ("attachment; filename=\"=?utf-8?B?5pel?=\"", Some("日")),
    ] {
        let parameters = Parameters::read(header);
        assert_eq!(parameters.get("filename").as_deref(), text, "{header}");
        assert_eq!(parameters.value, "attachment", "{header}");
    }
    assert_eq!(Parameters::read("TEXT/Plain (comment); charset=x").value, "text/plain");
    assert_eq!(Parameters::read("text/html charset=utf-8").value, "text/html");
    assert_eq!(Parameters::read("").value, "");
}

/// One more than 16 bits count.
#[test]
fn a_parameter_in_many_pieces() {
    let pieces: String = (0..=0x10000).map(|number| format!(";filename*{number}=x")).collect();
    let name = Parameters::read(&format!("attachment{pieces}")).get("filename");
    assert_eq!(name.map(|name| name.len()), Some(0x10001));
}

#[test]
fn dates() {
    for (header, text) in [
        ("Fri, 21 Nov 1997 09:55:06 -0600", Some("1997-11-21T09:55:06-06:00")),
        ("21 Nov 97 09:55 GMT", Some("1997-11-21T09:55:00Z")),
        ("Fri, 21 Nov 1997 09(comment):   55  :  06 -0600", Some("1997-11-21T09:55:06-06:00")),
        ("Mon, 1 Jan 2024 10:00:00 +0530 (IST)", Some("2024-01-01T10:00:00+05:30")),
        ("Mon, 1 Jan 2024 10:00:00 EST", Some("2024-01-01T10:00:00-05:00")),
        ("Thu, 29 Feb 2024 00:00:00 +0000", Some("2024-02-29T00:00:00Z")),
        ("Wed, 29 Feb 2023 00:00:00 +0000", None),
        ("Thu, 29 Feb 1900 00:00:00 +0000", None),
        ("Mon, 31 Apr 2024 00:00:00 +0000", None),
        ("Mon, 0 Jan 2024 00:00:00 +0000", None),
        ("Mon, 1 Jan 2024 24:00:00 +0000", None),
        ("Mon, 1 Jan 2024 10:60:00 +0000", None),
        ("Mon, 1 Jan 2024 10:00:61 +0000", None),
        ("Mon, 1 Jan 2024 10:00:00 +1600", None),
        ("Mon, 1 Jan 2024 10:00:00 -2500", None),
        ("Mon, 1 Jan 2024 10:00:00 +0060", None),
        ("Mon, 1 Jan 2024 10:00:00", Some("2024-01-01T10:00:00Z")),
        ("Mon, 1 Jan 2024 10:00:00 XYZ", Some("2024-01-01T10:00:00Z")),
        ("Mon, 1 Jan 2024 10:00:00 (no zone", Some("2024-01-01T10:00:00Z")),
        ("Mon, 1 Jan", None),
        ("1 January 2024 9:05 +0100", Some("2024-01-01T09:05:00+01:00")),
        ("Thu, 13 Feb 1969 23:32 -0330 (Newfoundland Time)", Some("1969-02-13T23:32:00-03:30")),
        ("Mon, 1 Jan 0000 10:00:00 +0000", Some("2000-01-01T10:00:00Z")),
        ("31 Dec 9999 23:59:59 +0000", Some("9999-12-31T23:59:59Z")),
        ("yesterday", None),
        ("", None),
        ("1", None),
    ] {
        assert_eq!(date(header).as_deref(), text, "{header}");
    }
}

#[test]
fn ids() {
    let ids = |text| message_ids(text).collect::<Vec<_>>();
    assert_eq!(ids("<a@b> (comment) <c@d>,<e@f>"), ["<a@b>", "<c@d>", "<e@f>"]);
    assert_eq!(ids("<a@\t b>"), ["<a@b>"]);
    assert_eq!(ids("<> < > <open"), Vec::<String>::new());
    assert_eq!(headed("Message-ID: no brackets").message_id.as_deref(), Some("no brackets"));
    assert_eq!(headed("Message-ID: ").message_id, None);
    assert_eq!(headed("In-Reply-To: Your message of Tuesday").in_reply_to, Vec::<String>::new());
}

#[test]
fn addresses_as_they_are_written() {
    let (none, some) = (None, Some);
    for (header, expected) in [
        ("", vec![]),
        (" , ;; ", vec![]),
        ("<>", vec![]),
        ("a@b.example", vec![(none, "a@b.example")]),
        ("A@B.Example", vec![(none, "A@b.example")]),
        ("John \"Q\" Doe <a@b.example>", vec![(some("John Q Doe"), "a@b.example")]),
        ("\"Doe, John\" <a@b.example>", vec![(some("Doe, John"), "a@b.example")]),
        ("\"a\\\"b\\\\c\" <a@b.example>", vec![(some("a\"b\\c"), "a@b.example")]),
        ("Doe, John <a@b.example>", vec![(none, "Doe"), (some("John"), "a@b.example")]),
        ("\"a b\"@x.example", vec![(none, "\"a b\"@x.example")]),
        ("<\"a>b\"@x.example>", vec![(none, "\"a>b\"@x.example")]),
        ("<@a.example,@b.example:c@d.example>", vec![(none, "c@d.example")]),
        ("Name<a@b.example>", vec![(some("Name"), "a@b.example")]),
        ("Name a@b.example", vec![(some("Name"), "a@b.example")]),
        ("a@b.example c@d.example", vec![(none, "a@b.example"), (none, "c@d.example")]),
        ("a@b.example; c@d.example", vec![(none, "a@b.example"), (none, "c@d.example")]),
        ("Name <a@b.example", vec![(some("Name"), "a@b.example")]),
        ("Name <a@b.example, c@d.example", vec![(some("Name"), "a@b.example"), (none, "c@d.example")]),
        ("Name a@b.example>", vec![(some("Name"), "a@b.example>")]),
        ("\"Open <a@b.example>", vec![(some("\"Open"), "a@b.example")]),
        ("(open a@b.example", vec![(some("(open"), "a@b.example")]),
        ("a@b.example (Name (nested) here)", vec![(some("Name (nested) here"), "a@b.example")]),
        ("root", vec![(none, "root")]),
        ("'Quoted' <a@b.example>", vec![(some("'Quoted'"), "a@b.example")]),
        ("=?utf-8?Q?a@b.example?= <c@d.example>", vec![(some("a@b.example"), "c@d.example")]),
        ("=?utf-8?B?5pel5pys6A==?= =?utf-8?B?qp4=?= <c@d.example>", vec![(some("日本語"), "c@d.example")]),
        ("用户@例子.广告", vec![(none, "用户@例子.广告")]),
        (
            "Group: a@b.example, B <c@d.example>;, e@f.example",
            vec![(none, "a@b.example"), (some("B"), "c@d.example"), (none, "e@f.example")],
        ),
        ("one:;two: a@b.example;", vec![(none, "a@b.example")]),
        ("user@[IPv6:2001:db8::1]", vec![(none, "user@[IPv6:2001:db8::1]")]),
        ("<a@b.example> trailing", vec![(some("trailing"), "a@b.example")]),
        ("A <a@b.example> C <c@d.example>", vec![(some("A"), "a@b.example"), (some("C"), "c@d.example")]),
        ("A <a@b.example><c@d.example> E", vec![(some("A"), "a@b.example"), (some("E"), "c@d.example")]),
        ("Names a@b.example c@d.example (x)", vec![(some("Names"), "a@b.example"), (none, "c@d.example")]),
    ] {
        let expected: Vec<_> = expected.into_iter().map(|(name, email)| person(name, email)).collect();
        assert_eq!(addresses(header), expected, "{header}");
    }
}

#[test]
fn a_sender_with_an_at_sign_counts_first() {
    let from = headed("From: Doe, John <john@b.example>").from;
    assert_eq!(from, Some(person(Some("John"), "john@b.example")));
    assert_eq!(headed("From: root").from, Some(person(None, "root")));
    assert_eq!(headed("From:").from, None);
}

#[test]
fn no_header_is_not_an_empty_one() {
    assert_eq!(headed("X: y").subject, None);
    assert_eq!(headed("Subject:").subject.as_deref(), Some(""));
    assert_eq!(headed("SUBJECT : spaced").subject.as_deref(), Some("spaced"));
}

/// Headers that would take hours, were each start of something looked for to the end.
#[test]
fn hostile_headers_take_no_time() {
    let begun = std::time::Instant::now();
    for piece in
        ["=?a?q?", "=?a?q? ", "=?", "\"", "(", "((", "<", "a@b,", "\\\"", "=?a?q??=", "<@", "(\"", "&", ";x*0*=''", ":"]
    {
        let value = piece.repeat(200_000 / piece.len());
        for header in ["Subject", "From", "To", "Date", "References", "Content-Type", "Content-Disposition"] {
            raw(format!("{header}: {value}\n\n"));
            raw(format!("{header}: {value}?=\")>\n\n"));
        }
        read(&json!({"id": "m", "threadId": "t", "snippet": value + ";"})).unwrap();
    }
    // Names that would be told again for each address.
    for names in ["x ".repeat(100_000), format!("({}) ", "x".repeat(200_000))] {
        let to = headed(&format!("To: {names}{}", "a@b ".repeat(50_000))).to;
        assert_eq!(to.len(), 50_000);
        assert_eq!(to.iter().filter(|address| address.name.is_some()).count(), 1);
    }
    assert!(begun.elapsed().as_secs() < 20, "{:?}", begun.elapsed());
}
