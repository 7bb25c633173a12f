//! Feeds: sources that are read again and again, by whatever process is alive, and each row of them taken once.

#[path = "feeds/cron.rs"]
mod cron;
#[path = "feeds/declared.rs"]
mod declared;
#[path = "feeds/faults.rs"]
mod faults;
#[path = "feeds/journey.rs"]
mod journey;
#[path = "feeds/sheet.rs"]
mod sheet;
