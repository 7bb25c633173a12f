//! `once run`: check, load, dedupe, insert, each as by its own command; the first that finds problems is the last.

use serde_json::{Value, json};

use super::work::figure;
use super::{check, dedupe, insert, load};
use crate::args::{Check, Confirmed, Global, Insert, Load, Run, Scoped};
use crate::error::{Exit, Failure, Result};
use crate::screen::Screen;
use crate::session::Session;

pub fn run(args: &Run, global: &Global, screen: &Screen) -> Result<Exit> {
    let mut session = Session::open(global)?;
    let target = session.target(global.target.as_deref())?;
    drop(session);
    let scoped = Scoped { scope: args.scope.clone() };
    let mut journey = Journey { screen, steps: Vec::new() };
    // A key that files call otherwise is for `load` to find.
    let key = target.key.into_iter().filter(|column| !target.aliases.values().any(|alias_of| alias_of == column));
    let outcome = journey.travel(args, global, &scoped, key.collect());
    let exit = outcome.as_ref().map_or_else(|failure| failure.exit, |exit| *exit);
    let mut answer = json!({"success": exit == Exit::Fine, "exit": exit as u8, "steps": journey.steps});
    if let Err(failure) = &outcome {
        screen.warn(format_args!("once: {failure}"));
        answer["error"] = failure.to_json();
    }
    screen.answer(&answer);
    Ok(exit)
}

struct Journey<'a> {
    screen: &'a Screen,
    steps: Vec<Value>,
}

impl Journey<'_> {
    fn travel(&mut self, args: &Run, global: &Global, scoped: &Scoped, key: Vec<String>) -> Result<Exit> {
        let check = Check { files: args.files.clone(), require: key, deep: false };
        let load = Load { files: args.files.clone(), how: args.how.clone(), scope: args.scope.clone() };
        let confirmed = Confirmed { scoped: scoped.clone(), yes: args.yes };
        let insert = Insert { confirmed, brake: args.brake.clone() };

        let (exit, _) = self.step("check", |screen| check::run(&check, screen))?;
        if exit != Exit::Fine {
            return Ok(exit);
        }
        let (exit, _) = self.step("load", |screen| load::run(&load, global, screen))?;
        if exit != Exit::Fine {
            return Ok(exit);
        }
        let (exit, marked) = self.step("dedupe", |screen| dedupe::run(scoped, global, screen))?;
        if exit != Exit::Fine {
            return Ok(exit);
        }
        if figure(&marked["after"], "clean_count") == 0 {
            let why = "Nothing is clean: all that is staged is in production already. Nothing to insert.";
            self.screen.say(why);
            self.steps.push(json!({"step": "insert", "skipped": why}));
            return Ok(Exit::Fine);
        }
        Ok(self.step("insert", |screen| insert::run(&insert, global, screen))?.0)
    }

    /// Runs one command, and keeps its answer.
    fn step(&mut self, name: &str, run: impl FnOnce(&Screen) -> Result<Exit>) -> Result<(Exit, Value)> {
        self.screen.say(format_args!("── {name}"));
        let part = self.screen.part();
        let outcome = run(&part);
        let answer = part.taken().unwrap_or(Value::Null);
        let exit = outcome.as_ref().map_or_else(|failure: &Failure| failure.exit, |exit| *exit);
        self.steps.push(json!({"step": name, "exit": exit as u8, "answer": answer}));
        outcome.map(|exit| (exit, answer))
    }
}
