//! How texts are made comparable, beside what Postgres itself makes of them.

use anyhow::Result;
use once_tests::promo::{A, refused_well, text, texts};
use once_tests::workouts::{import, install, sha256};

/// Unicode's White_Space, and nothing else is.
const WHITE_SPACE: &str = "\t\n\u{b}\u{c}\r \u{85}\u{a0}\u{1680}\u{2000}\u{2001}\u{2002}\u{2003}\u{2004}\u{2005}\u{2006}\
    \u{2007}\u{2008}\u{2009}\u{200a}\u{2028}\u{2029}\u{202f}\u{205f}\u{3000}";

#[test]
fn every_white_space_is_a_space_and_what_only_looks_so_is_not() -> Result<()> {
    let (_db, mut client) = install("white")?;
    let first = import(&mut client, Some(A), "Workout A")?;
    assert_eq!(WHITE_SPACE.chars().count(), 25);
    for c in WHITE_SPACE.chars() {
        for same in [format!("Workout{c}A"), format!("{c}Workout {c}A{c}{c}")] {
            let again = import(&mut client, Some(A), &same)?;
            assert_eq!((again.id, &again.checksum), (first.id, &first.checksum), "{same:?}");
        }
        let blank = format!("SELECT once.import_raw_text_idempotent(NULL, repeat(U&'\\{:04x}', 70), 's')", c as u32);
        assert_eq!(refused_well(&mut client, &blank, &[])?, "22023", "{c:?}");
    }
    for c in ['\u{200b}', '\u{feff}', '\u{180e}', '\u{2060}', '\u{1c}', '\u{1f}', '\u{7f}'] {
        assert!(!import(&mut client, Some(A), &format!("Workout{c}A"))?.is_duplicate, "{c:?}");
        assert!(!import(&mut client, Some(A), &c.to_string())?.is_duplicate, "{c:?}");
    }
    Ok(())
}

#[test]
fn composed_and_decomposed_letters_are_the_same() -> Result<()> {
    let (_db, mut client) = install("composed")?;
    // NFC, and others that have it as their NFC.
    for (composed, others) in [
        ("Übung café", &["U\u{308}bung cafe\u{301}", "U\u{308}bung  café"][..]),
        ("10 \u{c5}", &["10 \u{212b}", "10 A\u{30a}"]),
        ("\u{1ead}", &["a\u{323}\u{302}", "a\u{302}\u{323}", "\u{e2}\u{323}", "\u{1ea1}\u{302}"]),
        ("\u{ac01}", &["\u{1100}\u{1161}\u{11a8}", "\u{ac00}\u{11a8}"]),
    ] {
        let first = import(&mut client, None, composed)?;
        assert_eq!(first.checksum, sha256(&mut client, composed)?);
        for other in others {
            assert_eq!(import(&mut client, None, other)?.id, first.id, "{other:?}");
        }
    }
    // Compatible characters are not the same.
    assert_ne!(import(&mut client, None, "1½")?.id, import(&mut client, None, "11⁄2")?.id);
    Ok(())
}

/// Thousands of texts of what is difficult, each beside Postgres's own normalize, regular expressions and sha256.
#[test]
fn any_text_is_hashed_as_postgres_would_hash_it() -> Result<()> {
    let (_db, mut client) = install("random")?;
    let difficult: Vec<char> = WHITE_SPACE
        .chars()
        .chain(
            "aeAoé\u{301}\u{316}\u{327}\u{30a}\u{344}\u{345}\u{212b}\u{37e}\u{958}\u{1d15e}\u{5e9}\u{5bc}\u{5c1}"
                .chars(),
        )
        .chain("\u{fb2c}\u{1100}\u{1161}\u{11a8}\u{ac00}\u{304b}\u{3099}漢😀\u{200b}\u{feff}\u{12000}xyz".chars())
        .collect();
    let mut state = 88_172_645_463_325_252_u64;
    let mut next = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below as u64) as usize
    };
    let mut made: Vec<String> = Vec::new();
    for _ in 0..4_000 {
        let length = 1 + next(300);
        let plain = next(60);
        let mut one = String::new();
        for _ in 0..length {
            match next(60) < plain {
                true => one.push(char::from(b'a' + next(26) as u8)),
                false => one.push(difficult[next(difficult.len())]),
            }
        }
        made.push(one);
    }
    let blank = r"[\u0009-\u000d\u0020\u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]";
    let line = r"[\u000a-\u000d\u0085\u2028\u2029]";
    let expected = [
        ("exact", "t".to_owned()),
        ("whitespace", format!("btrim(regexp_replace(normalize(t, NFC), '{blank}+', ' ', 'g'), ' ')")),
        (
            "keep_lines",
            // A run with a line break in it first, then the others, which are apart from these.
            format!(
                "btrim(regexp_replace(regexp_replace(normalize(t, NFC), '{blank}*{line}{blank}*', E'\\n', 'g'), '(?:(?!\\n){blank})+', ' ', 'g'), E' \\n')"
            ),
        ),
    ];
    for (normalizer, normal) in expected {
        let sql = format!(
            "SELECT quote_literal(t) FROM unnest($1::text[]) t \
             WHERE once.document_checksum(t, $2) <> encode(sha256(convert_to({normal}, 'UTF8')), 'hex') LIMIT 1"
        );
        let wrong = client.query(&sql, &[&made, &normalizer])?;
        assert!(wrong.is_empty(), "{normalizer}: {:?}", wrong[0].get::<_, String>(0));
    }
    Ok(())
}

#[test]
fn a_target_has_the_normalizer_that_it_was_given() -> Result<()> {
    let (_db, mut client) = install("chosen")?;
    client.batch_execute(
        "CREATE TABLE letters (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, content text, checksum_sha256 text UNIQUE,
           normalizer_version text, source text, source_ref text, tags text[] NOT NULL DEFAULT '{}', received_at timestamptz DEFAULT now())",
    )?;
    let (lines, words, other) = ("Sets\n\n 1 ", "Sets 1", "Sets\n1");
    for (normalizer, same) in [("whitespace", [true, true]), ("keep_lines", [false, true]), ("exact", [false, false])] {
        client.batch_execute(&format!(
            r#"TRUNCATE letters; SELECT once.create_target('letters', 'letters', '{{"kind": "document", "normalizer": "{normalizer}"}}')"#
        ))?;
        let take = |client: &mut once_tests::postgres::Client, content| {
            once_tests::workouts::take(client, "letters", None, content)
        };
        assert!(!take(&mut client, lines)?.is_duplicate);
        assert_eq!(
            [take(&mut client, words)?, take(&mut client, other)?].map(|o| o.is_duplicate),
            same,
            "{normalizer}"
        );
        assert!(take(&mut client, lines)?.is_duplicate);
        let stored = texts(&mut client, "SELECT DISTINCT normalizer_version FROM letters")?;
        assert_eq!(stored, [format!("{normalizer}/1")]);
        client.batch_execute("SELECT once.drop_target('letters')")?;
    }
    // NULL has no checksum, and what is no normaliser is told.
    assert_eq!(text(&mut client, "SELECT coalesce(once.document_checksum(NULL), 'none')")?, "none");
    assert_eq!(refused_well(&mut client, "SELECT once.document_checksum('a', 'Exact')", &[])?, "22023");
    assert_eq!(refused_well(&mut client, "SELECT once.document_checksum('a', NULL)", &[])?, "22004");
    Ok(())
}
