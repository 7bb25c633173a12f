use super::super::Spec;
use super::*;

fn spec(json: &str) -> RowsSpec {
    match Spec::parse(json) {
        Ok(Spec::Rows(spec)) => spec,
        other => panic!("{other:?}"),
    }
}

fn field_of(fields: &str) -> String {
    Spec::parse(&format!(r#"{{"match": [["phone"], ["org", "no"]], {fields}}}"#)).unwrap_err().field
}

#[test]
fn what_is_left_out_is_filled_in() {
    let spec = spec(r#"{"match": [["phone"]]}"#);
    assert_eq!((spec.on_match, spec.ambiguous, spec.on_error), (OnMatch::Update, Ambiguous::Report, OnError::Reject));
    assert_eq!((spec.timezone.as_str(), spec.blank), ("UTC", Blank::Null));
    assert_eq!(spec.merge_of("anything"), &Merge::Coalesce);
}

#[test]
fn a_spec_survives_its_own_json() {
    let text = r#"{"match": [["phone"], ["org", "no"]], "scope": "tenant", "confirm": ["born"],
        "normalize": {"phone": {"phone": "MY", "raw": "given", "version": "v", "invalid": "null"}, "mail": "email"},
        "fields": {"name": ["full_name", "name_of"]}, "rest": "extra",
        "required": ["name"], "merge": {"*": "keep", "tags": "union", "status": {"newest": "at"}},
        "references": {"doctor_id": {"target": "doctors", "by": {"name": "doctor"}, "missing": "create"}},
        "links": [{"table": "t", "id": "i", "columns": {"tag": "tags"}}], "on_match": "skip", "ambiguous": "reject",
        "on_error": "abort", "blank": "keep", "timezone": "Asia/Kuala_Lumpur", "protect": "p", "job_column": "j",
        "derived": ["total"], "details": ["lines"], "columns": ["phone", "org", "no"]}"#;
    let spec = spec(text);
    assert_eq!(Spec::parse(&Spec::Rows(spec.clone()).to_json()).unwrap(), Spec::Rows(spec));
}

#[test]
fn the_faulty_field_is_named() {
    for (fields, field) in [
        (r#""kay": 1"#, "kay"),
        (r#""scope": "org""#, "scope"),
        (r#""confirm": "born""#, "confirm"),
        (r#""confirm": ["a", "a"]"#, "confirm"),
        (r#""normalize": {"phone": "shout"}"#, "normalize"),
        (r#""normalize": {"phone": {"phone": "XX"}}"#, "normalize"),
        (r#""normalize": {"phone": {"phone": "MY", "as": "email"}}"#, "normalize"),
        (r#""normalize": {"phone": {"raw": "x"}}"#, "normalize"),
        (r#""fields": {"name": "full_name"}"#, "fields"),
        (r#""fields": {"name": []}"#, "fields"),
        (r#""fields": {"name": ["name"]}"#, "fields"),
        (r#""fields": {"name": ["a", "b"], "mail": ["b"]}"#, "fields"),
        (r#""fields": {"name": ["mail"], "mail": ["b"]}"#, "fields"),
        (r#""fields": {"j": ["a"]}, "job_column": "j""#, "job_column"),
        (r#""rest": ["extra"]"#, "rest"),
        (r#""rest": "phone""#, "rest"),
        (r#""rest": "extra", "fields": {"extra": ["more"]}"#, "rest"),
        (r#""rest": "given", "normalize": {"phone": {"phone": "MY", "raw": "given"}}"#, "rest"),
        (r#""rest": "extra", "derived": ["extra"]"#, "derived"),
        (r#""merge": {"name": "sum"}"#, "merge"),
        (r#""merge": {"phone": "greatest"}"#, "merge"),
        (r#""merge": {"phone": {"newest": "at"}}"#, "merge"),
        (r#""references": {"d": {"target": "doctors", "by": {}}}"#, "references"),
        (r#""references": {"d": {"target": "doctors", "by": {"a": "b"}, "missing": "guess"}}"#, "references"),
        (r#""links": [{"table": "t", "id": "i", "columns": {}}]"#, "links"),
        (r#""on_match": "merge""#, "on_match"),
        (r#""ambiguous": "first""#, "ambiguous"),
        (r#""on_error": "ignore""#, "on_error"),
        (r#""protect": "phone""#, "protect"),
        (r#""job_column": "j", "columns": ["j"]"#, "job_column"),
        (r#""derived": "total""#, "derived"),
        (r#""derived": ["a", "a"]"#, "derived"),
        (r#""derived": ["phone"]"#, "derived"),
        (r#""derived": ["j"], "job_column": "j""#, "derived"),
        (r#""details": "lines""#, "details"),
    ] {
        assert_eq!(field_of(fields), field, "{fields}");
    }
    assert_eq!(Spec::parse(r#"{"match": []}"#).unwrap_err().field, "match");
    assert_eq!(Spec::parse(r#"{"match": [["a"], []]}"#).unwrap_err().field, "match");
    assert_eq!(Spec::parse(r#"{"match": [["a", "a"]]}"#).unwrap_err().field, "match");
    assert_eq!(Spec::parse(r#"{"kind": "rows"}"#).unwrap_err().field, "match");
}

#[test]
fn a_clock_goes_forward_and_keys_are_never_merged_by_order() {
    let spec = spec(r#"{"match": [["no"]], "merge": {"*": "greatest", "status": {"newest": "at"}}}"#);
    assert_eq!(spec.merge_of("at"), &Merge::Greatest);
    assert_eq!(spec.merge_of("no"), &Merge::Coalesce);
    let spec = self::spec(r#"{"match": [["no"]], "merge": {"status": {"newest": "at"}}}"#);
    assert_eq!(spec.merge_of("at"), &Merge::Greatest);
    assert_eq!(spec.merge_of("status"), &Merge::Newest("at".into()));
}
