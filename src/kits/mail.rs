//! Mail, by the rows path: threads and messages are targets, what hangs on them the functions of `mail` write.

use super::{Kit, Path, on};

pub const KIT: Kit = Kit {
    name: "mail",
    main: "mail_messages",
    tables: &[
        ("mail_members", include_str!("../../sql/kits/mail/mail_members.sql")),
        ("mailboxes", include_str!("../../sql/kits/mail/mailboxes.sql")),
        ("mail_threads", include_str!("../../sql/kits/mail/mail_threads.sql")),
        ("mail_messages", include_str!("../../sql/kits/mail/mail_messages.sql")),
        ("mail_attachments", include_str!("../../sql/kits/mail/mail_attachments.sql")),
        ("mail_blobs", include_str!("../../sql/kits/mail/mail_blobs.sql")),
        ("ledger_events", include_str!("../../sql/kits/mail/ledger_events.sql")),
    ],
    targets: &[
        on("mail_threads", include_str!("../../sql/kits/mail/targets/mail_threads.json")),
        on("mail_messages", include_str!("../../sql/kits/mail/targets/mail_messages.json")),
    ],
    views: &[],
    filled_later: &[],
    path: Path::Rows,
};
