//! The settings of a connection, checked and complete.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use postgres::config::{ChannelBinding, SslNegotiation};

use super::passfile;
use super::values::{Origin, Surroundings, Values};
use crate::error::{Failure, Result};

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// The directory of a Unix socket.
    Socket(PathBuf),
    /// A host, by name or address, and the address if it isn't to be looked up.
    Host { name: Option<String>, address: Option<IpAddr> },
}

/// One server to try.
pub struct Endpoint {
    pub place: Place,
    pub port: u16,
    pub password: Option<Password>,
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Socket(dir) => write!(f, "socket {}/.s.PGSQL.{}", dir.display(), self.port),
            Place::Host { name: Some(name), .. } if name.contains(':') => write!(f, "[{name}]:{}", self.port),
            Place::Host { name: Some(name), .. } => write!(f, "{name}:{}", self.port),
            Place::Host { address: Some(IpAddr::V6(v6)), .. } => write!(f, "[{v6}]:{}", self.port),
            Place::Host { address: Some(IpAddr::V4(v4)), .. } => write!(f, "{v4}:{}", self.port),
            Place::Host { .. } => write!(f, "localhost:{}", self.port),
        }
    }
}

/// A password, which nothing prints, and where it comes from.
pub struct Password {
    pub text: String,
    pub origin: PasswordOrigin,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PasswordOrigin {
    Setting(Origin),
    File(PathBuf),
}

/// Which servers of several will do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    Any,
    ReadWrite,
    ReadOnly,
    Primary,
    Standby,
    PreferStandby,
}

pub struct Settings {
    pub endpoints: Vec<Endpoint>,
    pub shuffled: bool,
    pub user: String,
    pub dbname: String,
    pub application_name: String,
    pub options: Option<String>,
    pub connect_timeout: Option<Duration>,
    pub tcp_user_timeout: Option<Duration>,
    pub keepalives: bool,
    pub keepalives_idle: Option<Duration>,
    pub keepalives_interval: Option<Duration>,
    pub keepalives_count: Option<u32>,
    pub channel_binding: ChannelBinding,
    pub negotiation: SslNegotiation,
    pub target: Target,
    /// The password file that was or would be read.
    pub passfile: Option<PathBuf>,
}

impl Settings {
    pub fn new(values: &Values, around: &Surroundings, warnings: &mut Vec<String>) -> Result<Self> {
        refuse_unfollowed(values)?;
        let user = values.get("user").map(String::from).or_else(|| around.account.clone()).ok_or_else(|| {
            Failure::usage("no user name is known")
                .detail("The operating system has no name for the user of this process.")
                .hint("Set PGUSER, or user=… in the connection string.")
        })?;
        let dbname = values.get("dbname").unwrap_or(&user).to_owned();
        if dbname.contains("://") {
            return Err(Failure::usage("the database's name is a URL")
                .detail("It is set by PGDATABASE, a service or dbname=…, which take a name only.")
                .hint("Give the URL, without a password, as the connection string itself."));
        }
        let passfile =
            values.get("passfile").map(PathBuf::from).or_else(|| Some(around.home.as_ref()?.join(".pgpass")));
        let seconds = |word| Ok::<_, Failure>(values.integer(word)?.and_then(positive).map(Duration::from_secs));
        let mut settings = Self {
            endpoints: endpoints(values, around)?,
            shuffled: values.choice("load_balance_hosts", &[("disable", false), ("random", true)], false)?,
            user,
            dbname,
            application_name: values.get("application_name").unwrap_or("once").into(),
            options: values.get("options").map(String::from),
            connect_timeout: seconds("connect_timeout")?,
            tcp_user_timeout: values.integer("tcp_user_timeout")?.and_then(positive).map(Duration::from_millis),
            keepalives: values.integer("keepalives")? != Some(0),
            keepalives_idle: seconds("keepalives_idle")?,
            keepalives_interval: seconds("keepalives_interval")?,
            keepalives_count: values.integer("keepalives_count")?.and_then(|count| u32::try_from(count).ok()),
            channel_binding: values.choice(
                "channel_binding",
                &[
                    ("disable", ChannelBinding::Disable),
                    ("prefer", ChannelBinding::Prefer),
                    ("require", ChannelBinding::Require),
                ],
                ChannelBinding::Prefer,
            )?,
            negotiation: values.choice(
                "sslnegotiation",
                &[("postgres", SslNegotiation::Postgres), ("direct", SslNegotiation::Direct)],
                SslNegotiation::Postgres,
            )?,
            target: values.choice("target_session_attrs", TARGETS, Target::Any)?,
            passfile,
        };
        settings.add_passwords(values, around, warnings);
        Ok(settings)
    }

    /// A password that was set is for all servers; otherwise each has its line of the password file.
    fn add_passwords(&mut self, values: &Values, around: &Surroundings, warnings: &mut Vec<String>) {
        if let Some((text, origin)) = values.find("password") {
            for endpoint in &mut self.endpoints {
                endpoint.password =
                    Some(Password { text: text.into(), origin: PasswordOrigin::Setting(origin.clone()) });
            }
            return;
        }
        let Some(path) = &self.passfile else { return };
        let Some(text) = passfile::read(path, warnings) else { return };
        for endpoint in &mut self.endpoints {
            let (host, port) = (host_in_passfile(&endpoint.place, around), endpoint.port.to_string());
            endpoint.password = passfile::lookup(&text, [&host, &port, &self.dbname, &self.user])
                .filter(|text| !text.is_empty())
                .map(|text| Password { text, origin: PasswordOrigin::File(path.clone()) });
        }
    }

    /// "database codes on db.example.com:5432 as alice"
    pub fn describe(&self) -> String {
        let places: Vec<_> = self.endpoints.iter().map(ToString::to_string).collect();
        format!("database {} on {} as {}", self.dbname, places.join(", "), self.user)
    }
}

const TARGETS: &[(&str, Target)] = &[
    ("any", Target::Any),
    ("read-write", Target::ReadWrite),
    ("read-only", Target::ReadOnly),
    ("primary", Target::Primary),
    ("standby", Target::Standby),
    ("prefer-standby", Target::PreferStandby),
];

/// What is there to restrict whom to trust, and can't be followed, must not be passed over.
fn refuse_unfollowed(values: &Values) -> Result<()> {
    let why = "It restricts whom to trust, and once can't check it.";
    for word in ["require_auth", "requirepeer"] {
        if values.get(word).is_some() {
            return Err(values.invalid(word, why));
        }
    }
    for word in ["gssencmode", "sslcertmode"] {
        if values.get(word) == Some("require") {
            return Err(values.invalid(word, why));
        }
    }
    Ok(())
}

/// Zero and less stand for "no limit" or "the system's default".
fn positive(number: i32) -> Option<u64> {
    u64::try_from(number).ok().filter(|number| *number > 0)
}

fn host_in_passfile(place: &Place, around: &Surroundings) -> String {
    match place {
        Place::Socket(dir) if Some(dir) == around.socket_dir.as_ref() => "localhost".into(),
        Place::Socket(dir) => dir.display().to_string(),
        Place::Host { name: Some(name), .. } => name.clone(),
        Place::Host { address: Some(address), .. } => address.to_string(),
        Place::Host { .. } => "localhost".into(),
    }
}

fn endpoints(values: &Values, around: &Surroundings) -> Result<Vec<Endpoint>> {
    let list = |word| values.get(word).map(|value| value.split(',').map(str::trim).collect::<Vec<_>>());
    let (names, addresses, ports) = (list("host"), list("hostaddr"), list("port").unwrap_or_default());
    let count = addresses.as_ref().or(names.as_ref()).map_or(1, Vec::len);
    let names = names.unwrap_or_else(|| vec![""; count]);
    let addresses = addresses.unwrap_or_else(|| vec![""; count]);
    if names.len() != count {
        let why = format!("There are {} hosts and {count} addresses of hosts.", names.len());
        return Err(values.invalid("hostaddr", &why));
    }
    if ports.len() > 1 && ports.len() != count {
        return Err(values.invalid("port", &format!("There are {} ports and {count} hosts.", ports.len())));
    }
    let at = |number: usize| ports.get(number).or_else(|| ports.first()).copied().unwrap_or_default();
    let hosts = names.into_iter().zip(addresses).enumerate();
    hosts
        .map(|(number, (name, address))| {
            let (place, port) = (place(name, address, values, around)?, port(at(number), values)?);
            Ok(Endpoint { place, port, password: None })
        })
        .collect()
}

fn place(name: &str, address: &str, values: &Values, around: &Surroundings) -> Result<Place> {
    let host = |name: &str, address| Place::Host { name: Some(name.to_owned()).filter(|n| !n.is_empty()), address };
    if !address.is_empty() {
        let address = address.parse().map_err(|_| values.invalid("hostaddr", "It has to be an IP address."))?;
        return Ok(host(name, Some(address)));
    }
    match name {
        "" => Ok(around.socket_dir.clone().map_or_else(|| host("localhost", None), Place::Socket)),
        _ if name.starts_with('@') => {
            Err(values.invalid("host", "Sockets of the abstract namespace can't be reached."))
        }
        _ if name.starts_with('/') => Ok(Place::Socket(name.into())),
        _ => Ok(host(name, None)),
    }
}

fn port(text: &str, values: &Values) -> Result<u16> {
    if text.is_empty() {
        return Ok(5432);
    }
    let port = text.parse().ok().filter(|port| *port > 0);
    port.ok_or_else(|| values.invalid("port", "A port is a number from 1 to 65535."))
}

#[cfg(test)]
#[path = "settings_tests.rs"]
mod tests;
