//! Tries the servers in turn, as libpq does: the next one only if this one can't be reached or won't do.
//!
//! The crate's own list of hosts isn't used: it goes on after a refused password too, and then tells of
//! the last server only.

use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::{IpAddr, ToSocketAddrs};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use postgres::config::SslMode;
use postgres::error::SqlState;
use postgres::{Client, Config, NoTls, SimpleQueryMessage};
use postgres_openssl::MakeTlsConnector;

use super::Plan;
use super::explain;
use super::settings::{Endpoint, Place, Settings, Target};
use super::tls::Mode;
use crate::error::Failure;

/// Why there is no connection.
pub enum Trouble {
    Unresolved(io::Error),
    Timeout(Duration),
    /// The connection was made, but its session isn't of the kind asked for.
    Unsuited(&'static str),
    /// Local files of TLS, without which the server refused.
    Tls(Failure),
    Thread(io::Error),
    Postgres(postgres::Error),
}

/// A server's name and address, what went wrong there, and which of the endpoints it is.
pub struct Tried {
    pub place: String,
    pub endpoint: usize,
    pub trouble: Trouble,
}

/// Connects to the first server that will do, or tells what all that were tried had to say.
pub fn connect(plan: &Plan) -> Result<Client, Vec<Tried>> {
    let settings = &plan.settings;
    if settings.target == Target::PreferStandby {
        // Only a server that isn't a standby leads to the second round.
        match round(plan, Target::Standby) {
            Err(tried) if tried.iter().any(|one| matches!(one.trouble, Trouble::Unsuited(_))) => {}
            result => return result,
        }
        return round(plan, Target::Any);
    }
    round(plan, settings.target)
}

fn round(plan: &Plan, target: Target) -> Result<Client, Vec<Tried>> {
    let settings = &plan.settings;
    let mut tried = Vec::new();
    let mut order: Vec<_> = settings.endpoints.iter().enumerate().collect();
    shuffle(settings, &mut order);
    for (number, endpoint) in order {
        let mut tell = |place, trouble| tried.push(Tried { place, endpoint: number, trouble });
        let addresses = match addresses(settings, endpoint) {
            Ok(addresses) => addresses,
            Err(error) => {
                tell(endpoint.to_string(), Trouble::Unresolved(error));
                continue;
            }
        };
        for address in addresses {
            let place = match address {
                Some(address) if endpoint.to_string() != format!("{address}:{}", endpoint.port) => {
                    format!("{endpoint} ({address})")
                }
                _ => endpoint.to_string(),
            };
            match one(plan, endpoint, address) {
                Ok(mut client) => match unsuited(&mut client, target) {
                    None => return Ok(client),
                    Some(trouble) => tell(place, trouble),
                },
                Err(troubles) => {
                    let last = !troubles.iter().all(leads_on);
                    troubles.into_iter().for_each(|trouble| tell(place.clone(), trouble));
                    if last {
                        return Err(tried);
                    }
                }
            }
        }
    }
    Err(tried)
}

/// The addresses to try; `None` is a socket's.
fn addresses(settings: &Settings, endpoint: &Endpoint) -> io::Result<Vec<Option<IpAddr>>> {
    match &endpoint.place {
        Place::Host { address: Some(address), .. } => Ok(vec![Some(*address)]),
        Place::Host { name: Some(name), .. } => {
            let found = (name.as_str(), endpoint.port).to_socket_addrs()?;
            let mut found: Vec<_> = found.map(|address| Some(address.ip())).collect();
            shuffle(settings, &mut found);
            Ok(found)
        }
        Place::Host { .. } | Place::Socket(_) => Ok(vec![None]),
    }
}

fn shuffle<T>(settings: &Settings, items: &mut [T]) {
    if settings.shuffled {
        // Each RandomState has its own keys.
        items.sort_by_cached_key(|_| RandomState::new().hash_one(0));
    }
}

/// A server that answers has the last word, unless it only starts up or shuts down.
fn leads_on(trouble: &Trouble) -> bool {
    match trouble {
        Trouble::Unresolved(_) | Trouble::Timeout(_) | Trouble::Unsuited(_) => true,
        Trouble::Tls(_) | Trouble::Thread(_) => false,
        Trouble::Postgres(error) => match error.code() {
            Some(state) => *state == SqlState::CANNOT_CONNECT_NOW,
            None => explain::io_cause(error).is_some(),
        },
    }
}

/// Tries one address: with TLS, without, or with `prefer` first with and then without.
fn one(plan: &Plan, endpoint: &Endpoint, address: Option<IpAddr>) -> Result<Client, Vec<Trouble>> {
    let mut config = config(&plan.settings, endpoint, address);
    let tls = match &plan.tls {
        Some(tls) if matches!(endpoint.place, Place::Host { .. }) => tls,
        _ => return open(&plan.settings, config.ssl_mode(SslMode::Disable), None).map_err(|trouble| vec![trouble]),
    };
    let first = match tls {
        Err(failure) => Trouble::Tls(failure.clone()),
        Ok(tls) => {
            let mode = if plan.mode == Mode::Prefer { SslMode::Prefer } else { SslMode::Require };
            match open(&plan.settings, config.ssl_mode(mode), Some(tls.clone())) {
                Ok(client) => return Ok(client),
                Err(trouble) => trouble,
            }
        }
    };
    if plan.mode != Mode::Prefer || !worth_without_tls(&first) {
        return Err(vec![first]);
    }
    open(&plan.settings, config.ssl_mode(SslMode::Disable), None).map_err(|second| vec![first, second])
}

/// Whether the server may take a connection without TLS where it refused one with. Not after a wrong
/// password, which would count as two attempts.
fn worth_without_tls(trouble: &Trouble) -> bool {
    match trouble {
        Trouble::Tls(_) => true,
        Trouble::Postgres(error) => {
            error.code() == Some(&SqlState::INVALID_AUTHORIZATION_SPECIFICATION) || explain::is_handshake(error)
        }
        _ => false,
    }
}

fn config(settings: &Settings, endpoint: &Endpoint, address: Option<IpAddr>) -> Config {
    let mut config = Config::new();
    config
        .user(&settings.user)
        .dbname(&settings.dbname)
        .application_name(&settings.application_name)
        .port(endpoint.port)
        .keepalives(settings.keepalives)
        .channel_binding(settings.channel_binding)
        .ssl_negotiation(settings.negotiation);
    match &endpoint.place {
        Place::Socket(dir) => config.host_path(dir),
        // An address is its own name: TLS has to have one.
        Place::Host { name, .. } => match (name, address) {
            (Some(name), _) => config.host(name),
            (None, Some(address)) => config.host(&address.to_string()),
            (None, None) => config.host("localhost"),
        },
    };
    address.map(|address| config.hostaddr(address));
    endpoint.password.as_ref().map(|password| config.password(&password.text));
    settings.options.as_ref().map(|options| config.options(options));
    settings.connect_timeout.map(|limit| config.connect_timeout(limit));
    settings.tcp_user_timeout.map(|limit| config.tcp_user_timeout(limit));
    settings.keepalives_idle.map(|idle| config.keepalives_idle(idle));
    settings.keepalives_interval.map(|interval| config.keepalives_interval(interval));
    settings.keepalives_count.map(|count| config.keepalives_retries(count));
    config
}

fn open(settings: &Settings, config: &Config, tls: Option<MakeTlsConnector>) -> Result<Client, Trouble> {
    let config = config.clone();
    let run = move || match tls {
        Some(tls) => config.connect(tls),
        None => config.connect(NoTls),
    };
    let Some(limit) = settings.connect_timeout else { return run().map_err(Trouble::Postgres) };
    // The crate's limit ends with the TCP handshake; libpq's holds until the server lets one in. The thread
    // of a server that stays silent is left behind.
    let (sender, receiver) = mpsc::channel();
    let started = thread::Builder::new().name("connect".into()).spawn(move || sender.send(run()).is_ok());
    started.map_err(Trouble::Thread)?;
    match receiver.recv_timeout(limit) {
        Ok(result) => result.map_err(Trouble::Postgres),
        Err(_) => Err(Trouble::Timeout(limit)),
    }
}

fn unsuited(client: &mut Client, target: Target) -> Option<Trouble> {
    if target == Target::Any {
        return None;
    }
    let question = "SELECT pg_catalog.pg_is_in_recovery(), pg_catalog.current_setting('transaction_read_only') = 'on'";
    let answer = match client.simple_query(question) {
        Ok(answer) => answer,
        Err(error) => return Some(Trouble::Postgres(error)),
    };
    let row = answer.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some((row.get(0) == Some("t"), row.get(1) == Some("t"))),
        _ => None,
    });
    let (standby, read_only) = row.unwrap_or_default();
    match target {
        Target::ReadWrite if standby || read_only => Some(Trouble::Unsuited("the session is read-only")),
        Target::ReadOnly if !standby && !read_only => Some(Trouble::Unsuited("the session is not read-only")),
        Target::Primary if standby => Some(Trouble::Unsuited("the server is a standby")),
        Target::Standby if !standby => Some(Trouble::Unsuited("the server is not a standby")),
        _ => None,
    }
}
