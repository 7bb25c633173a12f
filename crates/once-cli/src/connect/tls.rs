//! TLS as libpq has it: what is encrypted, and what of the server's certificate is checked.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use openssl::error::ErrorStack;
use openssl::pkey::{PKey, Private};
use openssl::ssl::{SslConnector, SslConnectorBuilder, SslFiletype, SslMethod, SslVerifyMode, SslVersion};
use openssl::x509::store::{X509Lookup, X509StoreBuilder};
use openssl::x509::verify::X509VerifyFlags;
use postgres_openssl::MakeTlsConnector;

use super::values::{Surroundings, Values};
use crate::error::{Failure, Result};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd)]
pub enum Mode {
    Disable,
    Prefer,
    Require,
    VerifyCa,
    VerifyFull,
}

#[derive(Debug, PartialEq, Eq)]
enum Roots {
    /// The certificates that the system trusts.
    System,
    File(PathBuf),
    /// None: the server's certificate isn't checked.
    Unchecked,
}

/// The settings of TLS. No `Debug`: the key's password is among them.
pub struct Tls {
    pub mode: Mode,
    roots: Roots,
    revoked: Option<PathBuf>,
    revoked_dir: Option<PathBuf>,
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
    key_password: String,
    names_server: bool,
    versions: (Option<SslVersion>, Option<SslVersion>),
    direct: bool,
}

/// libpq's names; `allow` asks for TLS first, which is no less than it promises.
const MODES: &[(&str, Mode)] = &[
    ("disable", Mode::Disable),
    ("allow", Mode::Prefer),
    ("prefer", Mode::Prefer),
    ("require", Mode::Require),
    ("verify-ca", Mode::VerifyCa),
    ("verify-full", Mode::VerifyFull),
];

const VERSIONS: &[(&str, Option<SslVersion>)] = &[
    ("TLSv1", Some(SslVersion::TLS1)),
    ("TLSv1.1", Some(SslVersion::TLS1_1)),
    ("TLSv1.2", Some(SslVersion::TLS1_2)),
    ("TLSv1.3", Some(SslVersion::TLS1_3)),
];

impl Tls {
    /// Checks the settings. `needed` is false if only Unix sockets are connected to, which have no TLS.
    pub fn new(values: &Values, around: &Surroundings, needed: bool, warnings: &mut Vec<String>) -> Result<Self> {
        let system = values.get("sslrootcert") == Some("system");
        let mode = values.choice("sslmode", MODES, if system { Mode::VerifyFull } else { Mode::Prefer })?;
        if system && mode != Mode::VerifyFull {
            return Err(values.invalid("sslmode", "With sslrootcert=system it has to be verify-full."));
        }
        let direct = values.get("sslnegotiation") == Some("direct");
        if direct && mode < Mode::Require {
            return Err(values.invalid("sslnegotiation", "It needs sslmode=require, verify-ca or verify-full."));
        }
        let mode = if needed { mode } else { Mode::Disable };
        let file = |word, default| values.get(word).map(PathBuf::from).or_else(|| around.own_file(default));
        let with_certificate = values.get("sslcertmode") != Some("disable");
        Ok(Self {
            mode,
            roots: roots(values, around, mode, warnings)?,
            // As with psql, the lists of revoked certificates count if they exist.
            revoked: file("sslcrl", "root.crl").filter(|path| path.exists()),
            revoked_dir: values.get("sslcrldir").map(PathBuf::from).filter(|path| path.exists()),
            certificate: file("sslcert", "postgresql.crt").filter(|path| with_certificate && path.exists()),
            key: file("sslkey", "postgresql.key"),
            key_password: values.get("sslpassword").unwrap_or_default().into(),
            names_server: values.choice("sslsni", &[("1", true), ("0", false)], true)?,
            versions: (
                values.choice("ssl_min_protocol_version", VERSIONS, Some(SslVersion::TLS1_2))?,
                values.choice("ssl_max_protocol_version", VERSIONS, None)?,
            ),
            direct,
        })
    }

    /// Reads the files, and makes what the connections share.
    pub fn build(&self) -> Result<MakeTlsConnector> {
        let mut builder =
            SslConnector::builder(SslMethod::tls()).map_err(|e| unready("OpenSSL can't be set up", &e))?;
        self.trust(&mut builder)?;
        self.present(&mut builder)?;
        let rest = |builder: &mut SslConnectorBuilder| {
            builder.set_min_proto_version(self.versions.0)?;
            builder.set_max_proto_version(self.versions.1)?;
            if self.direct { postgres_openssl::set_postgresql_alpn(builder) } else { Ok(()) }
        };
        rest(&mut builder).map_err(|e| unready("the versions of TLS can't be set", &e))?;
        let (full, names_server) = (self.mode == Mode::VerifyFull, self.names_server);
        let mut connector = MakeTlsConnector::new(builder.build());
        connector.set_callback(move |tls, _| {
            tls.set_verify_hostname(full);
            tls.set_use_server_name_indication(names_server);
            Ok(())
        });
        Ok(connector)
    }

    fn trust(&self, builder: &mut SslConnectorBuilder) -> Result<()> {
        let path = match &self.roots {
            Roots::System => return Ok(()),
            Roots::Unchecked => {
                builder.set_verify(SslVerifyMode::NONE);
                return Ok(());
            }
            Roots::File(path) => path,
        };
        // The builder begins with the system's certificates; a root file stands for itself alone.
        let only = |builder: &mut SslConnectorBuilder| {
            builder.set_cert_store(X509StoreBuilder::new()?.build());
            builder.set_ca_file(path)
        };
        only(builder).map_err(|e| unready(&format!("the root certificates {} can't be read", path.display()), &e))?;
        let revoked = |builder: &mut SslConnectorBuilder| {
            let store = builder.cert_store_mut();
            if let Some(path) = &self.revoked {
                store.add_lookup(X509Lookup::file())?.load_crl_file(path, SslFiletype::PEM)?;
            }
            if let Some(dir) = &self.revoked_dir {
                store.add_lookup(X509Lookup::hash_dir())?.add_dir(&dir.to_string_lossy(), SslFiletype::PEM)?;
            }
            let listed = self.revoked.is_some() || self.revoked_dir.is_some();
            if listed { store.set_flags(X509VerifyFlags::CRL_CHECK | X509VerifyFlags::CRL_CHECK_ALL) } else { Ok(()) }
        };
        revoked(builder).map_err(|e| unready("the revoked certificates can't be read", &e))
    }

    fn present(&self, builder: &mut SslConnectorBuilder) -> Result<()> {
        let Some(certificate) = &self.certificate else { return Ok(()) };
        let unusable = |e: &ErrorStack| unready(&format!("the certificate {} can't be used", certificate.display()), e);
        builder.set_certificate_chain_file(certificate).map_err(|e| unusable(&e))?;
        let path = self.key.as_deref().unwrap_or(Path::new("postgresql.key"));
        let key = key(path, self.key_password.as_bytes())?;
        builder.set_private_key(&key).and_then(|()| builder.check_private_key()).map_err(|e| unusable(&e))
    }
}

fn roots(values: &Values, around: &Surroundings, mode: Mode, warnings: &mut Vec<String>) -> Result<Roots> {
    let set = values.get("sslrootcert");
    if set == Some("system") {
        return Ok(Roots::System);
    }
    let path = set.map(PathBuf::from).or_else(|| around.own_file("root.crt"));
    let name = path.as_ref().map_or_else(|| "~/.postgresql/root.crt".into(), |path| path.display().to_string());
    match path {
        Some(path) if path.exists() => return Ok(Roots::File(path)),
        _ if mode >= Mode::VerifyCa => {
            return Err(Failure::usage(format!("the root certificate file {name} does not exist"))
                .detail("sslmode=verify-ca and verify-full check the server's certificate against it.")
                .hint(
                    "Put the CA's certificate there or name its file in PGSSLROOTCERT; PGSSLROOTCERT=system takes \
                     those of the system; sslmode=require encrypts without a check.",
                ));
        }
        _ if set.is_some() && mode != Mode::Disable => {
            warnings.push(format!(
                "the root certificate file {name} does not exist, and the server's certificate is not checked"
            ));
        }
        _ => {}
    }
    Ok(Roots::Unchecked)
}

fn key(path: &Path, password: &[u8]) -> Result<PKey<Private>> {
    let failure = |why: String| {
        Failure::usage(format!("the private key {} can't be used", path.display()))
            .detail(why)
            .hint("Name the certificate's key in PGSSLKEY, and make it yours alone: chmod 600.")
    };
    let metadata = fs::metadata(path).map_err(|error| match error.kind() {
        ErrorKind::NotFound => failure("There is a client certificate, but not this key.".into()),
        _ => failure(error.to_string()),
    })?;
    // A key of root may be readable by a group, for a system's key that several services share.
    let forbidden = if metadata.uid() == 0 { 0o037 } else { 0o077 };
    if !metadata.is_file() || metadata.mode() & forbidden != 0 {
        return Err(failure("It has to be a plain file that others can't read.".into()));
    }
    let bytes = fs::read(path).map_err(|error| failure(error.to_string()))?;
    // With a password, be it empty, OpenSSL doesn't ask for one on the terminal.
    PKey::private_key_from_pem_passphrase(&bytes, password).or_else(|pem| {
        let locked = password.is_empty() && String::from_utf8_lossy(&bytes).contains("ENCRYPTED");
        let why =
            || if locked { "It has a password: set sslpassword in a service file.".into() } else { reasons(&pem) };
        PKey::private_key_from_der(&bytes).map_err(|_| failure(why()))
    })
}

fn unready(what: &str, error: &ErrorStack) -> Failure {
    Failure::usage(what).detail(reasons(error)).hint(
        "Check PGSSLROOTCERT, PGSSLCRL, PGSSLCERT and PGSSLKEY and the files in ~/.postgresql: they have to be PEM.",
    )
}

/// OpenSSL's reasons, without the places in its source.
pub fn reasons(error: &ErrorStack) -> String {
    let mut reasons: Vec<_> = error.errors().iter().filter_map(openssl::error::Error::reason).collect();
    reasons.dedup();
    if reasons.is_empty() { error.to_string() } else { reasons.join(", ") }
}

#[cfg(test)]
#[path = "tls_tests.rs"]
mod tests;
