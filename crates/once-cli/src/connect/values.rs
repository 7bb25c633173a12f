//! What was set, where: the connection string over the service over the environment.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::keywords::FOLLOWED;
use super::{dsn, service};
use crate::error::{Failure, Result};

type Variables = Box<dyn Fn(&str) -> Option<String>>;

/// Where the process runs; passed in, so that a test can have its own.
pub struct Surroundings {
    pub variables: Variables,
    pub home: Option<PathBuf>,
    /// The operating system's name of the user.
    pub account: Option<String>,
    /// Where the system's service file is, unless `PGSYSCONFDIR` says.
    pub system_dir: PathBuf,
    /// Where a local server has its socket.
    pub socket_dir: Option<PathBuf>,
}

impl Surroundings {
    pub fn real() -> Self {
        let socket_dirs = ["/var/run/postgresql", "/tmp"].map(PathBuf::from);
        Self {
            // Lossy: a name that isn't UTF-8 fails to connect, instead of being passed over for a default.
            variables: Box::new(|name| std::env::var_os(name).map(|value| value.to_string_lossy().into_owned())),
            home: std::env::home_dir(),
            account: whoami::username().ok(),
            system_dir: PathBuf::from("/etc/postgresql-common"),
            socket_dir: socket_dirs.into_iter().find(|dir| dir.is_dir()),
        }
    }

    /// A variable of the environment; an empty one counts as unset.
    pub fn variable(&self, name: &str) -> Option<String> {
        (self.variables)(name).filter(|value| !value.is_empty())
    }

    /// A file below `~/.postgresql`.
    pub fn own_file(&self, name: &str) -> Option<PathBuf> {
        self.home.as_ref().map(|home| home.join(".postgresql").join(name))
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    Dsn,
    Service(String, PathBuf),
    Variable(&'static str),
}

/// The values that were set. No `Debug`: a password may be among them.
#[derive(Default)]
pub struct Values(BTreeMap<&'static str, (String, Origin)>);

impl Values {
    pub fn gather(dsn: Option<&str>, around: &Surroundings) -> Result<Self> {
        let mut values = Self::default();
        for (word, value) in dsn.map_or_else(|| Ok(Vec::new()), dsn::parse)? {
            values.0.insert(word, (value, Origin::Dsn));
        }
        let either = |word, variable| values.get(word).map(String::from).or_else(|| around.variable(variable));
        if let Some(service) = either("service", "PGSERVICE") {
            let (file, pairs) = service::find(&service, either("servicefile", "PGSERVICEFILE").as_deref(), around)?;
            for (word, value) in pairs {
                values.0.entry(word).or_insert_with(|| (value, Origin::Service(service.clone(), file.clone())));
            }
        }
        for (word, variable) in FOLLOWED.iter().filter_map(|(word, variable)| Some((*word, (*variable)?))) {
            if let Some(value) = around.variable(variable) {
                values.0.entry(word).or_insert((value, Origin::Variable(variable)));
            }
        }
        Ok(values)
    }

    /// A value and where it was set; an empty one stands for the default, whatever the environment says.
    pub fn find(&self, word: &str) -> Option<(&str, &Origin)> {
        self.0.get(word).map(|(value, origin)| (value.as_str(), origin)).filter(|(value, _)| !value.is_empty())
    }

    pub fn get(&self, word: &str) -> Option<&str> {
        self.find(word).map(|(value, _)| value)
    }

    /// An integer; `None` if it isn't set.
    pub fn integer(&self, word: &str) -> Result<Option<i32>> {
        self.get(word)
            .map(|value| value.trim().parse().map_err(|_| self.invalid(word, "It has to be an integer.")))
            .transpose()
    }

    /// One of some names; the first is the default.
    pub fn choice<T: Copy>(&self, word: &str, choices: &[(&str, T)], default: T) -> Result<T> {
        let Some(value) = self.get(word) else { return Ok(default) };
        choices.iter().find(|(name, _)| *name == value).map(|(_, choice)| *choice).ok_or_else(|| {
            let names: Vec<_> = choices.iter().map(|(name, _)| *name).collect();
            self.invalid(word, &format!("It can be {}.", names.join(", ")))
        })
    }

    /// The error of a value that can't be followed, with its place.
    pub fn invalid(&self, word: &str, why: &str) -> Failure {
        let value = self.get(word).unwrap_or_default();
        let place = match self.find(word) {
            Some((_, Origin::Service(service, file))) => {
                format!("in the section [{service}] of {}", file.display())
            }
            Some((_, Origin::Variable(variable))) => format!("in the environment variable {variable}"),
            _ => format!("in {word}=… of the connection string"),
        };
        Failure::usage(format!("invalid {word}: \"{value}\"")).detail(why).hint(format!("Change it {place}."))
    }
}

#[cfg(test)]
pub mod tests {
    use std::path::Path;

    use super::*;

    /// Surroundings with these variables and nothing of the machine that runs the test.
    pub fn around(variables: &[(&str, &str)], home: Option<&Path>) -> Surroundings {
        let map: BTreeMap<_, _> = variables.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        Surroundings {
            variables: Box::new(move |name| map.get(name).cloned()),
            home: home.map(PathBuf::from),
            account: Some("osuser".into()),
            system_dir: PathBuf::from("/nonexistent"),
            socket_dir: Some(PathBuf::from("/run/sock")),
        }
    }

    #[test]
    fn dsn_over_service_over_environment() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(".pg_service.conf"), "[s]\nuser=svc\nport=2\npassword=svcpw\n").unwrap();
        let around = around(
            &[("PGSERVICE", "s"), ("PGUSER", "env"), ("PGPORT", "3"), ("PGHOST", "env"), ("PGDATABASE", "")],
            Some(dir.path()),
        );
        let values = Values::gather(Some("port=1 host=a host=b"), &around).unwrap();
        assert_eq!((values.get("port"), values.get("user")), (Some("1"), Some("svc")));
        assert_eq!((values.get("host"), values.get("dbname")), (Some("b"), None));
        assert!(matches!(values.find("password"), Some(("svcpw", Origin::Service(..)))));
        assert!(values.invalid("port", "").to_string().contains("of the connection string"));
        assert!(values.invalid("user", "").to_string().contains("[s]"));
        // Set to nothing: the default, not the environment's.
        assert_eq!(Values::gather(Some("host=''"), &around).unwrap().get("host"), None);
        assert!(Values::gather(Some("service=t"), &around).is_err());
    }

    #[test]
    fn integers_and_names_are_checked() {
        let values = Values::gather(Some("port=abc connect_timeout=' 7 ' sslmode=x"), &around(&[], None)).unwrap();
        assert_eq!(values.integer("connect_timeout").unwrap(), Some(7));
        assert_eq!(values.integer("keepalives").unwrap(), None);
        assert!(values.integer("port").unwrap_err().to_string().contains("invalid port: \"abc\""));
        let told = values.choice("sslmode", &[("disable", 1), ("prefer", 2)], 2).unwrap_err().to_string();
        assert!(told.contains("disable, prefer"), "{told}");
    }
}
