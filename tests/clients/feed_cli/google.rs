//! What Google answers: a token for a signed request, and the values of a sheet for the token.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use once_tests::once::{Ran, command, run};
use once_tests::{Db, Value, json};
use openssl::hash::MessageDigest;
use openssl::pkey::{PKey, Private};
use openssl::rsa::Rsa;
use openssl::sign::Verifier;

pub const EMAIL: &str = "reader@leads-example.iam.gserviceaccount.com";
/// In each token, so that it is found wherever one leaks.
const TOKEN: &str = "ya29.tr0ub4dor";

/// What the API answers to a request.
#[derive(Clone)]
pub enum Reply {
    Values(Value),
    Status(u16, String),
    /// This status, and a Retry-After.
    Later(u16, String),
    /// Nothing, for as long as the client waits.
    Silence,
}

/// A request to the API, and when it came.
#[derive(Clone)]
pub struct Asked {
    pub target: String,
    pub at: Instant,
}

#[derive(Default)]
struct State {
    replies: VecDeque<Reply>,
    asked: Vec<Asked>,
    tokens: usize,
}

pub struct Google {
    pub url: String,
    key: PKey<Private>,
    state: Arc<Mutex<State>>,
}

impl Google {
    /// A server that gives these answers in turn, and the last one again and again.
    pub fn new(replies: &[Reply]) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let url = format!("http://{}", listener.local_addr()?);
        let key = PKey::from_rsa(Rsa::generate(2048)?)?;
        let public = key.public_key_to_pem()?;
        let state = Arc::new(Mutex::new(State { replies: replies.iter().cloned().collect(), ..State::default() }));
        let (own_url, own_state) = (url.clone(), Arc::clone(&state));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (url, state, public) = (own_url.clone(), Arc::clone(&own_state), public.clone());
                thread::spawn(move || serve(stream, &url, &state, &public));
            }
        });
        Ok(Self { url, key, state })
    }

    /// The key of the service account, as the console of Google gives it.
    pub fn credentials(&self) -> Result<String> {
        let key = String::from_utf8(self.key.private_key_to_pem_pkcs8()?)?;
        Ok(json!({"type": "service_account", "project_id": "leads-example", "client_email": EMAIL,
            "private_key": key, "token_uri": format!("{}/token", self.url)})
        .to_string())
    }

    /// `once` with these arguments, for which this server is Google.
    pub fn command(&self, db: &Db, arguments: &[&str]) -> Result<Command> {
        let mut once = command(db, arguments)?;
        once.env("ONCE_SHEETS_URL", &self.url).env("GOOGLE_SERVICE_ACCOUNT_CREDENTIALS", self.credentials()?);
        for proxy in ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"] {
            once.env_remove(proxy);
        }
        Ok(once)
    }

    /// Runs the feed `sheet` on a spreadsheet. Whatever comes of it, no secret is told.
    pub fn run(&self, db: &Db, more: &[&str]) -> Result<Ran> {
        self.run_command(&mut self.command(db, &[&["feed", "run", "sheet", "--sheet", "1x"], more].concat())?)
    }

    pub fn run_command(&self, command: &mut Command) -> Result<Ran> {
        let ran = run(command)?;
        let key = String::from_utf8(self.key.private_key_to_pem_pkcs8()?)?;
        let secret = key.lines().nth(1).context("no key")?;
        for told in [&ran.out, &ran.err] {
            ensure!(!told.contains("tr0ub4dor") && !told.contains(secret), "a secret is told: {told}");
        }
        Ok(ran)
    }

    pub fn asked(&self) -> Vec<Asked> {
        lock(&self.state).asked.clone()
    }

    /// How many tokens were given.
    pub fn tokens(&self) -> usize {
        lock(&self.state).tokens
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The answer to `spreadsheets.values.get`.
pub fn values(range: &str, rows: Value) -> Reply {
    Reply::Values(json!({"range": range, "majorDimension": "ROWS", "values": rows}))
}

/// An error as Google's APIs give it.
pub fn error(status: u16, message: &str) -> Reply {
    Reply::Status(status, json!({"error": {"code": status, "message": message}}).to_string())
}

fn serve(mut stream: TcpStream, url: &str, state: &Mutex<State>, public: &[u8]) -> Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let target = line.split(' ').nth(1).context("no target")?.to_owned();
    let (mut length, mut authorization) = (0, String::new());
    loop {
        let mut header = String::new();
        reader.read_line(&mut header)?;
        match header.trim_end().split_once(": ") {
            None => break,
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => length = value.parse()?,
            Some((name, value)) if name.eq_ignore_ascii_case("authorization") => authorization = value.into(),
            Some(_) => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    if target == "/token" {
        let (status, answer) = match check(&String::from_utf8(body)?, url, public) {
            Ok(()) => {
                let mut state = lock(state);
                state.tokens += 1;
                let token = format!("{TOKEN}{}", state.tokens);
                (200, json!({"access_token": token, "token_type": "Bearer", "expires_in": 3599}))
            }
            Err(why) => (400, json!({"error": "invalid_grant", "error_description": why.to_string()})),
        };
        return answer_with(&mut stream, status, "", &answer.to_string());
    }
    let reply = {
        let mut state = lock(state);
        state.asked.push(Asked { target, at: Instant::now() });
        if authorization != format!("Bearer {TOKEN}{}", state.tokens) {
            Reply::Status(400, format!("the token is not the last one that was given: {authorization}"))
        } else if state.replies.len() > 1 {
            state.replies.pop_front().context("no reply")?
        } else {
            state.replies.front().cloned().context("no reply")?
        }
    };
    match reply {
        Reply::Values(values) => answer_with(&mut stream, 200, "", &values.to_string()),
        Reply::Status(status, body) => answer_with(&mut stream, status, "", &body),
        Reply::Later(status, when) => answer_with(&mut stream, status, &format!("Retry-After: {when}\r\n"), "{}"),
        Reply::Silence => Ok(reader.read_to_end(&mut Vec::new()).map(drop)?),
    }
}

fn answer_with(stream: &mut TcpStream, status: u16, headers: &str, body: &str) -> Result<()> {
    let length = body.len();
    let kind = "Content-Type: application/json; charset=utf-8\r\nConnection: close";
    Ok(write!(stream, "HTTP/1.1 {status} X\r\n{kind}\r\n{headers}Content-Length: {length}\r\n\r\n{body}")?)
}

/// What RFC 7523 and Google's documentation of service accounts ask of the request for a token.
fn check(body: &str, url: &str, public: &[u8]) -> Result<()> {
    let assertion = body
        .strip_prefix("grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=")
        .context("no grant_type of a service account")?;
    let parts: Vec<&str> = assertion.split('.').collect();
    let [header, claims, signature] = parts.as_slice() else { anyhow::bail!("a JWT has three parts") };
    let decoded = |part: &str| -> Result<Value> { parsed(&URL_SAFE_NO_PAD.decode(part)?) };
    let (header, claims_of) = (decoded(header)?, decoded(claims)?);
    ensure!(header["alg"] == "RS256" && header["typ"] == "JWT", "the header is {header}");
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let time = |name: &str| claims_of[name].as_u64().unwrap_or_default();
    ensure!(claims_of["iss"] == EMAIL, "iss is {}", claims_of["iss"]);
    ensure!(claims_of["scope"] == "https://www.googleapis.com/auth/spreadsheets.readonly", "the scope is another");
    ensure!(claims_of["aud"] == format!("{url}/token"), "aud is {}", claims_of["aud"]);
    ensure!(time("iat").abs_diff(now) < 60 && (1..=3600).contains(&(time("exp") - time("iat"))), "the times are wrong");
    let key = PKey::public_key_from_pem(public)?;
    let mut verifier = Verifier::new(MessageDigest::sha256(), &key)?;
    verifier.update(assertion.rsplit_once('.').context("no signature")?.0.as_bytes())?;
    ensure!(verifier.verify(&URL_SAFE_NO_PAD.decode(signature)?)?, "Invalid JWT Signature.");
    Ok(())
}

fn parsed(bytes: &[u8]) -> Result<Value> {
    std::str::from_utf8(bytes)?.parse().context("no JSON")
}
