use super::super::encoding::{base64_lenient, base64url as decode, quoted_printable, text};

#[test]
fn base64_of_rfc_4648() {
    for (text, bytes) in [
        ("", &b""[..]),
        ("Zg==", b"f"),
        ("Zg", b"f"),
        ("Zm8=", b"fo"),
        ("Zm8", b"fo"),
        ("Zm9v", b"foo"),
        ("Zm9vYg==", b"foob"),
        ("Zm9vYmE=", b"fooba"),
        ("Zm9vYmFy", b"foobar"),
        ("Zm9v\r\nYmFy\n", b"foobar"),
        ("Zm\n9vY m\tFy", b"foobar"),
        ("-_-_", b"\xfb\xff\xbf"),
        ("+/+/", b"\xfb\xff\xbf"),
        ("AA==", b"\0"),
    ] {
        assert_eq!(decode(text).as_deref(), Some(bytes), "{text}");
        assert_eq!(base64_lenient(text.as_bytes()), bytes, "{text}");
    }
}

#[test]
fn what_is_no_base64() {
    for text in ["Z", "Zm9vY", "Zm9v!", "Zg==Zg==", "Zg=Z", "Zm9v.mFy", "äöü", "Zg==Zm9v"] {
        assert_eq!(decode(text), None, "{text}");
    }
    // What mail has of it is read all the same.
    assert_eq!(base64_lenient(b"Zg==Zg=="), b"ff");
    assert_eq!(base64_lenient(b"Zm9v!\0YmFy\xff"), b"foobar");
    assert_eq!(base64_lenient(b"Zm9vY"), b"foo");
}

#[test]
fn quoted_printable_of_rfc_2045() {
    for (encoded, bytes) in [
        ("a=3Db", &b"a=b"[..]),
        ("=c3=A9", b"\xc3\xa9"),
        ("soft=\nbreak=\r\ns", b"softbreaks"),
        ("soft = \t\r\nblank", b"soft blank"),
        ("trailing  \r\n\tblanks \n", b"trailing\r\n\tblanks\n"),
        ("kept =20\n", b"kept  \n"),
        ("=XY =4 == =", b"=XY =4 == "),
        ("=\n", b""),
        ("", b""),
        ("\n\n", b"\n\n"),
    ] {
        assert_eq!(quoted_printable(encoded.as_bytes()), bytes, "{encoded:?}");
    }
}

#[test]
fn texts_of_unknown_and_wrong_charsets() {
    assert_eq!(text(b"caf\xc3\xa9", None), "café");
    assert_eq!(text(b"caf\xe9", None), "café");
    assert_eq!(text(b"caf\xe9", Some("x-unheard-of")), "café");
    assert_eq!(text(b"caf\xe9", Some("utf-8")), "caf\u{fffd}");
    assert_eq!(text(b"caf\xc3\xa9", Some("us-ascii")), "café");
    assert_eq!(text(b"\xef\xbb\xbfx", Some("UTF8")), "x");
    assert_eq!(text(b"\x1b$)C0!", Some("iso-2022-kr")), "\x1b$)C0!");
    assert_eq!(text(b"a\0b", Some("iso-8859-1")), "a\u{fffd}b");
    assert_eq!(text(b"", Some("shift_jis")), "");
    assert_eq!(text(b"+ZeVnLIqe-!", Some("utf-7")), "日本語!");
    assert_eq!(text(b"x", Some("")), "x");
}

#[test]
fn charsets_lose_nothing() {
    // What ends base64 without a minus is of the text (RFC 2152, rule 2).
    assert_eq!(text(b"+AKM. a+-b +AKM", Some("utf-7")), "£. a+b £");
    assert_eq!(text(b"a\0b", Some("utf-16le")), "a\u{fffd}");
    assert_eq!(text(b"\xfe\xff\x65\xe5", Some("utf-16")), "日");
    assert_eq!(text(b"\xa4\xaa", Some("iso-8859-7")), "€ͺ");
    assert_eq!(text(b"\xdb\xf6", Some("macintosh")), "€ˆ");
    assert_eq!(text(b"\x80\x96", Some("iso-8859-9")), "€–");
    assert_eq!(text(b"\x82\xe1", Some("ibm850")), "éß");
    assert_eq!(text(b"\x93\xfa", Some("cp932")), "日");
    assert_eq!(text(b"\xcf", Some("csWindows1251")), "П");
    assert_eq!(text(b"\x1b$)C0!", Some("ISO_2022_KR")), "\x1b$)C0!");
    // The example of RFC 2045, 5.1, with another charset.
    assert_eq!(text(b"\xbf", Some("iso-8859-5 (Cyrillic)")), "П");
    assert_eq!(text(b"caf\xe9", Some(&"x".repeat(1_000_000))), "café");
}
