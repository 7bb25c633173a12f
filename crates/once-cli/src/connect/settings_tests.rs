//! Expected values from libpq's documentation, "Parameter Key Words" and "The Password File".

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::*;
use crate::connect::values::tests::around;

fn settings(dsn: &str, variables: &[(&str, &str)], home: Option<&Path>) -> Result<Settings> {
    let around = around(variables, home);
    Settings::new(&Values::gather(Some(dsn), &around)?, &around, &mut Vec::new())
}

fn describe(dsn: &str) -> String {
    settings(dsn, &[], None).unwrap().describe()
}

fn error(dsn: &str) -> String {
    settings(dsn, &[], None).err().unwrap().to_string()
}

#[test]
fn defaults_are_libpqs() {
    let settings = settings("", &[], None).unwrap();
    assert_eq!(settings.describe(), "database osuser on socket /run/sock/.s.PGSQL.5432 as osuser");
    assert_eq!(settings.application_name, "once");
    assert!(settings.connect_timeout.is_none() && settings.keepalives && settings.endpoints[0].password.is_none());
    assert_eq!(describe("user=alice"), "database alice on socket /run/sock/.s.PGSQL.5432 as alice");
    let mut bare = around(&[], None);
    (bare.socket_dir, bare.account) = (None, None);
    let values = Values::gather(Some("user=a"), &bare).unwrap();
    let settings = Settings::new(&values, &bare, &mut Vec::new()).unwrap();
    assert_eq!(settings.describe(), "database a on localhost:5432 as a");
    assert!(Settings::new(&Values::default(), &bare, &mut Vec::new()).is_err());
}

#[test]
fn hosts_and_ports_go_together() {
    assert_eq!(
        describe("host=a,,b port=1,,3 dbname=d user=u"),
        "database d on a:1, socket /run/sock/.s.PGSQL.5432, b:3 as u"
    );
    assert_eq!(describe("host=a,/s port=7 dbname=d user=u"), "database d on a:7, socket /s/.s.PGSQL.7 as u");
    assert_eq!(describe("hostaddr=::1,127.0.0.1 dbname=d user=u"), "database d on [::1]:5432, 127.0.0.1:5432 as u");
    assert_eq!(describe("postgres://u@[::1],h:9/d"), "database d on [::1]:5432, h:9 as u");
    assert!(error("host=a,b port=1,2,3").contains("3 ports and 2 hosts"));
    assert!(error("host=a,b hostaddr=::1").contains("2 hosts and 1 addresses"));
    assert!(error("hostaddr=localhost").contains("IP address"));
    for port in ["0", "65536", "x", "-1"] {
        assert!(error(&format!("port={port}")).contains("invalid port"), "{port}");
    }
    assert!(error("host=@abstract").contains("abstract"));
}

#[test]
fn what_cannot_be_checked_is_refused() {
    for dsn in ["require_auth=scram-sha-256", "requirepeer=postgres", "gssencmode=require", "sslcertmode=require"] {
        assert!(error(dsn).contains("can't check"), "{dsn}");
    }
    assert!(settings("gssencmode=prefer sslcertmode=allow", &[], None).is_ok());
    assert!(error("dbname=postgres://a:hunter2@h/d").contains("is a URL"));
    assert!(!error("dbname=postgres://a:hunter2@h/d").contains("hunter2"));
}

#[test]
fn numbers_follow_libpq() {
    let settings = settings("connect_timeout=0 tcp_user_timeout=1500 keepalives=0 keepalives_count=3", &[], None);
    let settings = settings.unwrap();
    assert_eq!((settings.connect_timeout, settings.keepalives), (None, false));
    assert_eq!(settings.tcp_user_timeout, Some(Duration::from_millis(1500)));
    assert_eq!(settings.keepalives_count, Some(3));
    assert!(error("connect_timeout=soon").contains("integer"));
}

#[test]
fn passwords_are_found_for_each_host() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join(".pgpass");
    let text =
        "a:5432:d:u:pa\nlocalhost:5432:d:u:plocal\n/other:5432:d:u:pother\n127.0.0.1:*:d:u:paddr\nempty:*:*:*:\n";
    std::fs::write(&file, text).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    let passwords = |dsn: &str, variables: &[(&str, &str)]| -> Vec<Option<String>> {
        let settings = settings(dsn, variables, Some(home.path())).unwrap();
        settings.endpoints.into_iter().map(|endpoint| endpoint.password.map(|p| p.text)).collect()
    };
    let some = |text: &str| Some(text.to_owned());
    let hosts = "host=a,b,/run/sock,/other,localhost,empty user=u dbname=d";
    assert_eq!(passwords(hosts, &[]), [some("pa"), None, some("plocal"), some("pother"), some("plocal"), None]);
    assert_eq!(passwords("hostaddr=127.0.0.1 user=u dbname=d", &[]), [some("paddr")]);
    assert_eq!(passwords("host=a hostaddr=127.0.0.1 user=u dbname=d", &[]), [some("pa")]);
    assert_eq!(passwords("host=a user=u dbname=d", &[("PGPASSWORD", "env")]), [some("env")]);
    assert_eq!(passwords("host=a user=u dbname=d", &[("PGPASSFILE", "/no/such")]), [None]);
    assert_eq!(passwords("host=a user=u dbname=d port=1", &[("PGPASSWORD", "")]), [None]);
}
