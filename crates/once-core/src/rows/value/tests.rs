use super::*;

fn read(kind: &Kind, json: Json<'_>) -> Result<String, String> {
    kind.read(&json).map(|reading| reading.text.into_owned())
}

fn number(text: &str) -> Json<'static> {
    Json::Number(text.into())
}

#[test]
fn numbers_keep_every_digit() {
    let exact = "123456789012345678901234567890.123456789012345678901234567890";
    assert_eq!(read(&Kind::Numeric { fits: None }, number(exact)), Ok(exact.into()));
    assert_eq!(read(&Kind::Text { most: None }, number(exact)), Ok(exact.into()));
    let money = Kind::Numeric { fits: Some((12, 2)) };
    assert_eq!(read(&money, Json::String(" 10.50 ")), Ok("10.50".into()));
    assert_eq!(read(&money, number("10.500")), Ok("10.500".into()));
    assert_eq!(read(&money, number("1e9")), Ok("1e9".into()));
    for bad in ["10.505", "1e10", "12345678901", "1e-3"] {
        assert_eq!(read(&money, number(bad)), Err("does not fit numeric(12,2)".into()), "{bad}");
    }
    for bad in ["1,234.50", "RM 5", "", "1 000", "0x10", "1e", "--1", "."] {
        assert_eq!(read(&money, Json::String(bad)), Err("is not a number".into()), "{bad}");
    }
    assert_eq!(read(&Kind::Numeric { fits: None }, number("1e131072")), Err("is out of range".into()));
    // numeric(3,-3): whole thousands, up to 999000.
    let thousands = Kind::Numeric { fits: Some((3, -3)) };
    assert!(read(&thousands, number("999000")).is_ok());
    assert!(read(&thousands, number("1000000")).is_err() && read(&thousands, number("500")).is_err());
}

#[test]
fn integers_are_whole_and_in_range() {
    let int = Kind::Integer { least: -2_147_483_648, most: 2_147_483_647 };
    for (given, text) in
        [("007", "7"), ("5.0", "5"), ("-0", "0"), ("+3", "3"), ("12e3", "12000"), ("-2147483648", "-2147483648")]
    {
        assert_eq!(read(&int, Json::String(given)), Ok(text.into()), "{given}");
    }
    assert_eq!(read(&int, number("2147483648")), Err("is not between -2147483648 and 2147483647".into()));
    assert_eq!(read(&int, number("1e400")), Err("is not between -2147483648 and 2147483647".into()));
    assert_eq!(read(&int, number("1.5")), Err("is not a whole number".into()));
    assert_eq!(read(&int, Json::Array("[1]".into())), Err("is not a whole number".into()));
    let big = Kind::Integer { least: i64::MIN, most: i64::MAX };
    assert_eq!(read(&big, number("9223372036854775807")), Ok("9223372036854775807".into()));
    assert!(read(&big, number("9223372036854775808")).is_err());
}

#[test]
fn dates_and_times_are_iso_and_real() {
    for good in ["2024-02-29", "0001-01-01", "9999-12-31"] {
        assert_eq!(read(&Kind::Date, Json::String(good)), Ok(good.into()));
    }
    for bad in [
        "2023-02-29",
        "2024-13-01",
        "2024-00-10",
        "01/02/2024",
        "2024-1-5",
        "20240105",
        "0000-01-01",
        "now",
        "2024-01-05T00:00",
    ] {
        assert_eq!(read(&Kind::Date, Json::String(bad)), Err("is not a date written YYYY-MM-DD".into()), "{bad}");
    }
    let time = Kind::TimestampTz { digits: 6 };
    for good in [
        "2024-01-05",
        "2024-01-05 10:00",
        "2024-01-05T10:00:00Z",
        "2024-01-05T10:00:00.123456+08:00",
        "2024-01-05T10:00:00.1230000-0330",
        "2024-01-05T10:00:00+08",
    ] {
        assert_eq!(read(&time, Json::String(good)), Ok(good.into()), "{good}");
    }
    for bad in [
        "2024-01-05T",
        "2024-01-05T24:00",
        "2024-01-05T10:60",
        "2024-01-05T10:00:60",
        "2024-01-05T10:00:00+8",
        "2024-01-05T10:00 PST",
        "2024-01-05T10:00:00.",
        "infinity",
    ] {
        assert!(read(&time, Json::String(bad)).is_err(), "{bad}");
    }
    assert_eq!(
        read(&time, Json::String("2024-01-05T10:00:00.1234567Z")),
        Err("has more than 6 digits of a second".into())
    );
    assert_eq!(read(&Kind::Time { digits: 0 }, Json::String("09:30")), Ok("09:30".into()));
    for (given, text) in
        [("2:15 PM", "14:15"), ("12:05am", "00:05"), ("12:00 PM", "12:00"), ("09:30:10 am", "09:30:10")]
    {
        assert_eq!(read(&Kind::Time { digits: 0 }, Json::String(given)), Ok(text.into()));
    }
    for bad in ["13:00 PM", "0:30 am", "PM", "2 PM", "2:15 PMpm"] {
        assert!(read(&Kind::Time { digits: 0 }, Json::String(bad)).is_err(), "{bad}");
    }
    assert!(read(&Kind::Time { digits: 0 }, Json::String("09:30:00.5")).is_err());
    assert_eq!(read(&Kind::Time { digits: 6 }, Json::String("9:30")), Ok("09:30".into()));
    assert!(read(&Kind::Time { digits: 6 }, Json::String("a:30")).is_err());
}

#[test]
fn uuids_and_booleans_have_one_form() {
    let uuid = "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11";
    let expected = Ok("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11".to_string());
    assert_eq!(read(&Kind::Uuid, Json::String(uuid)), expected);
    assert_eq!(read(&Kind::Uuid, Json::String(&uuid.replace('-', ""))), expected);
    assert_eq!(read(&Kind::Uuid, Json::String(&format!("{{{uuid}}}"))), expected);
    assert!(read(&Kind::Uuid, Json::String("a0ee-bc999c0b4ef8bb6d6bb9bd380a11")).is_err());
    for (given, expected) in [("Yes", "true"), ("0", "false"), (" t ", "true")] {
        assert_eq!(read(&Kind::Boolean, Json::String(given)), Ok(expected.into()));
    }
    assert_eq!(read(&Kind::Boolean, Json::Bool(true)), Ok("true".into()));
    assert!(read(&Kind::Boolean, Json::String("maybe")).is_err());
}

#[test]
fn arrays_become_what_their_input_reads() {
    let texts = Kind::Array { of: Box::new(Kind::Text { most: None }) };
    let json = r#"["a", "b,c", "say \"x\" \\", null, "NULL", "", 7, {"k": [1]}]"#;
    let reading = texts.read(&Json::Array(json.into())).unwrap();
    assert_eq!(reading.text, r#"{"a","b,c","say \"x\" \\",NULL,"NULL","","7","{\"k\": [1]}"}"#);
    assert!(reading.sure);
    let numbers = Kind::Array { of: Box::new(Kind::Numeric { fits: None }) };
    let reading = numbers.read(&Json::Array("[[1.50, 2], [3, 4]]".into())).unwrap();
    assert_eq!((reading.text.as_ref(), reading.sure), (r#"{{"1.50","2"},{"3","4"}}"#, false));
    let money = Kind::Array { of: Box::new(Kind::Numeric { fits: Some((12, 2)) }) };
    let rounded = read(&money, Json::Array("[1.505]".into()));
    assert_eq!(rounded, Err("has an element that does not fit numeric(12,2)".into()));
    let times = Kind::Array { of: Box::new(Kind::Timestamp { digits: 6 }) };
    assert!(read(&times, Json::Array(r#"["2024-01-05T10:00:00+08:00"]"#.into())).is_err());
    let documents = Kind::Array { of: Box::new(Kind::Json) };
    assert_eq!(
        read(&documents, Json::Array(r#"["a", [1], {"b": 2}]"#.into())),
        Ok(r#"{"\"a\"","[1]","{\"b\": 2}"}"#.into())
    );
    assert!(read(&texts, Json::String("a, b")).is_err());
    assert_eq!(read(&texts, Json::String("{a,b}")), Ok("{a,b}".into()));
}

#[test]
fn json_stays_json() {
    assert_eq!(read(&Kind::Json, Json::String("a \"b\"")), Ok(r#""a \"b\"""#.into()));
    assert_eq!(read(&Kind::Json, number("1.10")), Ok("1.10".into()));
    let deep = format!("{}{}", "[".repeat(500), "]".repeat(500));
    assert_eq!(read(&Kind::Json, Json::Array(deep.clone())), Ok(deep));
}

#[test]
fn texts_are_not_cut() {
    let five = Kind::Text { most: Some(5) };
    assert_eq!(read(&five, Json::String("ÄÖÜßé")), Ok("ÄÖÜßé".into()));
    assert_eq!(read(&five, Json::String("sixsix")), Err("is longer than 5 characters".into()));
}

#[test]
fn floats_are_in_range() {
    let double = Kind::Float { single: false };
    assert!(read(&double, number("1e308")).is_ok() && read(&double, number("0.000")).is_ok());
    assert!(read(&double, number("1e309")).is_err() && read(&double, number("1e-400")).is_err());
    assert!(read(&Kind::Float { single: true }, number("1e39")).is_err());
    assert!(read(&double, Json::String("NaN")).is_ok() && read(&double, Json::String("1_0")).is_err());
}
