//! Connections as psql makes them: from a connection string, a service, the environment and the password file.

mod attempt;
mod dsn;
mod explain;
mod keywords;
mod passfile;
mod service;
mod settings;
mod tls;
mod values;

use std::sync::Arc;
use std::time::Duration;

use postgres::Client;
use postgres_openssl::MakeTlsConnector;

use crate::error::{Failure, Result};
use settings::{Place, Settings};
use tls::{Mode, Tls};
use values::{Surroundings, Values};

/// How to connect: checked settings and TLS, shared by all clones.
#[derive(Clone)]
pub struct Connector {
    plan: Arc<Plan>,
}

struct Plan {
    settings: Settings,
    mode: Mode,
    /// `None` without TLS. An error is one of its files that `sslmode=prefer` may do without.
    tls: Option<Result<MakeTlsConnector>>,
}

impl std::fmt::Debug for Connector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Connector").field(&self.describe()).finish()
    }
}

impl Connector {
    /// Resolves the settings from a connection string, `PG*` variables, the service file and the password file.
    /// Nothing is connected yet. Warnings about files that are ignored go to stderr.
    ///
    /// # Errors
    /// A usage failure names the setting that can't be followed; a password in `dsn` is one.
    pub fn resolve(dsn: Option<&str>) -> Result<Self> {
        let mut warnings = Vec::new();
        let resolved = Self::resolve_in(dsn, &Surroundings::real(), &mut warnings);
        for warning in warnings {
            eprintln!("warning: {warning}");
        }
        resolved
    }

    fn resolve_in(dsn: Option<&str>, around: &Surroundings, warnings: &mut Vec<String>) -> Result<Self> {
        let values = Values::gather(dsn, around)?;
        let settings = Settings::new(&values, around, warnings)?;
        let over_tcp = settings.endpoints.iter().any(|endpoint| matches!(endpoint.place, Place::Host { .. }));
        let tls = Tls::new(&values, around, over_tcp, warnings)?;
        let nameless = |place: &Place| matches!(place, Place::Host { name: None, .. });
        if tls.mode == Mode::VerifyFull && settings.endpoints.iter().any(|endpoint| nameless(&endpoint.place)) {
            return Err(Failure::usage("sslmode=verify-full needs the name of the host")
                .detail("hostaddr alone is no name that the server's certificate could have.")
                .hint("Set host=… (PGHOST) beside hostaddr, or sslmode=verify-ca."));
        }
        let built = (tls.mode != Mode::Disable).then(|| tls.build());
        if let (Some(Err(failure)), true) = (&built, tls.mode >= Mode::Require) {
            return Err(failure.clone());
        }
        Ok(Self { plan: Arc::new(Plan { settings, mode: tls.mode, tls: built }) })
    }

    /// The same settings for a program that nobody watches: where they set no limit, a server that is silent is given up
    /// after half a minute while connecting, and after two minutes while it works and its machine does not answer.
    pub fn unattended(dsn: Option<&str>) -> Result<Self> {
        let mut connector = Self::resolve(dsn)?;
        if let Some(plan) = Arc::get_mut(&mut connector.plan) {
            let settings = &mut plan.settings;
            settings.connect_timeout.get_or_insert(Duration::from_secs(30));
            settings.keepalives_idle.get_or_insert(Duration::from_secs(60));
            settings.keepalives_interval.get_or_insert(Duration::from_secs(20));
            settings.keepalives_count.get_or_insert(3);
        }
        Ok(connector)
    }

    /// Opens a connection to the first server that will do.
    ///
    /// # Errors
    /// A database failure tells what each server tried had to say, and the next step.
    pub fn connect(&self) -> Result<Client> {
        attempt::connect(&self.plan).map_err(|troubles| explain::failure(&self.plan.settings, &troubles))
    }

    /// What is connected to, for people: "database codes on db.example.com:5432 as alice".
    pub fn describe(&self) -> String {
        self.plan.settings.describe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Exit;
    use values::tests::around;

    fn resolve(dsn: &str) -> Result<Connector> {
        Connector::resolve_in(Some(dsn), &around(&[("PGPASSWORD", "hunter2")], None), &mut Vec::new())
    }

    #[test]
    fn a_connector_is_shared_and_tells_no_password() {
        fn shared<T: Clone + Send + Sync>(_: &T) {}
        let connector = resolve("postgresql://alice@db.example.com/codes").unwrap();
        shared(&connector);
        assert_eq!(connector.describe(), "database codes on db.example.com:5432 as alice");
        assert_eq!(format!("{connector:?}"), "Connector(\"database codes on db.example.com:5432 as alice\")");
    }

    #[test]
    fn a_full_check_needs_a_name() {
        let told = resolve("hostaddr=127.0.0.1 sslrootcert=system").unwrap_err();
        assert_eq!(told.exit, Exit::Usage);
        assert!(told.message.contains("name of the host"));
        assert!(resolve("host=a hostaddr=127.0.0.1 sslrootcert=system").is_ok());
        assert!(resolve("sslmode=verify-full").is_ok(), "over a socket there is nothing to check");
    }

    #[test]
    fn a_server_that_is_down_is_told() {
        let told = resolve("host=127.0.0.1,/no/such port=1 user=u dbname=d").unwrap().connect().err().unwrap();
        assert_eq!(told.exit, Exit::Database);
        let detail = told.detail.unwrap();
        assert!(
            detail.contains("127.0.0.1:1: Connection refused") && detail.contains("/no/such/.s.PGSQL.1"),
            "{detail}"
        );
        assert!(told.hint.is_some());
    }
}
