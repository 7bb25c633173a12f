//! The mail kit: a mailbox that is synchronised again and again.

#[path = "mail/attachments.rs"]
mod attachments;
#[path = "mail/faults.rs"]
mod faults;
#[path = "mail/journey.rs"]
mod journey;
#[path = "mail/ledger.rs"]
mod ledger;
#[path = "mail/tenants.rs"]
mod tenants;
