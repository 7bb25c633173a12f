//! `once feed`: files, spreadsheets and a scheduler, as a user runs them.

#[path = "feed_cli/files.rs"]
mod files;
#[path = "feed_cli/google.rs"]
mod google;
#[path = "feed_cli/sheets.rs"]
mod sheets;
#[path = "feed_cli/watch.rs"]
mod watch;

use anyhow::Result;
use once_tests::Db;
use once_tests::once::Ran;

/// Makes the feed `sheet` of the kit of leads.
pub fn install(db: &Db) -> Result<()> {
    db.psql("SELECT once.install_kit('leads', 'public'); SELECT once.create_feed('sheet', 'leads', '{}')").map(drop)
}

/// A new database with the feed `sheet`.
pub fn feed(label: &str) -> Result<Db> {
    let db = Db::new(label)?;
    install(&db)?;
    Ok(db)
}

/// The leads that are there: `id name email`, sorted.
pub fn leads(db: &Db) -> Result<Vec<String>> {
    let sql = "SELECT concat_ws(' ', external_lead_id, client_name, email) FROM leads ORDER BY external_lead_id COLLATE \"C\"";
    Ok(db.psql(sql)?.lines().map(str::to_owned).collect())
}

/// Requires that a run ended so: the exit code, and all of these words on stdout or stderr.
pub fn says(ran: &Ran, exit: i32, words: &[&str]) {
    assert_eq!(ran.exit, exit, "{ran:?}");
    for word in words {
        assert!(ran.out.contains(word) || ran.err.contains(word), "{word:?} is not said: {ran:?}");
    }
}
