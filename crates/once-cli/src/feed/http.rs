//! Requests that are patient: what passes is tried again, a bounded number of times.

use std::time::{Duration, SystemTime};

use backon::{BackoffBuilder, ExponentialBuilder};
use ureq::Agent;
use ureq::http::{Request, Response, header};
use ureq::tls::{RootCerts, TlsConfig, TlsProvider};

use crate::error::{Failure, Remedy, Result};
use crate::interrupt;
use crate::screen::{Screen, took};

/// How often a request is sent again.
const RETRIES: usize = 3;
/// The longest that a server is waited for because it says so: the quotas of Google are per minute.
const PATIENCE: Duration = Duration::from_secs(90);
/// More is no spreadsheet: Google's have ten million cells at most.
const LONGEST_ANSWER: u64 = 1 << 30;

pub struct Http {
    agent: Agent,
    timeout: Duration,
}

impl Http {
    /// `timeout`: for a request and its answer as a whole.
    pub fn new(timeout: Duration) -> Self {
        let tls = TlsConfig::builder().provider(TlsProvider::NativeTls).root_certs(RootCerts::PlatformVerifier).build();
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .tls_config(tls)
            .timeout_connect(Some(timeout.min(Duration::from_secs(10))))
            .timeout_global(Some(timeout))
            .user_agent(concat!("once/", env!("CARGO_PKG_VERSION")))
            // Between the runs of a feed the other side closes what is idle.
            .max_idle_age(Duration::from_secs(30))
            .build();
        Self { agent: config.new_agent(), timeout }
    }

    /// Sends a request, and gives its answer, whatever the status. After 429 and errors of the server, the network or the
    /// time it is sent again, a bounded number of times, which is told on the screen; `whom` says who is asked.
    ///
    /// # Errors
    /// Where none of the requests was answered, or the server asks for more time than there is.
    pub fn send(&self, whom: &str, request: &Request<Vec<u8>>, screen: &Screen) -> Result<Response<Vec<u8>>> {
        let delays = ExponentialBuilder::new().with_min_delay(Duration::from_millis(500)).with_max_times(RETRIES);
        let mut delays = delays.with_jitter().build();
        loop {
            interrupt::check()?;
            let outcome = self.once(request);
            let (why, asked) = match &outcome {
                Ok(answer) if passes(answer.status().as_u16()) => {
                    (format!("{whom} answers with status {}", answer.status().as_u16()), retry_after(answer))
                }
                Ok(_) => return outcome.map_err(|error| self.failure(whom, &error)),
                Err(error) if !may_pass(error) => return outcome.map_err(|error| self.failure(whom, &error)),
                Err(error) => (format!("{whom}: {}", self.words(error)), None),
            };
            let wait = match (delays.next(), asked) {
                // To be asked for some time does not cost patience.
                (Some(_), Some(asked)) if asked <= PATIENCE => asked,
                (Some(_), Some(asked)) => return Err(busy(&why, &format!("It asks to wait for {}.", took(asked)))),
                (Some(delay), None) => delay,
                (None, _) => {
                    let failure = match outcome {
                        Ok(_) => busy(&why, &format!("It was asked {} times.", RETRIES + 1)),
                        Err(error) => self.failure(whom, &error),
                    };
                    return Err(failure);
                }
            };
            screen.warn(format_args!("{why}; trying again in {}", took(wait)));
            interrupt::sleep(wait)?;
        }
    }

    fn once(&self, request: &Request<Vec<u8>>) -> std::result::Result<Response<Vec<u8>>, ureq::Error> {
        let (parts, body) = self.agent.run(request.clone())?.into_parts();
        let body = body.into_with_config().limit(LONGEST_ANSWER).read_to_vec()?;
        Ok(Response::from_parts(parts, body))
    }

    fn words(&self, error: &ureq::Error) -> String {
        match error {
            ureq::Error::Timeout(ureq::Timeout::Connect | ureq::Timeout::Resolve) => "no connection in time".into(),
            ureq::Error::Timeout(_) => {
                format!("no answer within {} (--sheets-timeout)", humantime::format_duration(self.timeout))
            }
            ureq::Error::HostNotFound => "the host's address is not found".into(),
            ureq::Error::BodyExceedsLimit(_) => "the answer is too long".into(),
            error => error.to_string(),
        }
    }

    fn failure(&self, whom: &str, error: &ureq::Error) -> Failure {
        let failure = Failure::problem(format!("{whom} can't be reached: {}", self.words(error)));
        match error {
            ureq::Error::NativeTls(_) | ureq::Error::Tls(_) => failure
                .hint("Check the address and this machine's clock; SSL_CERT_FILE names the certificates that are trusted, where it is not the system's.")
                .remedy(Remedy::Setup),
            error => failure
                .hint("Check the network, a proxy (HTTPS_PROXY) and the address, and run the command again.")
                .remedy(if may_pass(error) { Remedy::Time } else { Remedy::Setup }),
        }
    }
}

fn busy(why: &str, detail: &str) -> Failure {
    Failure::problem(why).detail(detail).hint("Run the command again later.").remedy(Remedy::Time)
}

/// What the network or the other side may do otherwise the next time.
fn may_pass(error: &ureq::Error) -> bool {
    use ureq::Error::{ConnectProxyFailed, ConnectionFailed, HostNotFound, Io, Protocol, Timeout};
    matches!(error, ConnectProxyFailed(_) | ConnectionFailed | HostNotFound | Io(_) | Protocol(_) | Timeout(_))
}

fn passes(status: u16) -> bool {
    matches!(status, 429 | 500 | 502 | 503 | 504)
}

/// How long the server asks to be left alone: a number of seconds, or a date.
fn retry_after<T>(answer: &Response<T>) -> Option<Duration> {
    let text = answer.headers().get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    match text.parse() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        // A date that is over asks for nothing.
        Err(_) => Some(httpdate::parse_http_date(text).ok()?.duration_since(SystemTime::now()).unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(text: &str) -> Option<Duration> {
        let answer = Response::builder().header("Retry-After", text).body(()).unwrap();
        retry_after(&answer)
    }

    #[test]
    fn a_server_asks_for_seconds_or_until_a_date() {
        assert_eq!(asked(" 7 "), Some(Duration::from_secs(7)));
        assert_eq!(asked("Sun, 06 Nov 1994 08:49:37 GMT"), Some(Duration::ZERO));
        let date = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(100));
        assert!(asked(&date).is_some_and(|wait| (98..=100).contains(&wait.as_secs())));
        assert_eq!((asked("soon"), asked("-1")), (None, None));
    }
}
