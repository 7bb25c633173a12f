//! `once feed watch`: the same run every so often, through what passes.

use std::time::{Duration, Instant, SystemTime};

use backon::{BackoffBuilder, ExponentialBuilder};
use serde_json::{Value, json};

use super::{Feed, Ran};
use crate::args::{FeedWatch, Global};
use crate::connect::Connector;
use crate::error::{Exit, Failure, Remedy, Result};
use crate::interrupt;
use crate::screen::{Screen, safe};

/// The first wait after a failure that may pass.
const FIRST_DELAY: Duration = Duration::from_secs(1);

/// Runs until a signal comes.
///
/// # Errors
/// Before the first run has got through: what somebody has to set up first.
pub fn watch(args: &FeedWatch, global: &Global, screen: &Screen) -> Result<Exit> {
    let feed = Feed::new(&args.run, global, Connector::unattended(global.dsn.as_deref())?)?;
    let delays = ExponentialBuilder::new().with_jitter().without_max_times();
    let delays = delays.with_min_delay(FIRST_DELAY.min(args.every)).with_max_delay(args.every);
    let mut delay = delays.build();
    let mut has_run = false;
    loop {
        let began = Instant::now();
        let outcome = feed.run(screen);
        // A beat that is missed by a long run is left out.
        let mut wait = args.every.saturating_sub(began.elapsed());
        match outcome {
            Err(failure) if failure.exit == Exit::Interrupted => break,
            Err(failure) if !has_run && failure.remedy == Remedy::Setup => return Err(failure),
            Err(failure) => {
                if failure.remedy == Remedy::Time {
                    wait = delay.next().unwrap_or(args.every).min(args.every);
                }
                tell_failure(&feed.name, &failure, wait, screen);
            }
            Ok(ran) => {
                has_run = true;
                delay = delays.build();
                tell(&ran, screen);
            }
        }
        if interrupt::sleep(wait).is_err() {
            break;
        }
    }
    screen.say(format_args!("{} {}: stopped by a signal", now(), safe(&feed.name)));
    Ok(Exit::Fine)
}

/// The time as logs have it: `2026-03-01T13:45:00Z`.
fn now() -> humantime::Rfc3339Timestamp {
    humantime::format_rfc3339_seconds(SystemTime::now())
}

fn tell(ran: &Ran, screen: &Screen) {
    let mut line = ran.line();
    if let Some(error) = ran.errors().first() {
        let text = |name: &str| safe(error[name].as_str().unwrap_or_default());
        let place = Ran::place(error);
        line += &format!("; first rejected: {} {place}, {}: {}", ran.unit, text("column"), text("reason"));
    }
    screen.say(format_args!("{} {line}", now()));
    let mut answer = ran.answer.clone();
    answer["time"] = json!(now().to_string());
    answer["feed"] = json!(ran.feed);
    screen.answer_line(&answer);
}

fn tell_failure(feed: &str, failure: &Failure, wait: Duration, screen: &Screen) {
    let next = SystemTime::now() + wait;
    let (feed, said) = (safe(feed), safe(&failure.line()));
    screen.warn(format_args!("{} {feed}: {said}; next at {}", now(), humantime::format_rfc3339_seconds(next)));
    let mut answer = failure.to_json();
    if let Value::Object(fields) = &mut answer {
        fields.remove("exit");
        fields.insert("time".into(), json!(now().to_string()));
        fields.insert("feed".into(), json!(feed));
        fields.insert("next".into(), json!(humantime::format_rfc3339_seconds(next).to_string()));
    }
    screen.answer_line(&answer);
}
