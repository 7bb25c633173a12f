//! `once clear`: deletes a scope's staged rows, and the list of its files.

use postgres::types::Type;
use serde_json::json;

use super::watch::Watch;
use super::work::{Place, figure, stop};
use crate::args::{Confirmed, Global};
use crate::error::{Exit, Failure, Result};
use crate::screen::{Screen, counted, grouped};

pub fn run(args: &Confirmed, global: &Global, screen: &Screen) -> Result<Exit> {
    let mut place = Place::open(global, &args.scoped)?;
    let before = place.status()?;
    let (rows, files) = (counted(before.total_rows, "row"), counted(before.files.len() as i128, "file"));
    if before.emptied {
        screen.say(format_args!("A crash of the server has emptied staging; clearing lets {} go on.", place.words()));
    }
    screen.say(format_args!("Staged of {}: {rows}, {files}.", place.words()));
    if before.total_rows > 0 || before.emptied {
        screen.confirm(&format!("Delete the staged rows of {}?", place.words()), "YES", args.yes)?;
    }

    let mut work = place.session.transaction()?;
    let watch = Watch::start(screen, &mut work, "clearing")?;
    let params = [(&place.target.name as _, Type::TEXT), (&place.scope as _, Type::TEXT)];
    let answer = work.call("clear_staging($1, $2)", &params)?;
    drop(watch);
    let (deleted, remaining) = (figure(&answer, "rows_deleted"), figure(&answer, "rows_remaining"));
    if deleted > before.total_rows && !args.yes {
        drop(work);
        let failure = Failure::problem("more was staged while you were asked")
            .hint("Run the command again.")
            .detail(format!("{rows} confirmed, but {} would have been deleted. Nothing was.", grouped(deleted)));
        return stop(screen, failure, &json!({}));
    }
    work.commit()?;
    screen.say(format_args!("Deleted {}, {} remain.", counted(deleted, "row"), grouped(remaining)));
    screen.answer(&answer);
    Ok(if remaining == 0 { Exit::Fine } else { Exit::Problems })
}
