use super::super::{Invalid, Normalizer};
use super::*;
use crate::normalize::tests::{Random, idempotent};
use rlibphonenumber::PhoneNumberType;

fn normal(region: &str, text: &str) -> Result<Option<String>, Invalid> {
    let normalizer = Normalizer::phone(region).unwrap();
    let number = normalizer.apply(text).map(|number| number.map(Cow::into_owned));
    idempotent(&normalizer, text);
    number
}

fn refused(region: &str, text: &str) {
    let invalid = Invalid::Phone { region: region.to_owned() };
    assert_eq!(normal(region, text), Err(invalid), "{region} {text:?}");
}

/// All the ways in which one number is written and pasted. It is libphonenumber's example of a Malaysian mobile number.
#[test]
fn every_way_to_write_a_number_is_one_number() {
    for text in [
        "0123456789",
        "012-345 6789",
        "(012) 345.6789",
        "[012] 345 6789",
        "012/3456789",
        "+60 12 345 6789",
        "+60123456789",
        "+60-12-345-6789",
        "(+60) 12 345 6789",
        "+60 (0)12-345 6789",
        "+60 0123456789",
        "60123456789",
        "60 12-345 6789",
        "600123456789",
        "123456789",
        "0060 12 345 6789",
        "0060123456789",
        "+0060123456789",
        "60123456789.0",
        "123456789.0",
        "'0123456789",
        "tel:+60-12-345-6789",
        "p:+60123456789",
        "p: 012-345 6789",
        "TEL: 012-345 6789",
        "tel:012-345 6789;ext=12",
        "012-345 6789 ext. 12",
        "012-345 6789 Extn: 12",
        "012-3456789x12",
        "012-345 6789 X 12",
        "012-345 6789, extension 1234567",
        "012-345 6789 #12",
        "012-345 6789 доб. 12",
        "０１２－３４５　６７８９",
        "＋６０１２３４５６７８９",
        "٠١٢-٣٤٥ ٦٧٨٩",
        "۰۱۲۳۴۵۶۷۸۹",
        "०१२३४५६७८९",
        "\u{a0}012\u{a0}345\u{202f}6789\u{a0}",
        "012\u{2011}345\u{2013}6789",
        "\u{202a}+60\u{200b}12\u{ad}345\u{2060}6789\u{202c}",
        "\u{200e}\u{feff}012-345 6789\r\n",
        "\u{2066}60123456789\u{2069}",
    ] {
        assert_eq!(normal("MY", text), Ok(Some("+60123456789".to_owned())), "{text:?}");
        assert_eq!(normal("my", text), Ok(Some("+60123456789".to_owned())), "{text:?}");
    }
}

/// Numbers that regulators keep for films (Ofcom, ACMA, Bundesnetzagentur, PTS, NANPA) where the plans have them, and
/// such as are in libphonenumber's own tests and examples.
#[test]
fn national_numbers_are_those_of_their_region() {
    for (region, text, number) in [
        ("GB", "020 7946 0018", "+442079460018"),
        ("GB", "07400 123456", "+447400123456"),
        ("GB", "+44 (0)20 7946 0018", "+442079460018"),
        ("AU", "0491 570 006", "+61491570006"),
        ("AU", "0011 44 20 7946 0018", "+442079460018"),
        ("DE", "030/23125 000", "+493023125000"),
        ("DE", "0049 30 23125000", "+493023125000"),
        ("FR", "06.12.34.56.78", "+33612345678"),
        ("SE", "070-174 06 05", "+46701740605"),
        ("US", "(202) 555-0173", "+12025550173"),
        ("US", "1-202-555-0173", "+12025550173"),
        ("US", "011 44 20 7946 0018", "+442079460018"),
        ("US", "+1 (650) 253-0000", "+16502530000"),
        ("NZ", "03-331 6005", "+6433316005"),
        ("IT", "02 3661 8300", "+390236618300"),
        ("SG", "6521 8000", "+6565218000"),
        ("SG", "0060 12 345 6789", "+60123456789"),
        ("IN", "9123456789", "+919123456789"),
        ("AR", "011 15-2345-6789", "+5491123456789"),
        ("BR", "0 15 (11) 2345-6789", "+551123456789"),
        ("MY", "1 300 88 2525", "+601300882525"),
        ("MY", "6565218000", "+6565218000"),
        ("MY", "+800 1234 5678", "+80012345678"),
    ] {
        assert_eq!(normal(region, text), Ok(Some(number.to_owned())), "{region} {text:?}");
    }
}

#[test]
fn what_is_no_number_or_may_be_another_is_refused() {
    for text in [
        "0",
        "-",
        "+",
        "n/a",
        "none",
        "not 0123456789",
        "012-345 678",
        "012-345 6789 0123",
        "+60 12 345",
        "+999 12 345 6789",
        "+012-345 6789",
        "012+3456789",
        "++60123456789",
        "1-800-FLOWERS",
        "O12-345 6789",
        "0I2-345 6789",
        "012-345 6789 (Ali)",
        "012-345 6789 x",
        "012-345 6789 ext 12345678",
        "x12",
        "*0123456789",
        "0123456789#",
        "012-345 678*",
        "03-2345678/9",
        "03-2345678~9",
        "012-345 6789 / 013-345 6789",
        "012-345 6789, 013-345 6789",
        "012-345 6789\n013-345 6789",
        "012-345\n6789",
        "-3456777",
        "- 012-345 6789",
        "=\"0123456789\"",
        "60123456789.00",
        "0123456789.0",
        "60112345678.5",
        "12345678.05",
        "012.345.678.9",
        "60123456789,0",
        "4,294,967,295",
        "12:34",
        "2024-01-02",
        "999",
        "112",
        "6565 21 8000",
        "sms:+60123456789",
        "tel:345-6789;phone-context=+6012",
        ";phone-context=+60tel:",
        "½",
        "²³⁴",
        "12345678901234567890123456789",
    ] {
        refused("MY", text);
    }
    // What is national elsewhere, and the region that a number is of by default is no other's.
    refused("US", "012-345 6789");
    refused("US", "253-0000");
    for text in ["6.0123456789E10", "6.0123E+10", "60123E6", "6,0123e+10", "1e5"] {
        assert_eq!(normal("MY", text), Err(Invalid::Exponent), "{text}");
    }
    for blank in ["", " \t\r\n\u{a0}\u{3000}", "\u{200b}\u{feff}\u{202a}"] {
        assert_eq!(normal("MY", blank), Ok(None), "{blank:?}");
    }
    let error = Normalizer::phone("MY").unwrap().apply("x").unwrap_err().to_string();
    assert_eq!(error, "is not a phone number of region MY or in international form");
}

#[test]
fn regions_are_those_with_a_numbering_plan() {
    for known in ["MY", "my", "gB", "US", "AC", "XK", "001", "UK", "ZZ", "QQ", "", "M", "MYS", "60", "é", "M\0"] {
        let expected = ["MY", "GB", "US", "AC", "XK"].contains(&known.to_uppercase().as_str());
        assert_eq!(Normalizer::phone(known).is_some(), expected, "{known:?}");
    }
    assert_eq!(Normalizer::phone("my"), Some(Normalizer::Phone { region: "MY".to_owned() }));
    let letters = || (b'A'..=b'Z').map(char::from);
    let codes = letters().flat_map(|first| letters().map(move |second| format!("{first}{second}")));
    let regions = codes.filter(|code| region(code).is_some_and(|region| region == *code));
    assert_eq!(regions.count(), PHONE_NUMBER_UTIL.get_supported_regions().len());
    // Whoever makes one by hand for no region gets international numbers all the same.
    let nowhere = Normalizer::Phone { region: "nowhere".to_owned() };
    assert_eq!(nowhere.apply("+60 12 345 6789"), Ok(Some("+60123456789".into())));
    assert!(nowhere.apply("012-345 6789").is_err());
}

/// libphonenumber's examples, for each region and kind of number, in the forms in which it writes them itself.
#[test]
fn the_examples_of_all_regions_are_taken_in_every_form() {
    let mut seen = 0;
    for region in PHONE_NUMBER_UTIL.get_supported_regions() {
        for kind in [
            PhoneNumberType::FixedLine,
            PhoneNumberType::Mobile,
            PhoneNumberType::TollFree,
            PhoneNumberType::PremiumRate,
            PhoneNumberType::VoIP,
        ] {
            let Ok(example) = PHONE_NUMBER_UTIL.get_example_number_for_type_and_region(region, kind) else { continue };
            let e164 = PHONE_NUMBER_UTIL.format(&example, PhoneNumberFormat::E164).into_owned();
            let national = PHONE_NUMBER_UTIL.format(&example, PhoneNumberFormat::National).into_owned();
            let international = PHONE_NUMBER_UTIL.format(&example, PhoneNumberFormat::International).into_owned();
            let uri = PHONE_NUMBER_UTIL.format(&example, PhoneNumberFormat::RFC3966).into_owned();
            let from_abroad = format!("00{}", &e164[1..]);
            for text in [&e164, &international, &uri, &national] {
                let number = normal(&region.to_string(), text);
                assert_eq!(number, Ok(Some(e164.clone())), "{region} {kind:?} {text:?}");
            }
            // From a region without metadata of its own for the prefix, as from most, 00 is the international prefix.
            assert_eq!(normal("MY", &from_abroad), Ok(Some(e164)), "{region} {kind:?} {from_abroad}");
            seen += 1;
        }
    }
    assert!(seen > 700, "{seen}");
}

#[test]
fn any_text_is_taken_or_refused_and_what_is_taken_stays() {
    const PIECES: &str = "0123456789012345678901234567890123456789+--  ().,/~#*'xXeE;:=tel:ext\u{a0}\u{200b}\u{202e}\
        ＋０５９٠٥ⅷ½é\u{301}\u{1d7d8}\u{1f600}\n\t\0";
    let pieces: Vec<char> = PIECES.chars().collect();
    let regions = ["MY", "US", "DE", "AR", "BR", "BY", "IT", "MX", "HK", "KR", "AU", "TG"];
    let mut random = Random(7);
    let mut taken = 0;
    for round in 0..60_000 {
        let mut text = ["", "+", "tel:", "00", "0", "+375", "375"][random.below(7)].to_owned();
        // Digits alone every other time, which are numbers now and then.
        let from = if round % 2 == 0 { 10 } else { pieces.len() };
        (0..random.below(20)).for_each(|_| text.push(pieces[random.below(from)]));
        let normalizer = Normalizer::phone(regions[round % regions.len()]).unwrap();
        taken += u32::from(idempotent(&normalizer, &text));
    }
    assert!(taken > 1000, "{taken}");
    // Read again, this would lose its first digit.
    refused("BY", "08106034069");
}

#[test]
fn long_texts_are_refused() {
    for long in ["1".repeat(100_000_000), "(".repeat(100_000_000), "1x".repeat(50_000_000)] {
        refused("MY", &long);
    }
    refused("MY", &"٠".repeat(126));
    let spread = format!("0{}123456789", " ".repeat(240));
    assert_eq!(normal("MY", &spread), Ok(Some("+60123456789".to_owned())));
    refused("MY", &format!("0{}123456789", " ".repeat(241)));
}

/// The version stored beside the values must change with the numbering plans. They are those of libphonenumber v9.0.42 in
/// rlibphonenumber 2.2.15, as its Readme.md says; look there for those of another one.
#[test]
fn the_version_is_that_of_the_metadata() {
    let lock = include_str!("../../../../Cargo.lock");
    assert!(lock.contains("name = \"rlibphonenumber\"\nversion = \"2.2.15\"\n"));
    assert_eq!(Normalizer::phone("MY").unwrap().version(), "phone/9.0.42");
}
