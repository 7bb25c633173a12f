//! Expected values from libpq's documentation, "Connection Strings".

use super::*;
use crate::error::Exit;

fn pairs(dsn: &str) -> Vec<(&'static str, String)> {
    parse(dsn).unwrap()
}

fn is(dsn: &str, expected: &[(&str, &str)]) {
    let found = pairs(dsn);
    let found: Vec<_> = found.iter().map(|(word, value)| (*word, value.as_str())).collect();
    assert_eq!(found, expected, "{dsn}");
}

fn error(dsn: &str) -> String {
    let failure = parse(dsn).unwrap_err();
    assert_eq!(failure.exit, Exit::Usage);
    assert!(failure.detail.is_some() && failure.hint.is_some());
    failure.to_string()
}

#[test]
fn words_follow_libpq() {
    is(
        "host=localhost port=5432 dbname=mydb connect_timeout=10",
        &[("host", "localhost"), ("port", "5432"), ("dbname", "mydb"), ("connect_timeout", "10")],
    );
    is("host = localhost  port\t=\n5433 ", &[("host", "localhost"), ("port", "5433")]);
    is(r"dbname='my db' user='O\'Hara\\x'", &[("dbname", "my db"), ("user", r"O'Hara\x")]);
    is(r"user=a\ b\'c options=''", &[("user", "a b'c"), ("options", "")]);
    is("options='-c geqo=off'", &[("options", "-c geqo=off")]);
    is("krbsrvname=postgres host=a", &[("host", "a")]);
    is("codes", &[("dbname", "codes")]);
    is("", &[]);
}

#[test]
fn urls_follow_libpq() {
    is("postgresql://", &[]);
    is("postgresql://localhost", &[("host", "localhost")]);
    is("postgresql://localhost:5433", &[("host", "localhost"), ("port", "5433")]);
    is("postgresql://localhost/mydb", &[("host", "localhost"), ("dbname", "mydb")]);
    is("postgres://user@localhost", &[("user", "user"), ("host", "localhost")]);
    is("postgres://user:@localhost", &[("user", "user"), ("host", "localhost")]);
    is(
        "postgresql://other@localhost/otherdb?connect_timeout=10&application_name=myapp",
        &[
            ("user", "other"),
            ("host", "localhost"),
            ("dbname", "otherdb"),
            ("connect_timeout", "10"),
            ("application_name", "myapp"),
        ],
    );
    is(
        "postgresql://host1:123,host2:456/somedb?target_session_attrs=any",
        &[("host", "host1,host2"), ("port", "123,456"), ("dbname", "somedb"), ("target_session_attrs", "any")],
    );
    is("postgresql://host1,host2:456/", &[("host", "host1,host2"), ("port", ",456")]);
    is(
        "postgresql://user@localhost:5433/mydb?options=-c%20synchronous_commit%3Doff",
        &[
            ("user", "user"),
            ("host", "localhost"),
            ("port", "5433"),
            ("dbname", "mydb"),
            ("options", "-c synchronous_commit=off"),
        ],
    );
    is("postgresql:///mydb?host=localhost&port=5433", &[("dbname", "mydb"), ("host", "localhost"), ("port", "5433")]);
    is("postgresql://[2001:db8::1234]/database", &[("host", "2001:db8::1234"), ("dbname", "database")]);
    is("postgresql://[::1]:5433", &[("host", "::1"), ("port", "5433")]);
    is("postgresql:///dbname?host=/var/lib/postgresql", &[("dbname", "dbname"), ("host", "/var/lib/postgresql")]);
    is("postgresql://%2Fvar%2Flib%2Fpostgresql/dbname", &[("host", "/var/lib/postgresql"), ("dbname", "dbname")]);
    is("postgresql://m%C3%BCller@h/?ssl=true", &[("user", "müller"), ("host", "h"), ("sslmode", "require")]);
}

#[test]
fn unknown_keywords_are_named() {
    assert!(error("hots=localhost").contains("unknown keyword \"hots\""));
    assert!(error("postgresql://h/?sslmod=require").contains("unknown keyword \"sslmod\""));
}

#[test]
fn malformed_strings_are_refused() {
    assert!(error("host=a port").contains("= is missing"));
    assert!(error("host='a").contains("quote is not closed"));
    assert!(error("postgresql://h/?sslmode").contains("= is missing"));
    assert!(error("postgresql://h/?sslmode=a=b").contains("bare ="));
    assert!(error("postgresql://h/a%2").contains("hexadecimal"));
    assert!(error("postgresql://h/a%zz").contains("hexadecimal"));
    assert!(error("postgresql://h/a%00").contains("%00"));
    assert!(error("postgresql://h/a%ff").contains("UTF-8"));
    assert!(error("postgresql://[::1").contains("[ is not closed"));
    assert!(error("postgresql://[::1]x").contains("after ]"));
    assert!(error("postgresql://h:http").contains("port is not a number"));
}

#[test]
fn passwords_are_refused_and_never_repeated() {
    for dsn in [
        "postgresql://alice:hunter2@localhost/codes",
        "postgresql://localhost/codes?password=hunter2",
        "host=localhost password=hunter2",
        "password='hunter2",
        "password=my hunter2",
        "host=a password = 'hunter2' hunter2=1",
        "sslpassword=hunter2",
        // A mistake around a password is not told with the password.
        "postgres://alice:hunter2/x@localhost/codes",
        "postgres://alice:12/hunter2@localhost/codes",
        "postgres://alice:hun@ter2@localhost/hunter2",
        "postgres//alice:hunter2@localhost/codes",
        "alice:hunter2@localhost/codes?sslmode=require",
        "passwd=hunter2",
    ] {
        assert!(!error(dsn).contains("hunter"), "{dsn}: {}", error(dsn));
    }
    assert!(error("postgresql://alice:hunter2@localhost").contains("PGPASSWORD, ~/.pgpass or a service file"));
    is("host=a password=''", &[("host", "a"), ("password", "")]);
}
