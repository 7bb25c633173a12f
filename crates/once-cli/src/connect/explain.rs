//! What went wrong with a connection, and the next step.

use std::error::Error;
use std::io::{self, ErrorKind};

use openssl::ssl;
use postgres::error::{DbError, SqlState};

use super::attempt::{Tried, Trouble};
use super::settings::{Endpoint, PasswordOrigin, Place, Settings};
use super::tls;
use super::values::Origin;
use crate::error::{Failure, Remedy, remedy_of};

/// The failure of a connection: what each server said, and a hint for the one that was tried last.
pub fn failure(settings: &Settings, tried: &[Tried]) -> Failure {
    let mut lines: Vec<_> = tried.iter().map(|one| format!("{}: {}", one.place, reason(&one.trouble))).collect();
    lines.dedup();
    let mut failure = Failure::database(format!("can't connect to {}", settings.describe())).detail(lines.join("\n"));
    // With `prefer`, the attempt with TLS tells more than the one that followed without.
    let telling = tried.iter().rev().find(|one| !is_refusal(&one.trouble)).or(tried.last());
    let Some(telling) = telling else { return failure };
    if let Trouble::Postgres(error) = &telling.trouble {
        failure.sqlstate = error.code().map(|state| state.code().into());
    }
    failure.hint(hint(settings, telling)).remedy(remedy(&telling.trouble))
}

fn remedy(trouble: &Trouble) -> Remedy {
    match trouble {
        Trouble::Tls(_) => Remedy::Setup,
        Trouble::Postgres(error) => match error.code() {
            Some(state) => remedy_of(state.code()),
            None if is_password_missing(error) || tls_cause(error).is_some() => Remedy::Setup,
            None => Remedy::Time,
        },
        _ => Remedy::Time,
    }
}

fn is_refusal(trouble: &Trouble) -> bool {
    matches!(trouble, Trouble::Postgres(error) if error.code() == Some(&SqlState::INVALID_AUTHORIZATION_SPECIFICATION))
}

fn causes<'a>(error: &'a postgres::Error) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(error.source(), |cause: &&'a (dyn Error + 'static)| (*cause).source())
}

/// The error of TLS, with OpenSSL's own words for a certificate it doesn't trust.
pub fn tls_cause(error: &postgres::Error) -> Option<String> {
    // A server that refuses the client's certificate says so after the handshake, wrapped as a failed read.
    let of_tls = |cause: &'_ (dyn Error + 'static)| match cause.downcast_ref::<io::Error>() {
        Some(io) => io.get_ref().and_then(|inner| inner.downcast_ref()).map(words_of_tls),
        None => cause.downcast_ref().map(words_of_tls),
    };
    let (text, handshake) = causes(error).find_map(of_tls)?;
    // The crate's error prints as OpenSSL's, followed by the verdict on the certificate.
    let whole = error.source().map(ToString::to_string).unwrap_or_default();
    Some(match whole.strip_prefix(&format!("{handshake}: ")) {
        // There is a verdict even where nobody asked for one.
        Some(verdict) if text.contains("verify failed") => format!("{text}: {verdict}"),
        _ => text,
    })
}

/// Whether the handshake itself failed.
pub fn is_handshake(error: &postgres::Error) -> bool {
    causes(error).any(|cause| cause.is::<ssl::Error>())
}

fn words_of_tls(error: &ssl::Error) -> (String, String) {
    let stack = error.ssl_error().map(tls::reasons);
    (stack.or_else(|| error.io_error().map(io_text)).unwrap_or_else(|| error.to_string()), error.to_string())
}

/// The error of a connection that wasn't made or broke.
pub fn io_cause(error: &postgres::Error) -> Option<&io::Error> {
    causes(error).find_map(|cause| cause.downcast_ref()).filter(|_| tls_cause(error).is_none())
}

fn is_password_missing(error: &postgres::Error) -> bool {
    // The crate has no other sign of it.
    error.source().is_some_and(|cause| cause.to_string() == "password missing")
}

fn io_text(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}

fn reason(trouble: &Trouble) -> String {
    match trouble {
        Trouble::Unresolved(error) => {
            let text = error.to_string();
            format!("the host's address is not found: {}", text.rsplit(": ").next().unwrap_or(&text))
        }
        Trouble::Timeout(limit) => format!("no connection within {} s (connect_timeout)", limit.as_secs()),
        Trouble::Unsuited(why) => (*why).into(),
        Trouble::Tls(failure) => failure.message.clone(),
        Trouble::Thread(error) => format!("no thread for the connection: {error}"),
        Trouble::Postgres(error) => of_postgres(error),
    }
}

fn of_postgres(error: &postgres::Error) -> String {
    if let Some(db) = error.as_db_error() {
        let detail = db.detail().map(|detail| format!(" ({detail})")).unwrap_or_default();
        return format!("{}: {}{detail}", db.severity(), db.message());
    }
    if let Some(tls) = tls_cause(error) {
        return format!("TLS: {tls}");
    }
    if let Some(io) = io_cause(error) {
        return io_text(io);
    }
    if is_password_missing(error) {
        return "the server asks for a password, and none is known".into();
    }
    if error.is_closed() {
        return "the server closed the connection".into();
    }
    causes(error).fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

fn hint(settings: &Settings, tried: &Tried) -> String {
    let endpoint = settings.endpoints.get(tried.endpoint);
    match &tried.trouble {
        Trouble::Unresolved(_) => "Check the host's name (host=…, PGHOST), and that DNS or /etc/hosts knows it.".into(),
        Trouble::Timeout(_) => "Check host and port, and any firewall between; or raise connect_timeout.".into(),
        Trouble::Unsuited(_) => "Name a server that suits target_session_attrs, or change it.".into(),
        Trouble::Tls(failure) => failure.hint.clone().unwrap_or_default(),
        Trouble::Thread(_) => "Free memory or processes, or leave out connect_timeout.".into(),
        Trouble::Postgres(error) => {
            if let Some(db) = error.as_db_error() {
                return hint_of_server(settings, endpoint, db);
            }
            if is_password_missing(error) {
                return hint_password(settings, endpoint);
            }
            let text = of_postgres(error);
            if let Some(io) = io_cause(error) {
                return hint_of_io(endpoint, io);
            }
            hint_of_words(&text).into()
        }
    }
}

fn hint_of_server(settings: &Settings, endpoint: Option<&Endpoint>, error: &DbError) -> String {
    if let Some(hint) = error.hint() {
        return hint.into();
    }
    let state = error.code();
    // A pooler has one code for all it refuses.
    let of_pooler = |words| *state == SqlState::PROTOCOL_VIOLATION && error.message().contains(words);
    if *state == SqlState::INVALID_PASSWORD || of_pooler("authentication failed") {
        let origin = endpoint.and_then(|endpoint| endpoint.password.as_ref()).map(|password| &password.origin);
        return match origin {
            Some(origin) => format!("Check the user name, and the password: it comes from {}.", place(origin)),
            None => hint_password(settings, endpoint),
        };
    }
    match *state {
        SqlState::INVALID_CATALOG_NAME => "Check the database's name (dbname=…, PGDATABASE): psql --list shows them.",
        SqlState::INVALID_AUTHORIZATION_SPECIFICATION if error.message().contains("client certificate") => {
            "Name a certificate of yours and its key in PGSSLCERT and PGSSLKEY, or put them into ~/.postgresql."
        }
        SqlState::INVALID_PARAMETER_VALUE | SqlState::UNDEFINED_OBJECT => "Check options=… and PGOPTIONS.",
        SqlState::INVALID_AUTHORIZATION_SPECIFICATION => {
            "Check user, database and sslmode, or ask for a line in the server's pg_hba.conf that lets them in."
        }
        SqlState::TOO_MANY_CONNECTIONS => "Try again when others have ended, or raise max_connections on the server.",
        SqlState::CANNOT_CONNECT_NOW => "Try again when the server has started.",
        SqlState::INSUFFICIENT_PRIVILEGE => "Ask the database's owner for GRANT CONNECT.",
        _ if of_pooler("no such database") => "Check the database's name (dbname=…, PGDATABASE) in the pooler's list.",
        _ if of_pooler("startup parameter") => {
            "A pooler refuses PGOPTIONS or options=…: leave them out, or add them to its ignore_startup_parameters."
        }
        _ => "Look into the server's log for more.",
    }
    .into()
}

fn place(origin: &PasswordOrigin) -> String {
    match origin {
        PasswordOrigin::File(path) => path.display().to_string(),
        PasswordOrigin::Setting(Origin::Variable(variable)) => format!("the environment variable {variable}"),
        PasswordOrigin::Setting(Origin::Service(service, path)) => {
            format!("the section [{service}] of {}", path.display())
        }
        PasswordOrigin::Setting(Origin::Dsn) => "the connection string".into(),
    }
}

fn hint_password(settings: &Settings, endpoint: Option<&Endpoint>) -> String {
    let host = match endpoint.map(|endpoint| &endpoint.place) {
        Some(Place::Host { name: Some(name), .. }) => name.replace(':', "\\:"),
        Some(Place::Host { address: Some(address), .. }) => address.to_string().replace(':', "\\:"),
        _ => "*".into(),
    };
    let port = endpoint.map_or(5432, |endpoint| endpoint.port);
    let file = settings.passfile.as_ref().map_or_else(|| "~/.pgpass".into(), |path| path.display().to_string());
    format!(
        "Set PGPASSWORD, or add the line {host}:{port}:{}:{}:<password> to the password file {file} (chmod 600; \
         the default is ~/.pgpass).",
        settings.dbname, settings.user
    )
}

fn hint_of_io(endpoint: Option<&Endpoint>, error: &io::Error) -> String {
    let port = endpoint.map_or(5432, |endpoint| endpoint.port);
    let local = endpoint.is_some_and(|endpoint| matches!(endpoint.place, Place::Socket(_)));
    match error.kind() {
        ErrorKind::NotFound | ErrorKind::ConnectionRefused if local => {
            format!("Is a server running on this machine with port {port}? Otherwise name its host: host=… or PGHOST.")
        }
        ErrorKind::PermissionDenied if local => {
            "Ask for access to the socket's directory, or use a host: PGHOST.".into()
        }
        ErrorKind::ConnectionRefused => {
            format!("Is a server running on that host, and listening on TCP port {port}? Check host and port.")
        }
        // In TLS 1.3, a refused certificate may end in a reset before its alert is read.
        _ => "Check host and port, a client certificate if you use one, the network, and the server's log.".into(),
    }
}

fn hint_of_words(text: &str) -> &'static str {
    if text.contains("hostname mismatch") || text.contains("IP address mismatch") {
        "Connect by the name that the server's certificate has, or set sslmode=verify-ca to check its CA only."
    } else if text.contains("revoked") || text.contains("expired") || text.contains("CRL") {
        "Ask for a valid certificate on the server, and a valid list of revoked ones (PGSSLCRL, ~/.postgresql/root.crl)."
    } else if text.contains("certificate verify failed") {
        "Name the CA that signed the server's certificate in PGSSLROOTCERT or sslrootcert=… (PEM)."
    } else if text.contains("does not support TLS") {
        "Turn on ssl on the server, or set sslmode=prefer or disable where the network is trusted."
    } else if text.contains("alert") {
        "The server refused TLS: check the client's certificate (PGSSLCERT, PGSSLKEY) and the versions of TLS."
    } else if text.contains("channel binding") {
        "Channel binding needs TLS and SCRAM: check sslmode, or set channel_binding=prefer."
    } else if text.contains("unsupported authentication") || text.contains("SASL") {
        "Ask for a user with a password (SCRAM), a certificate or peer authentication: others, such as GSSAPI, \
         are not available here."
    } else {
        "Check host, port and sslmode, and look into the server's log."
    }
}

#[cfg(test)]
#[path = "explain_tests.rs"]
mod tests;
