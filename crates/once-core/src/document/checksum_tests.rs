//! The checksum against fixed hashes, and against the rules as they are told.

use super::*;
use unicode_normalization::UNICODE_VERSION;
use unicode_normalization::char::decompose_canonical;

const ALL: [Normalizer; 3] = [Normalizer::Whitespace, Normalizer::KeepLines, Normalizer::Exact];

const WHITE_SPACE: &str = "\t\n\u{B}\u{C}\r \u{85}\u{A0}\u{1680}\u{2000}\u{2001}\u{2002}\u{2003}\u{2004}\u{2005}\u{2006}\
    \u{2007}\u{2008}\u{2009}\u{200A}\u{2028}\u{2029}\u{202F}\u{205F}\u{3000}";
const LINE_BREAKS: &str = "\n\u{B}\u{C}\r\u{85}\u{2028}\u{2029}";

/// Letters, marks and white space that do something to each other, and long ones that shift the others.
const NASTY: [&str; 52] = [
    " ",
    " ",
    "  ",
    "\t",
    "\n",
    "\n",
    "\r\n",
    "\u{B}",
    "\u{85}",
    "\u{A0}",
    "\u{1680}",
    "\u{2000}",
    "\u{2001}",
    "\u{2028}",
    "\u{3000}",
    "\u{FEFF}",
    "\u{200B}",
    "a",
    "e",
    "A",
    "o",
    "\u{301}",
    "\u{301}",
    "\u{316}",
    "\u{327}",
    "\u{30A}",
    "\u{344}",
    "\u{345}",
    "é",
    "\u{1EAD}",
    "\u{212B}",
    "\u{37E}",
    "\u{958}",
    "\u{F73}",
    "\u{1D15E}",
    "\u{5E9}",
    "\u{5BC}",
    "\u{5C1}",
    "\u{FB2C}",
    "\u{1100}",
    "\u{1161}",
    "\u{11A8}",
    "\u{AC00}",
    "\u{304B}",
    "\u{3099}",
    "漢",
    "\u{1F600}",
    "\u{16D63}",
    "\u{16D67}",
    "\u{16D68}",
    "twenty seven bytes of text.",
    "über zwanzig schöne Bytes",
];

fn checksum(content: &str, normalizer: Normalizer) -> Checksum {
    super::checksum(content, normalizer, &mut || ())
}

fn hex_of(content: &str, normalizer: Normalizer) -> String {
    checksum(content, normalizer).hex
}

fn same(one: &str, other: &str, normalizer: Normalizer) -> bool {
    hex_of(one, normalizer) == hex_of(other, normalizer)
}

fn plain_sha256(text: &str) -> String {
    Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The rules, as they are told.
fn normalised(content: &str, normalizer: Normalizer) -> String {
    if normalizer == Normalizer::Exact {
        return content.into();
    }
    let mut text = String::new();
    for c in content.nfc() {
        let line = normalizer == Normalizer::KeepLines && LINE_BREAKS.contains(c);
        match (WHITE_SPACE.contains(c), text.chars().next_back()) {
            (true, Some(' ')) if line => text.replace_range(text.len() - 1.., "\n"),
            (true, Some(' ' | '\n')) => {}
            (true, _) => text.push(if line { '\n' } else { ' ' }),
            (false, _) => text.push(c),
        }
    }
    text.trim_matches([' ', '\n']).into()
}

fn check(content: &str) {
    for normalizer in ALL {
        let expected = plain_sha256(&normalised(content, normalizer));
        let end = &content[content.ceil_char_boundary(content.len().saturating_sub(300))..];
        assert_eq!(hex_of(content, normalizer), expected, "{normalizer:?}, {} bytes … {end:?}", content.len());
    }
}

/// A number below `limit`; the same ones in each run of the tests.
fn random(state: &mut u64, limit: usize) -> usize {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    usize::try_from(*state % limit as u64).unwrap()
}

fn nasty(state: &mut u64, pieces: usize) -> String {
    (0..pieces).map(|_| NASTY[random(state, NASTY.len())]).collect()
}

#[test]
fn checksums_are_what_other_programs_compute() {
    // From Python's unicodedata, re with the white space spelled out, and hashlib.
    let order =
        "\u{FEFF}  Bestellung\tNr. 7\r\n\r\n 3 × Cafe\u{301}\u{A0}au lait\u{2028} Größe: 5\u{202F}m\u{200B}\u{3000}\n";
    let hebrew = "\u{5E9}\u{5BC}\u{5C1}\u{5DC}\u{5D5}\u{5B9}\u{5DD}  \u{5E2}\u{5D5}\u{5DC}\u{5DD}\n";
    let korean = "\u{1112}\u{1161}\u{11AB}\u{1100}\u{116E}\u{11A8}\u{2003}語 \u{304B}\u{3099}\u{2029}\u{304D}";
    let lines: String = (0..1000).map(|i| format!("line {i},\twith  a\u{30A} and {}\r\n", i * i)).collect();
    let expected = [
        (
            order,
            "d9afcc026e3a4fe2df926ce7624e9e98f8057bd9d133a09f950bd5cb0a785fd2",
            "f1f6de7a353b36e8184db914df9895a025449648691be6ff605e42f0466df789",
            "0de46d9d8313800bbc1d7a5746fb420aacdb16e0c772af35ebf2396b7c1c45c6",
        ),
        (
            hebrew,
            "fd902f661b9e710a225bea9e5f901b42918332a790dba27bdafcc847b43f7ce3",
            "fd902f661b9e710a225bea9e5f901b42918332a790dba27bdafcc847b43f7ce3",
            "03e70b812239841da58d2cc71ff16a6cda4cf9a1c25f60162607a60d0efd2f55",
        ),
        (
            korean,
            "6690e065878be4b61cb14777da033f276ea17194987628dea8616456fc52a170",
            "4ca658db0f24509190f3dfc92b7f1f5483df4d7ba7b2cfa6aae952c37f930036",
            "5d0f6a6444a4191eb91e73d75426421e07f0e285b1873f3f8d1cec36747c1b93",
        ),
        (
            &lines,
            "3386dd7bd993063ebed19e9c9532f25d8be53e195743bd3084206e0e45b387a0",
            "b87d07f324d055f1f2bb8d4e5204d7f51f77a89ec0b2ba26a86e1d0e5c5845da",
            "76a792e484c29a24d835ca1998b892b9af87bbb8bc53022e574e73b9235553b7",
        ),
    ];
    for (text, whitespace, keep_lines, exact) in expected {
        assert_eq!(ALL.map(|normalizer| hex_of(text, normalizer)), [whitespace, keep_lines, exact]);
    }
    // From sha256sum.
    let hello = "b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9";
    assert_eq!(ALL.map(|normalizer| hex_of("hello world", normalizer)), [hello; 3]);
    assert_eq!(hex_of("\thello\n\nworld ", Normalizer::Whitespace), hello);
    let kept = "26c60a61d01db5836ca70fefd44a6a016620413c8ef5f259a6c5612d4f79d3b8";
    assert_eq!(hex_of("\thello\n\nworld ", Normalizer::KeepLines), kept);
}

#[test]
fn blank_documents_are_empty_ones() {
    let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"; // sha256sum < /dev/null
    for text in ["", " ", "\r\n\t", WHITE_SPACE, &" \n".repeat(5000)] {
        for normalizer in ALL {
            let checksum = checksum(text, normalizer);
            assert!(checksum.blank);
            assert_eq!(checksum.hex == empty, normalizer != Normalizer::Exact || text.is_empty());
        }
    }
    assert!(
        ALL.iter().all(|&normalizer| !checksum(" x ", normalizer).blank && !checksum("\u{FEFF}", normalizer).blank)
    );
}

#[test]
fn every_white_space_is_a_space_or_a_line_feed() {
    assert!(('\0'..=char::MAX).all(|c| c.is_whitespace() == WHITE_SPACE.contains(c)));
    for c in WHITE_SPACE.chars() {
        let broken = if LINE_BREAKS.contains(c) { "a\nb" } else { "a b" };
        for text in [format!("a{c}b"), format!("{c}a {c} b{c}{c}"), format!("a{c}{c}b ")] {
            assert_eq!(hex_of(&text, Normalizer::Whitespace), plain_sha256("a b"), "{text:?}");
            assert_eq!(hex_of(&text, Normalizer::KeepLines), plain_sha256(broken), "{text:?}");
        }
    }
    for c in "\u{FEFF}\u{200B}\u{180E}\u{2060}\0\u{1C}\u{1F}\u{7F}".chars() {
        let text = format!("{c}a{c}b{c}");
        assert_eq!(ALL.map(|normalizer| hex_of(&text, normalizer)), [0; 3].map(|_| plain_sha256(&text)), "{c:?}");
    }
}

#[test]
fn line_ends_of_all_systems_are_the_same() {
    let unix = "one\ntwo\n\nthree\n";
    for other in
        [unix.replace('\n', "\r\n"), unix.replace('\n', "\r"), unix.replace("\n\n", "\n"), "\n ".to_owned() + unix]
    {
        assert!(same(unix, &other, Normalizer::KeepLines) && same(unix, &other, Normalizer::Whitespace));
        assert!(!same(unix, &other, Normalizer::Exact));
    }
    assert!(same("a \t \n \t b", "a\nb", Normalizer::KeepLines));
    assert!(!same("a\nb", "a b", Normalizer::KeepLines));
}

#[test]
fn one_text_in_several_code_points_has_one_checksum() {
    let pairs = [
        ("caf\u{E9}", "cafe\u{301}"),
        ("\u{D55C}", "\u{1112}\u{1161}\u{11AB}"),
        ("\u{D55C}", "\u{D558}\u{11AB}"),
        ("\u{212B}", "\u{C5}"),
        ("\u{212B}", "A\u{30A}"),
        ("\u{5E9}\u{5BC}\u{5C1}", "\u{5E9}\u{5C1}\u{5BC}"),
        ("\u{FB2C}", "\u{5E9}\u{5C1}\u{5BC}"),
        ("a\u{2000}b", "a\u{2002}b"),
        ("\u{2F800}", "\u{4E3D}"),
        ("\u{1E9B}\u{323}", "\u{17F}\u{323}\u{307}"),
    ];
    for (one, other) in pairs {
        assert!(same(one, other, Normalizer::Whitespace) && same(one, other, Normalizer::KeepLines), "{one:?}");
        assert!(!same(one, other, Normalizer::Exact));
    }
    // White space keeps an accent from the letter before it, and itself has none.
    assert_eq!(hex_of("e\t\u{301}", Normalizer::Whitespace), plain_sha256("e \u{301}"));
    assert_eq!(hex_of("\t\u{301}", Normalizer::Whitespace), plain_sha256("\u{301}"));
}

#[test]
fn what_is_taken_for_plain_is_left_alone_by_nfc() {
    let starter = |c: char| canonical_combining_class(c) == 0 && is_nfc_quick([c].into_iter()) == IsNormalized::Yes;
    for c in '\0'..=char::MAX {
        let mut bytes = [0; 4];
        let bytes = c.encode_utf8(&mut bytes).as_bytes();
        let plain = is_plain(bytes);
        assert!(plain || !is_plain_byte(bytes[0]), "{c:?}");
        if plain && !c.is_ascii() {
            let mut first = None;
            decompose_canonical(c, |part| _ = first.get_or_insert(part));
            assert!(starter(c) && first.is_some_and(starter) && !c.is_whitespace(), "{c:?}");
        }
    }
}

#[test]
fn white_space_is_collapsed_before_or_after_nfc() {
    for c in '\0'..=char::MAX {
        decompose_canonical(c, |part| assert_eq!(part.is_whitespace(), c.is_whitespace(), "{c:?}"));
    }
    assert!(WHITE_SPACE.chars().all(|c| canonical_combining_class(c) == 0));
}

/// Where this fails, the versions of the normalisers must be raised if any character is treated differently now.
#[test]
fn the_unicode_version_is_the_normalisers() {
    assert_eq!(UNICODE_VERSION, (18, 0, 0));
}

#[test]
fn random_texts_are_treated_as_the_rules_say() {
    let mut state = 1;
    for _ in 0..100_000 {
        let pieces = random(&mut state, 9);
        check(&nasty(&mut state, pieces));
    }
    for _ in 0..4000 {
        let pieces = random(&mut state, 60);
        check(&nasty(&mut state, pieces));
    }
    for _ in 0..20 {
        check(&nasty(&mut state, 4 * BUFFER / 10));
    }
}

#[test]
fn nothing_depends_on_where_a_block_or_the_buffer_ends() {
    let mut state = 2;
    let filler = "ab c".repeat(BUFFER / 2);
    for before in (0..=2 * BLOCK + 2).chain(BUFFER - 2 * BLOCK..=BUFFER + BLOCK + 2) {
        let pairs = if before < BUFFER / 2 { 20 } else { 4 };
        for _ in 0..pairs {
            check(&format!("{}{}{}", &filler[..before], nasty(&mut state, 3), &filler[..before % 70]));
        }
        for piece in [
            "e\u{301}",
            "x\r\n y",
            "é \n",
            "\u{5E9}\u{5C1}\u{5BC}",
            "\u{1F600}\u{301}",
            "\u{2028} \u{301}",
            "x\u{3000}",
        ] {
            check(&format!("{}{piece}{}", &filler[..before], &filler[..before % 70]));
        }
    }
}

#[test]
fn long_runs_are_one_run() {
    let marks: String = (0..100_000).map(|i| ['\u{301}', '\u{316}', '\u{5B0}', '\u{345}'][i * i % 7 % 4]).collect();
    for run in ["\u{301}".repeat(10_000), marks, " \t".repeat(10_000) + "\n\u{2009}", "\u{3000}".repeat(5000)] {
        check(&format!("a{run}b{run}"));
    }
}

#[test]
fn names_are_the_same_everywhere() {
    for (normalizer, name) in ALL.into_iter().zip(Normalizer::NAMES) {
        assert_eq!((Normalizer::parse(name), normalizer.name()), (Some(normalizer), name));
        assert_eq!(serde_json::to_value(normalizer).unwrap(), name);
        assert_eq!(normalizer.version(), format!("{name}/1"));
    }
    assert_eq!(Normalizer::default(), Normalizer::Whitespace);
    assert_eq!(["Exact", "", "keep lines"].map(Normalizer::parse), [None; 3]);
}

/// A run without white space or plain letters is parted where that changes nothing.
#[test]
fn long_runs_are_hashed_as_short_ones() {
    let unit = "\u{12000}\u{1D15E}\u{5D0}\u{5BC}\u{5B4}\u{301}\u{327}\u{F73}\u{16D67}\u{16D67}";
    let long = unit.repeat(3 * LONG_RUN / unit.len());
    for normalizer in ALL {
        assert_eq!(hex_of(&long, normalizer), plain_sha256(&normalised(&long, normalizer)), "{normalizer:?}");
    }
}

/// Whoever cancels is heard while a long text is hashed, of whatever sort.
#[test]
fn every_text_is_paused_in() {
    let megabytes = |unit: &str| format!("a{}", unit.repeat(8 * MEGABYTE / unit.len()));
    for unit in [
        "x",
        "two words\r\n",
        "\u{3000}x",
        "e\u{301} ",
        "\u{12000}",
        "\u{5E9}\u{5C1}\u{5BC}",
        "\u{1100}\u{1161}\u{11A8}",
    ] {
        for normalizer in ALL {
            let mut pauses = 0;
            super::checksum(&megabytes(unit), normalizer, &mut || pauses += 1);
            assert!((4..=16).contains(&pauses), "{unit:?} {normalizer:?}: {pauses}");
        }
    }
}

/// Marks without an end are parted, which bounds the memory, and are called back for.
#[test]
fn a_million_marks_are_hashed_in_parts() {
    let marks = format!("a{}", "\u{301}\u{316}".repeat(LONG_RUN));
    let parted: String = marks.chars().stream_safe().nfc().collect();
    let mut pauses = 0;
    let sum = super::checksum(&marks, Normalizer::Whitespace, &mut || pauses += 1);
    assert_eq!(sum.hex, plain_sha256(&parted));
    assert!(pauses > 1, "{pauses}");
}
