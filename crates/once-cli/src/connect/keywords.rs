//! The keywords of a connection string, and the environment's variables that stand for them.

/// Keywords that are followed, with their variable where libpq has one.
pub const FOLLOWED: &[(&str, Option<&str>)] = &[
    ("application_name", Some("PGAPPNAME")),
    ("channel_binding", Some("PGCHANNELBINDING")),
    ("connect_timeout", Some("PGCONNECT_TIMEOUT")),
    ("dbname", Some("PGDATABASE")),
    ("gssencmode", Some("PGGSSENCMODE")),
    ("host", Some("PGHOST")),
    ("hostaddr", Some("PGHOSTADDR")),
    ("keepalives", None),
    ("keepalives_count", None),
    ("keepalives_idle", None),
    ("keepalives_interval", None),
    ("load_balance_hosts", Some("PGLOADBALANCEHOSTS")),
    ("options", Some("PGOPTIONS")),
    ("passfile", Some("PGPASSFILE")),
    ("password", Some("PGPASSWORD")),
    ("port", Some("PGPORT")),
    ("require_auth", Some("PGREQUIREAUTH")),
    ("requirepeer", Some("PGREQUIREPEER")),
    ("service", Some("PGSERVICE")),
    ("servicefile", Some("PGSERVICEFILE")),
    ("ssl_max_protocol_version", Some("PGSSLMAXPROTOCOLVERSION")),
    ("ssl_min_protocol_version", Some("PGSSLMINPROTOCOLVERSION")),
    ("sslcert", Some("PGSSLCERT")),
    ("sslcertmode", Some("PGSSLCERTMODE")),
    ("sslcrl", Some("PGSSLCRL")),
    ("sslcrldir", Some("PGSSLCRLDIR")),
    ("sslkey", Some("PGSSLKEY")),
    ("sslmode", Some("PGSSLMODE")),
    ("sslnegotiation", Some("PGSSLNEGOTIATION")),
    ("sslpassword", None),
    ("sslrootcert", Some("PGSSLROOTCERT")),
    ("sslsni", Some("PGSSLSNI")),
    ("target_session_attrs", Some("PGTARGETSESSIONATTRS")),
    ("tcp_user_timeout", None),
    ("user", Some("PGUSER")),
];

/// Keywords of libpq without a meaning here: accepted, so that a string made for psql works.
const IGNORED: &[&str] = &[
    "client_encoding",
    "fallback_application_name",
    "gssdelegation",
    "gsslib",
    "krbsrvname",
    "max_protocol_version",
    "min_protocol_version",
    "oauth_client_id",
    "oauth_client_secret",
    "oauth_issuer",
    "oauth_scope",
    "replication",
    "scram_client_key",
    "scram_server_key",
    "sslcompression",
    "sslkeylogfile",
];

/// What a command line, which every user of the machine can read, must not hold.
const SECRET: &[&str] = &["oauth_client_secret", "password", "scram_client_key", "scram_server_key", "sslpassword"];

#[derive(Debug, PartialEq, Eq)]
pub enum Known {
    Followed(&'static str),
    Ignored,
}

/// What is known of a keyword; `None` if libpq doesn't know it either.
pub fn known(word: &str) -> Option<Known> {
    let followed = FOLLOWED.iter().find(|(name, _)| *name == word).map(|(name, _)| Known::Followed(name));
    followed.or_else(|| IGNORED.contains(&word).then_some(Known::Ignored))
}

pub fn is_secret(word: &str) -> bool {
    SECRET.contains(&word)
}

/// Whether an error may repeat this word: anything else could be a piece of a password.
pub fn is_wordlike(word: &str) -> bool {
    !word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keywords_are_followed_ignored_or_unknown() {
        assert_eq!(known("host"), Some(Known::Followed("host")));
        assert_eq!(known("krbsrvname"), Some(Known::Ignored));
        assert_eq!(known("HOST"), None);
        assert_eq!(known("hots"), None);
    }
}
