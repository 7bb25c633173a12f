//! What a user is told of a connection that wasn't made.

use super::*;
use crate::connect::values::Values;
use crate::connect::values::tests::around;

fn settings(dsn: &str) -> Settings {
    let around = around(&[], Some(std::path::Path::new("/home/u")));
    Settings::new(&Values::gather(Some(dsn), &around).unwrap(), &around, &mut Vec::new()).unwrap()
}

#[test]
fn the_line_of_the_password_file_is_told() {
    for (dsn, line) in [
        ("host=db.example.com dbname=codes user=alice", "db.example.com:5432:codes:alice:<password>"),
        ("postgres://alice@[::1]:7/codes", "\\:\\:1:7:codes:alice:<password>"),
        ("hostaddr=10.0.0.1 dbname=d user=u", "10.0.0.1:5432:d:u:<password>"),
        ("dbname=d user=u", "*:5432:d:u:<password>"),
    ] {
        let settings = settings(dsn);
        let told = hint_password(&settings, settings.endpoints.first());
        assert!(told.contains(line) && told.contains("/home/u/.pgpass") && told.contains("PGPASSWORD"), "{told}");
    }
}

#[test]
fn a_failure_tells_all_that_was_tried() {
    let settings = settings("host=a,b dbname=d user=u");
    let tried = |place: &str, endpoint, trouble| Tried { place: place.into(), endpoint, trouble };
    let told = failure(
        &settings,
        &[
            tried("a:5432", 0, Trouble::Unresolved(io::Error::other("failed to lookup: Name not known"))),
            tried("b:5432", 1, Trouble::Timeout(std::time::Duration::from_secs(2))),
        ],
    );
    assert_eq!(told.message, "can't connect to database d on a:5432, b:5432 as u");
    let detail = "a:5432: the host's address is not found: Name not known\n\
                  b:5432: no connection within 2 s (connect_timeout)";
    assert_eq!(told.detail.as_deref(), Some(detail));
    assert!(told.hint.is_some_and(|hint| hint.contains("connect_timeout")));
}
