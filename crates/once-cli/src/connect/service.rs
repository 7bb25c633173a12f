//! Service files: named sets of connection settings, one section each.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::dsn::Pairs;
use super::keywords::{self, Known};
use super::values::Surroundings;
use crate::error::{Failure, Result};

/// The settings of a service, and the file that has them. `file` is the user's own service file, if one is
/// named; otherwise it is `~/.pg_service.conf`. The system's file is read if the service isn't in there.
pub fn find(service: &str, file: Option<&str>, around: &Surroundings) -> Result<(PathBuf, Pairs)> {
    let named = file.map(PathBuf::from);
    let own = named.clone().or_else(|| around.home.as_ref().map(|home| home.join(".pg_service.conf")));
    let system = around.variable("PGSYSCONFDIR").map_or_else(|| around.system_dir.clone(), PathBuf::from);
    let files: Vec<_> = own.into_iter().chain([system.join("pg_service.conf")]).collect();
    for path in &files {
        let text = match std::fs::read(path) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) if error.kind() == ErrorKind::NotFound && named.as_ref() != Some(path) => continue,
            Err(error) => {
                return Err(Failure::usage(format!("the service file {} can't be read", path.display()))
                    .detail(error.to_string())
                    .hint("Check PGSERVICEFILE, and that the file exists and is yours to read."));
            }
        };
        if let Some(pairs) = section(&text, service, path)? {
            return Ok((path.clone(), pairs));
        }
    }
    let looked: Vec<_> = files.iter().map(|path| path.display().to_string()).collect();
    Err(Failure::usage(format!("there is no service \"{service}\""))
        .detail(format!("Looked in: {}.", looked.join(", ")))
        .hint(format!(
            "Add a section [{service}] with lines such as host=… and dbname=…, or check the service's name."
        )))
}

fn section(text: &str, service: &str, path: &Path) -> Result<Option<Pairs>> {
    let mut found: Option<Pairs> = None;
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(name) = line.strip_prefix('[') {
            if found.is_some() {
                break;
            }
            if name.split_once(']').is_some_and(|(name, _)| name == service) {
                found = Some(Pairs::new());
            }
        } else if let Some(pairs) = &mut found {
            let (word, value) = setting(line, path, number)?;
            // The first line of a keyword counts.
            if let Some(word) = word.filter(|word| pairs.iter().all(|(known, _)| known != word)) {
                pairs.push((word, value.into()));
            }
        }
    }
    Ok(found)
}

fn setting<'a>(line: &'a str, path: &Path, number: usize) -> Result<(Option<&'static str>, &'a str)> {
    let bad = |what: String| {
        Failure::usage(format!("line {number} of the service file {} can't be followed", path.display()))
            .detail(what)
            .hint("A service has lines of the form keyword=value, without spaces around the =, and # comments.")
    };
    if line.starts_with("ldap") {
        return Err(bad("It names an LDAP server, which only libpq can ask.".into()));
    }
    let (word, value) = line.split_once('=').ok_or_else(|| bad("It has no =.".into()))?;
    match keywords::known(word) {
        Some(Known::Followed("service" | "servicefile")) => Err(bad("A service can't name another service.".into())),
        Some(Known::Followed(word)) => Ok((Some(word), value)),
        Some(Known::Ignored) => Ok((None, value)),
        None if keywords::is_wordlike(word) => Err(bad(format!("Its keyword \"{word}\" is unknown."))),
        None => Err(bad("What stands before the = is no keyword.".into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connect::values::tests::around;

    const FILE: &str = "# comment\nhost=outside\n[mydb]\nhost=somehost\nport=5433\nuser=admin\nport=9\npassword=a=b c\n\
                        krbsrvname=x\n\n[other]\nhost=elsewhere\n[mydb]\ndbname=late\n[bad]\n  hots=a\n";

    fn read(service: &str) -> Result<Option<Pairs>> {
        section(FILE, service, Path::new("f"))
    }

    #[test]
    fn a_section_is_read_to_its_end() {
        let pairs = read("mydb").unwrap().unwrap();
        let expected = [("host", "somehost"), ("port", "5433"), ("user", "admin"), ("password", "a=b c")];
        assert_eq!(pairs, expected.map(|(word, value)| (word, value.to_owned())));
        assert_eq!(read("other").unwrap().unwrap(), [("host", "elsewhere".to_owned())]);
        assert_eq!(read("my").unwrap(), None);
    }

    #[test]
    fn mistakes_are_told_by_line() {
        let told = read("bad").unwrap_err().to_string();
        assert!(told.contains("line 16") && told.contains("\"hots\""), "{told}");
        for text in ["[s]\nservice=b", "[s]\nldap://h/x", "[s]\nhost", "[s]\nhost = a"] {
            assert!(section(text, "s", Path::new("f")).is_err(), "{text}");
        }
    }

    #[test]
    fn files_are_read_in_libpqs_order() {
        let dir = tempfile::tempdir().unwrap();
        let system = dir.path().join("etc");
        std::fs::create_dir(&system).unwrap();
        std::fs::write(dir.path().join(".pg_service.conf"), "[a]\nhost=home\n").unwrap();
        std::fs::write(system.join("pg_service.conf"), "[a]\nhost=system\n[b]\nhost=system\n").unwrap();
        std::fs::write(dir.path().join("mine"), "[a]\nhost=mine\n").unwrap();
        let around = around(&[("PGSYSCONFDIR", system.to_str().unwrap())], Some(dir.path()));
        let host =
            |service: &str, file: Option<&str>| find(service, file, &around).map(|(_, pairs)| pairs[0].1.clone());
        assert_eq!(host("a", None).unwrap(), "home");
        assert_eq!(host("b", None).unwrap(), "system");
        let mine = dir.path().join("mine");
        assert_eq!(host("a", mine.to_str()).unwrap(), "mine");
        assert_eq!(host("b", mine.to_str()).unwrap(), "system");
        assert!(host("c", None).unwrap_err().to_string().contains("no service \"c\""));
        assert!(host("a", Some("/no/such/file")).unwrap_err().to_string().contains("/no/such/file"));
    }
}
