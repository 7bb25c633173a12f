//! Promo codes of merchants, by the bulk path.

use super::{BulkKit, Kit, Path, on};

pub const KIT: Kit = Kit {
    name: "promo_codes",
    main: "codes",
    tables: &[
        ("merchant_members", include_str!("../../sql/kits/promo_codes/merchant_members.sql")),
        ("codes", include_str!("../../sql/kits/promo_codes/codes.sql")),
        ("codes_check_temp", include_str!("../../sql/kits/promo_codes/codes_check_temp.sql")),
    ],
    targets: &[on("codes", include_str!("../../sql/kits/promo_codes/target.json"))],
    views: &[],
    filled_later: &[],
    path: Path::Bulk(BulkKit {
        staging: "codes_check_temp",
        jobs_view: ("codes_import_jobs", include_str!("../../sql/kits/promo_codes/codes_import_jobs.sql")),
        adopt_jobs: include_str!("../../sql/kits/promo_codes/adopt_jobs.sql"),
        job_policies: include_str!("../../sql/kits/promo_codes/job_policies.sql"),
    }),
};
