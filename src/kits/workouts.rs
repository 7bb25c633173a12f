//! Athletes' training logs, by the documents path.

use super::{Kit, Path, on};

pub const KIT: Kit = Kit {
    name: "workouts",
    main: "imports",
    tables: &[
        ("imports", include_str!("../../sql/kits/workouts/imports.sql")),
        ("workout_drafts", include_str!("../../sql/kits/workouts/workout_drafts.sql")),
        ("workouts", include_str!("../../sql/kits/workouts/workouts.sql")),
    ],
    targets: &[on("imports", include_str!("../../sql/kits/workouts/target.json"))],
    views: &[
        ("workout_sessions", include_str!("../../sql/kits/workouts/views/workout_sessions.sql")),
        ("workout_blocks", include_str!("../../sql/kits/workouts/views/workout_blocks.sql")),
        ("workout_items", include_str!("../../sql/kits/workouts/views/workout_items.sql")),
        ("v_imports_without_checksum", include_str!("../../sql/kits/workouts/views/v_imports_without_checksum.sql")),
        ("v_duplicate_imports", include_str!("../../sql/kits/workouts/views/v_duplicate_imports.sql")),
        ("v_workouts_without_hash", include_str!("../../sql/kits/workouts/views/v_workouts_without_hash.sql")),
        (
            "v_potential_duplicate_workouts",
            include_str!("../../sql/kits/workouts/views/v_potential_duplicate_workouts.sql"),
        ),
    ],
    filled_later: &["checksum_sha256", "source"],
    path: Path::Documents,
};
