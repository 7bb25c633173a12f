//! Leads of advertising and messaging, by feeds and the rows path: a table, and a target for each way in which they come.

use super::{Kit, KitTarget, Path, on};

pub const KIT: Kit = Kit {
    name: "leads",
    main: "leads",
    tables: &[
        ("lead_users", include_str!("../../sql/kits/leads/lead_users.sql")),
        ("leads", include_str!("../../sql/kits/leads/leads.sql")),
        ("lead_sources", include_str!("../../sql/kits/leads/lead_sources.sql")),
        ("lead_tags", include_str!("../../sql/kits/leads/lead_tags.sql")),
        ("lead_assignments", include_str!("../../sql/kits/leads/lead_assignments.sql")),
        ("lead_rotations", include_str!("../../sql/kits/leads/lead_rotations.sql")),
    ],
    targets: &[
        on("leads", include_str!("../../sql/kits/leads/targets/leads.json")),
        KitTarget {
            name: "leads_tiktok",
            table: "leads",
            spec: include_str!("../../sql/kits/leads/targets/leads_tiktok.json"),
        },
        KitTarget {
            name: "leads_wsapme",
            table: "leads",
            spec: include_str!("../../sql/kits/leads/targets/leads_wsapme.json"),
        },
    ],
    views: &[("import_configurations", include_str!("../../sql/kits/leads/import_configurations.sql"))],
    filled_later: &[],
    path: Path::Feeds,
};
