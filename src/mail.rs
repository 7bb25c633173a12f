//! The mail kit's functions: mailboxes that are synchronised again and again, what is attached to their messages, and the
//! ledger of what was taken in.

mod access;
mod attachments;
mod ingest;
mod kit;
mod ledger;
mod report;
mod undo;

pub use undo::Undoing;

const MAIN: &str = "mail_messages";
