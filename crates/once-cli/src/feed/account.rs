//! A service account of Google: its key becomes a token. Neither is ever shown.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use std::{env, fs};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::pkey::{PKey, Private};
use openssl::sign::Signer;
use serde::Deserialize;
use serde_json::json;
use ureq::http::Request;

use super::http::Http;
use crate::error::{Failure, Remedy, Result};
use crate::screen::{Screen, safe};

const VARIABLE: &str = "GOOGLE_SERVICE_ACCOUNT_CREDENTIALS";
const SCOPE: &str = "https://www.googleapis.com/auth/spreadsheets.readonly";
/// The grant type of RFC 7523, as a form has it.
const GRANT: &str = "urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer";
/// Seconds that a claim may be used; Google takes an hour at most.
const LIFETIME: u64 = 3600;
const NEW_KEY: &str = "Make a new JSON key for the service account in the Google Cloud console (IAM, Service accounts, Keys), and set GOOGLE_SERVICE_ACCOUNT_CREDENTIALS to it or to its path.";

/// A token is done with this long before it expires, for clocks that differ.
const MARGIN: Duration = Duration::from_secs(60);

/// No `Debug`: it holds the key.
pub struct Account {
    key: PKey<Private>,
    email: String,
    token_uri: String,
    /// The token and when it is done with.
    known: Mutex<Option<(String, Instant)>>,
}

/// What we need of a key as Google gives it.
#[derive(Deserialize)]
struct Credentials {
    client_email: String,
    private_key: String,
    token_uri: String,
}

#[derive(Deserialize)]
struct Token {
    access_token: String,
    expires_in: u64,
}

/// What the token server says where it refuses.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Refusal {
    error: String,
    error_description: String,
}

impl Account {
    /// The account whose key, or the path of whose key, is in the environment.
    ///
    /// # Errors
    /// Where there is none, or it is no key of a service account.
    pub fn from_environment() -> Result<Self> {
        let set = env::var(VARIABLE).ok().filter(|value| !value.trim().is_empty());
        let Some(set) = set else {
            return Err(Failure::usage(format!("{VARIABLE} is not set"))
                .detail("A spreadsheet of Google is read by a service account.")
                .hint("Set it to the account's JSON key or to the path of its file, and share the spreadsheet with the account's address."));
        };
        // What it is set to is not repeated: it may be a key that was mangled.
        let text = if set.trim_start().starts_with('{') {
            set
        } else {
            fs::read_to_string(set.trim()).map_err(|error| {
                Failure::usage(format!("{VARIABLE} is neither JSON nor the path of a file that can be read: {error}"))
                    .hint("Set it to the service account's JSON key, or to the path of its file.")
            })?
        };
        Self::of(&text)
    }

    fn of(text: &str) -> Result<Self> {
        // serde's own words may quote what it read.
        let read: Credentials = serde_json::from_str(text).map_err(|error| {
            let place = format!("line {}, column {}", error.line(), error.column());
            let why = if error.is_data() { "lacks client_email, private_key or token_uri" } else { "is no JSON" };
            Failure::usage(format!("{VARIABLE} {why} ({place})")).hint(NEW_KEY)
        })?;
        // With a password, be it empty, OpenSSL doesn't ask for one on the terminal.
        let key = PKey::private_key_from_pem_passphrase(read.private_key.as_bytes(), b"");
        let key = key.ok().filter(|key| key.rsa().is_ok()).ok_or_else(bad_key)?;
        Ok(Self { key, email: read.client_email, token_uri: read.token_uri, known: Mutex::new(None) })
    }

    /// The address that spreadsheets are shared with.
    pub fn email(&self) -> &str {
        &self.email
    }

    /// A token for reading spreadsheets; the one that is known, or with `anew` another one.
    ///
    /// # Errors
    /// Where the token server refuses the key, or can't be reached.
    pub fn token(&self, anew: bool, http: &Http, screen: &Screen) -> Result<String> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        match &*known {
            Some((token, end)) if !anew && Instant::now() < *end => return Ok(token.clone()),
            _ => {}
        }
        let assertion = self.assertion().map_err(|_| bad_key())?;
        let request = Request::post(&self.token_uri)
            .header("Content-Type", "application/x-www-form-urlencoded")
            .body(format!("grant_type={GRANT}&assertion={assertion}").into_bytes())
            .map_err(|_| Failure::usage(format!("token_uri in {VARIABLE} is no address")).hint(NEW_KEY))?;
        let answer = http.send("Google's token server", &request, screen)?;
        if !answer.status().is_success() {
            return Err(self.refused(answer.status().as_u16(), answer.body()));
        }
        let token: Token = serde_json::from_slice(answer.body()).map_err(|_| {
            Failure::problem("the token server's answer is no token")
                .hint("Check token_uri in the service account's key, and whether a proxy answers in its place.")
        })?;
        let end = Instant::now() + Duration::from_secs(token.expires_in.min(LIFETIME)).saturating_sub(MARGIN);
        *known = Some((token.access_token.clone(), end));
        Ok(token.access_token)
    }

    /// The claim of RFC 7523, signed, as a compact JWS. On OpenSSL itself: yup-oauth2 and gcp_auth bring rustls beside it,
    /// google-cloud-auth a second HTTP client, and tame-oauth 0.10 encodes the signature as base64 and not as base64url.
    fn assertion(&self) -> std::result::Result<String, ErrorStack> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let claims =
            json!({"iss": self.email, "scope": SCOPE, "aud": self.token_uri, "iat": now, "exp": now + LIFETIME});
        let [header, claims] =
            [json!({"alg": "RS256", "typ": "JWT"}), claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
        let signed = format!("{header}.{claims}");
        let mut signer = Signer::new(MessageDigest::sha256(), &self.key)?;
        let signature = signer.sign_oneshot_to_vec(signed.as_bytes())?;
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }

    fn refused(&self, status: u16, body: &[u8]) -> Failure {
        let refusal: Refusal = serde_json::from_slice(body).unwrap_or_default();
        let said = [refusal.error.as_str(), refusal.error_description.as_str()];
        let said: Vec<String> = said.into_iter().filter(|text| !text.is_empty()).map(safe).collect();
        let mut failure =
            Failure::problem(format!("Google refuses the key of the service account {}", safe(self.email())))
                .hint(format!("Is this machine's clock right? {NEW_KEY}"))
                .remedy(Remedy::Setup);
        failure.detail = Some(format!("The token server answers with status {status}: {}", said.join(": ")));
        failure
    }
}

fn bad_key() -> Failure {
    Failure::usage(format!("private_key in {VARIABLE} can't be used"))
        .detail("It has to be a PEM block of an RSA key, with its line ends (\\n in JSON).")
        .hint(NEW_KEY)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whatever is wrong with a key, what is told of it has nothing of the key.
    #[test]
    fn a_broken_key_is_not_repeated() {
        for text in [
            r#"{"private_key": "hunter2""#,
            r#"{"private_key": "hunter2"}"#,
            r#"{"client_email": "a@b", "token_uri": "http://c", "private_key": ["hunter2"]}"#,
            r#"{"client_email": "a@b", "token_uri": "http://c", "private_key": "hunter2"}"#,
            r#"{"client_email": "a@b", "token_uri": "http://c", "private_key": "-----BEGIN-----hunter2-----END-----"}"#,
        ] {
            let told = Account::of(text).err().unwrap();
            assert!(told.hint.is_some() && !told.to_string().contains("hunter2"), "{told}");
        }
    }
}
