//! Spreadsheets as they come, and a Google that is slow, busy or forgetful.

use std::time::{Duration, Instant, SystemTime};

use anyhow::Result;
use once_tests::once::{Folder, Ran};
use once_tests::{Value, json};

use super::google::{EMAIL, Google, Reply, error, values};
use super::{feed, leads, says};

fn one_lead() -> Reply {
    values("Sheet1!A1:Q1000", json!([["id", "full_name", "phone_number", "email"], ["L1", "Ana", "012-345 6701"]]))
}

#[test]
fn rows_come_as_they_are_seen() -> Result<()> {
    let db = feed("sheets")?;
    let google = Google::new(&[values(
        "'Leads / März'!A3:Q1000",
        json!([
            [" id ", "full_name", "phone_number", "email", "", "note"],
            ["L1", "Ana Lim", "+60123456701", "ana@example.com"],
            [],
            ["L2", "Bo Tan", "012-345 6702", "", "", "called", "twice"],
            ["", "Nobody", "012-345 6709"],
            ["L3", "Cy", "+60 12-345 6703"],
        ]),
    )])?;
    let arguments = ["feed", "run", "sheet", "--sheet", "1x/ü?", "--range", "'Leads / März'!A3:Q", "--json"];
    let ran = google.run_command(&mut google.command(&db, &arguments)?)?;
    says(&ran, 0, &[]);
    let answer = ran.json()?;
    assert_eq!(answer["status"], "partial", "{answer}");
    assert_eq!((&answer["rows_scanned"], &answer["inserted"]), (&json!(4), &json!(3)), "{answer}");
    // The third row below the header, of which the second is blank; the header is in row 3.
    let rows: Vec<_> =
        answer["errors"].as_array().into_iter().flatten().map(|e| (&e["row"], &e["source_row"])).collect();
    assert_eq!(rows, [(&json!(3), &json!(7))]);
    assert_eq!(leads(&db)?, ["L1 Ana Lim ana@example.com", "L2 Bo Tan", "L3 Cy"]);
    let extra = "SELECT extra ->> 'note', extra ->> 'G' FROM leads WHERE external_lead_id = 'L2'";
    assert_eq!(db.psql(extra)?.trim(), "called|twice");
    let asked: Vec<String> = google.asked().into_iter().map(|asked| asked.target).collect();
    let path = "/v4/spreadsheets/1x%2F%C3%BC%3F/values/%27Leads%20%2F%20M%C3%A4rz%27%21A3%3AQ";
    assert_eq!(asked, [format!("{path}?majorDimension=ROWS&valueRenderOption=FORMATTED_VALUE")]);

    let ran = google.run(&db, &[])?;
    says(&ran, 0, &["sheet: 4 rows", " 0 new", "1 rejected", "row", "  7 ┆"]);
    Ok(())
}

#[test]
fn a_sheet_without_rows_is_no_error() -> Result<()> {
    let db = feed("sheets_empty")?;
    let empty = Reply::Values(json!({"range": "Sheet1!A1:Q1000", "majorDimension": "ROWS"}));
    let google = Google::new(&[empty, values("Sheet1!A1:Q1000", json!([["id", "email"]]))])?;
    for _ in 0..2 {
        says(&google.run(&db, &[])?, 0, &["sheet: 0 rows"]);
    }
    Ok(())
}

#[test]
fn what_has_to_be_set_up_is_said() -> Result<()> {
    let db = feed("sheets_setup")?;
    let disabled = "Google Sheets API has not been used in project 7 before or it is disabled.";
    for (reply, words) in [
        (error(401, "Request had invalid authentication credentials."), &["does not accept the token", "new key"][..]),
        (error(403, "The caller does not have permission"), &["is not shared with", EMAIL, "Share", "permission"]),
        (error(403, disabled), &["API is off", "Enable it"]),
        (error(404, "Requested entity was not found."), &["there is no spreadsheet 1x", "/d/ and /edit"]),
        (error(400, "Unable to parse range: Lead!A:Q"), &["the range A:ZZ", "Unable to parse range: Lead!A:Q"]),
        (Reply::Status(200, "<html>Sign in</html>".into()), &["is not what its API gives", "proxy"]),
        (Reply::Status(418, String::new()), &["status 418"]),
        (values("A!A1:C9", json!([["id", "email", "id"]])), &["A, row 1", "\"id\" in columns A and C"]),
    ] {
        let ran = Google::new(&[reply])?.run(&db, &[])?;
        says(&ran, 1, words);
        assert!(ran.err.contains("hint: "), "{ran:?}");
    }
    assert_eq!(leads(&db)?, [""; 0]);
    Ok(())
}

#[test]
fn credentials_are_json_or_a_path_and_are_checked() -> Result<()> {
    let db = feed("sheets_key")?;
    let google = Google::new(&[one_lead()])?;
    let folder = Folder::new("sheets_key")?;
    let file = folder.file("key.json", google.credentials()?)?;
    let with = |credentials: &str| -> Result<Ran> {
        let mut once = google.command(&db, &["feed", "run", "sheet", "--sheet", "1x"])?;
        google.run_command(once.env("GOOGLE_SERVICE_ACCOUNT_CREDENTIALS", credentials))
    };
    says(&with(&file.display().to_string())?, 0, &["1 inserted"]);
    says(&with("")?, 2, &["GOOGLE_SERVICE_ACCOUNT_CREDENTIALS is not set", "hint: "]);
    says(&with("/no/tr0ub4dor")?, 2, &["No such file", "hint: "]);
    says(&with(&google.credentials()?.replace("client_email", "mail"))?, 2, &["lacks client_email", "hint: "]);
    // The key of another account.
    let mut other: Value = Google::new(&[one_lead()])?.credentials()?.parse()?;
    other["token_uri"] = json!(format!("{}/token", google.url));
    says(&with(&other.to_string())?, 1, &["refuses the key", EMAIL, "invalid_grant", "Invalid JWT Signature", "clock"]);
    assert_eq!(google.tokens(), 1);
    Ok(())
}

#[test]
fn a_busy_google_is_waited_for_as_it_asks() -> Result<()> {
    let db = feed("sheets_busy")?;
    for is_date in [false, true] {
        // A date has whole seconds, so that four may be three.
        let date = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(4));
        let google = Google::new(&[Reply::Later(429, if is_date { date } else { "2".into() }), one_lead()])?;
        says(&google.run(&db, &[])?, 0, &["status 429; trying again in", "sheet: 1 row"]);
        let asked = google.asked();
        let waited = asked[1].at.duration_since(asked[0].at);
        assert!((2_000..6_000).contains(&waited.as_millis()), "{waited:?}");
        assert_eq!((asked.len(), google.tokens()), (2, 1));
    }
    // Longer than a user waits.
    let google = Google::new(&[Reply::Later(429, "3600".into())])?;
    says(&google.run(&db, &[])?, 1, &["status 429", "It asks to wait", "hint: "]);
    assert_eq!(google.asked().len(), 1);
    Ok(())
}

#[test]
fn what_passes_is_tried_again() -> Result<()> {
    let db = feed("sheets_again")?;
    let google = Google::new(&[error(500, "Internal error"), error(503, "Unavailable"), one_lead()])?;
    says(&google.run(&db, &[])?, 0, &["status 500; trying again", "status 503; trying again", "sheet: 1 row"]);
    let google = Google::new(&[Reply::Silence, one_lead()])?;
    says(&google.run(&db, &["--sheets-timeout", "500ms"])?, 0, &["no answer within 500ms", "sheet: 1 row"]);
    // A token that was withdrawn before its time.
    let google = Google::new(&[error(401, "Invalid Credentials"), one_lead()])?;
    says(&google.run(&db, &[])?, 0, &["sheet: 1 row"]);
    assert_eq!(google.tokens(), 2);
    Ok(())
}

/// Not for ever: a bounded number of times, each bounded.
#[test]
fn what_does_not_pass_is_given_up() -> Result<()> {
    let db = feed("sheets_given_up")?;
    for (reply, words) in [
        (error(500, "Internal error"), ["status 500", "asked 4 times"]),
        (Reply::Later(429, "0".into()), ["status 429", "asked 4 times"]),
        (Reply::Silence, ["can't be reached", "no answer within 300ms"]),
    ] {
        let google = Google::new(&[reply])?;
        let ran = google.run(&db, &["--sheets-timeout", "300ms"])?;
        says(&ran, 1, &words);
        assert!(ran.err.contains("hint: "), "{ran:?}");
        assert_eq!(google.asked().len(), 4);
    }
    let google = Google::new(&[one_lead()])?;
    let mut nobody = google.command(&db, &["feed", "run", "sheet", "--sheet", "1x"])?;
    // The port 1 is nobody's.
    let began = Instant::now();
    says(
        &google.run_command(nobody.env("ONCE_SHEETS_URL", "http://127.0.0.1:1"))?,
        1,
        &["can't be reached", "refused"],
    );
    assert!(began.elapsed() < Duration::from_secs(30));
    Ok(())
}
