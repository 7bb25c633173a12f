use super::*;

/// Numbers that look random and are the same each time (SplitMix64).
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) % limit as u64) as usize
    }
}

/// Fails unless the normal form of `text` is its own, is not empty, and is borrowed where nothing changes. Gives whether
/// there is one.
pub fn idempotent(normalizer: &Normalizer, text: &str) -> bool {
    let Ok(Some(once)) = normalizer.apply(text) else { return false };
    assert!(!once.is_empty(), "{normalizer:?} {text:?}");
    assert!(once != text || matches!(once, Cow::Borrowed(_)), "{normalizer:?} {text:?} is copied");
    let again = normalizer.apply(&once);
    assert!(matches!(&again, Ok(Some(Cow::Borrowed(again))) if *again == once), "{normalizer:?} {text:?} {again:?}");
    true
}

fn all() -> Vec<Normalizer> {
    Normalizer::NAMES.into_iter().map(|name| Normalizer::named(name).unwrap()).collect()
}

fn gives(name: &str, text: &str, expected: &str) {
    let normalizer = Normalizer::named(name).unwrap();
    let given = normalizer.apply(text).unwrap().unwrap_or_default();
    assert_eq!(given, expected, "{name} {text:?}");
    idempotent(&normalizer, text);
}

#[test]
fn names_are_known_and_carry_a_version() {
    for normalizer in all() {
        assert_eq!(Normalizer::named(normalizer.name()).as_ref(), Some(&normalizer));
        assert_eq!(normalizer.version(), format!("{}/1", normalizer.name()));
    }
    for unknown in ["phone", "Email", " email", "", "e-mail"] {
        assert_eq!(Normalizer::named(unknown), None);
    }
}

#[test]
fn blank_is_nothing() {
    for normalizer in all() {
        for blank in ["", " ", "\t\r\n \u{b}\u{c}", "\u{a0}\u{3000}\u{2028}\u{85}"] {
            assert_eq!(normalizer.apply(blank), Ok(None), "{normalizer:?} {blank:?}");
        }
    }
    for name in ["email", "email_lower", "code", "digits", "unprefixed"] {
        let normalizer = Normalizer::named(name).unwrap();
        assert_eq!(normalizer.apply("\u{feff}\u{200b} \u{202c}"), Ok(None), "{name}");
    }
    gives("digits", "none", "");
}

#[test]
fn addresses_that_differ_in_case_are_one() {
    gives("email_lower", " Ann.TAN@Example.COM ", "ann.tan@example.com");
    gives("email_lower", "ÖMER@bücher.example", "ömer@bücher.example");
    let normalizer = Normalizer::named("email_lower").unwrap();
    assert_eq!(normalizer.apply("Ann at home"), Err(Invalid::Email));
    // 64 octets before, more after.
    assert_eq!(normalizer.apply(&format!("{}@x.example", "İ".repeat(32))), Err(Invalid::Email));
}

#[test]
fn white_space_is_one_space() {
    gives("whitespace", "  Ali\tbin \r\n Abu\u{a0}", "Ali bin Abu");
    gives("whitespace", "Ali bin Abu", "Ali bin Abu");
    gives("whitespace", "Ali  bin Abu", "Ali bin Abu");
    gives("whitespace", "Ali\u{a0}bin", "Ali bin");
    gives("whitespace", "阿里\u{3000}\u{2003}宾", "阿里 宾");
    gives("whitespace", "é e\u{301} ﬁ", "é e\u{301} ﬁ");
    // Not White_Space by Unicode: zero-width space, byte order mark, and ASCII's separators.
    gives("whitespace", "\u{feff}a\u{200b}b\u{1f}", "\u{feff}a\u{200b}b\u{1f}");
}

#[test]
fn case_is_unicode_s() {
    gives("lower", " ALI Ömer ", "ali ömer");
    gives("lower", "ΟΔΟΣ", "οδος");
    gives("lower", "İ", "i\u{307}");
    gives("lower", "a  b", "a  b");
    gives("upper", "\tStraße ñ ŉ ", "STRASSE Ñ ʼN");
    gives("upper", "ﬁ ǆ ΐ", "FI Ǆ Ι\u{308}\u{301}");
    gives("upper", "阿里", "阿里");
}

#[test]
fn digits_are_what_is_left() {
    gives("digits", "900101-14-5678", "900101145678");
    gives("digits", "900101145678", "900101145678");
    gives("digits", " ９00 ١٤/۵६๗ ", "90014567");
    gives("digits", "𝟘𝟙 ², Ⅷ, ①, 十, ½", "01");
}

/// As the regex crate has them, by its own tables of an older Unicode.
#[test]
fn decimal_digits_of_all_scripts_are_known() {
    let decimal = regex::Regex::new(r"^\p{Nd}$").unwrap();
    let assigned = regex::Regex::new(r"^\P{Cn}$").unwrap();
    let mut buffer = [0; 4];
    let mut known = 0;
    for c in char::MIN..=char::MAX {
        let text: &str = c.encode_utf8(&mut buffer);
        let is_known = chars::digit(c).is_some();
        let is_decimal = if assigned.is_match(text) { decimal.is_match(text) } else { is_known && c.is_numeric() };
        assert_eq!(is_known, is_decimal, "{:x}", c as u32);
        known += u32::from(is_known);
    }
    // Unicode 17.0 has 770.
    assert_eq!(known, 770);
    // Each script's digits stand in order: Bengali's, Thai's, the last ones of mathematics.
    for digits in ["০১২৩৪৫৬৭৮৯", "๐๑๒๓๔๕๖๗๘๙", "𝟶𝟷𝟸𝟹𝟺𝟻𝟼𝟽𝟾𝟿"]
    {
        gives("digits", digits, "0123456789");
    }
}

#[test]
fn codes_look_alike() {
    gives("code", " ab-12 cd\t", "AB-12CD");
    gives("code", "AB-12CD", "AB-12CD");
    gives("code", "ＡＢ－１２　ｃｄ", "AB-12CD");
    gives("code", "\u{feff}AB\u{ad}12\u{200b}", "AB12");
    gives("code", "ｱｲ ①", "アイ1");
    gives("code", "straße", "STRASSE");
    gives("code", "cafe\u{301}", "CAF\u{c9}");
    gives("code", "10\u{a8}", "10\u{308}");
    gives("code", "٣", "٣");
}

/// As Facebook exports them.
#[test]
fn ids_lose_their_prefixes() {
    for (text, id) in [
        ("l:1234567890123456", "1234567890123456"),
        ("ag:23845", "23845"),
        (" as: 23846\t", "23846"),
        ("z:94107", "94107"),
        ("l:f:5", "5"),
        ("\u{feff}c:6\u{200b}", "6"),
        ("23847", "23847"),
        // None of these is such a prefix.
        ("L:1", "L:1"),
        ("abc:1", "abc:1"),
        ("1:2", "1:2"),
        (":1", ":1"),
        ("é:1", "é:1"),
        ("12 l:3", "12 l:3"),
    ] {
        gives("unprefixed", text, id);
    }
    for nothing in ["l:", " ag: ", "l: f:\u{a0}"] {
        gives("unprefixed", nothing, "");
    }
}

#[test]
fn addresses_keep_their_local_part() {
    for (text, address) in [
        ("\u{feff} Ali.B+x@Example.COM\u{200b}\r\n", "Ali.B+x@example.com"),
        ("a@b.co", "a@b.co"),
        ("!#$%&'*+/=?^_`{|}~-@a-b.c1", "!#$%&'*+/=?^_`{|}~-@a-b.c1"),
        // Some Japanese carriers gave such.
        ("..a..@docomo.ne.jp", "..a..@docomo.ne.jp"),
        ("用户@例子.广告", "用户@例子.广告"),
        ("Pelé@BÜCHER.Example", "Pelé@bücher.example"),
        ("a@bu\u{308}cher.example", "a@bücher.example"),
        ("a@ΟΔΟΣ.gr", "a@οδοσ.gr"),
        ("a@ｅｘａｍｐｌｅ．ｃｏｍ", "a@example.com"),
        ("a@अभ्यास.भारत", "a@अभ्यास.भारत"),
        ("a@XN--BCHER-KVA.example", "a@xn--bcher-kva.example"),
    ] {
        gives("email", text, address);
    }
    let email = Normalizer::Email;
    for none in [
        "a",
        "@",
        "a@",
        "@b.co",
        "a@b",
        "a@localhost",
        "a@b@c.de",
        "a b@c.de",
        "a@b c.de",
        "a@b..de",
        "a@.b.de",
        "a@b.de.",
        "a@-b.de",
        "a@b-.de",
        "a@b_c.de",
        "a@1.2.3.4",
        "a@[1.2.3.4]",
        "\"a b\"@c.de",
        "Ali <a@b.co>",
        "a@b.co, c@d.co",
        "a@b.co;",
        "mailto:a@b.co",
        "a\u{200b}b@c.de",
        "a@b\u{200d}c.de",
        "a\0@b.de",
        "a@☃\u{1}.de",
        "none",
        "n/a",
    ] {
        assert_eq!(email.apply(none), Err(Invalid::Email), "{none:?}");
    }
    assert_eq!(Invalid::Email.to_string(), "is not an e-mail address");
}

/// RFC 5321: 64 octets before the @, 63 a label, 254 in all.
#[test]
fn addresses_are_no_longer_than_mail_takes() {
    let taken = |text: &str| idempotent(&Normalizer::Email, text);
    let label = "b".repeat(63);
    assert!(taken(&format!("{}@{label}.de", "a".repeat(64))));
    assert!(!taken(&format!("{}@b.de", "a".repeat(65))));
    assert!(!taken(&format!("a@{label}b.de")));
    let long = format!("{}@{label}.{label}.", "a".repeat(64));
    assert!(taken(&format!("{long}{}.de", "c".repeat(254 - long.len() - 3))));
    assert!(!taken(&format!("{long}{}.de", "c".repeat(254 - long.len() - 2))));
    for long in ["a@".repeat(50_000_000), "Å".repeat(50_000_000)] {
        assert!(!taken(&long));
    }
}

/// Every character there is, alone and among others.
#[test]
fn what_is_normal_stays_so() {
    for normalizer in all() {
        for c in char::MIN..=char::MAX {
            for text in [format!("{c}"), format!("a{c}\u{301}B"), format!("a{c}@b{c}.C{c}d")] {
                idempotent(&normalizer, &text);
            }
        }
    }
    let pieces: Vec<char> =
        "aB9.@- \t\u{a0}\u{3000}\u{200b}\u{feff}éÅΣσςßŉİıǆΐ\u{300}\u{301}\u{308}\u{323}\u{345}\u{a8}ᾳ\
        ᾼᾐﬁＡ１．ｱﾞ\u{1100}\u{1161}\u{11a8}각\u{344}\u{212b}\u{fdfa}\u{1d7d8}٣\u{1f600}"
            .chars()
            .collect();
    let mut random = Random(3);
    for _ in 0..60_000 {
        let mut text: String = (0..random.below(9)).map(|_| pieces[random.below(pieces.len())]).collect();
        for normalizer in all() {
            idempotent(&normalizer, &text);
        }
        text.insert_str(0, "a@b");
        text.push_str(".de");
        idempotent(&Normalizer::Email, &text);
    }
}
