//! What is hoped for, of pg_once.

use super::journey::Step;
use super::totals::Total;
use crate::figures::Role;
use crate::step::{Goal, Wanted};

const REFERENCE: &str = Role::Reference.name();
const EXPERT: &str = Role::Expert.name();
const LIMIT: &str = Role::Limit.name();

const fn once(wanted: Wanted) -> Goal {
    Goal { of: Role::PgOnce.name(), wanted }
}

pub fn of(total: Total) -> &'static [Goal] {
    use Wanted::{AtMost, Faster};
    match total {
        Total::Of(Step::Stage) => {
            const { &[once(Faster(8.0, REFERENCE)), once(Faster(1.0, EXPERT)), once(AtMost(1.5, LIMIT))] }
        }
        Total::Of(Step::Mark) => {
            const { &[once(Faster(10.0, REFERENCE)), once(Faster(1.3, EXPERT)), once(AtMost(2.5, LIMIT))] }
        }
        Total::Of(Step::Insert) => {
            const { &[once(Faster(3.0, REFERENCE)), once(Faster(1.2, EXPERT)), once(AtMost(2.5, LIMIT))] }
        }
        Total::Of(Step::Verify) => const { &[once(Faster(1.5, REFERENCE)), once(Faster(1.0, EXPERT))] },
        Total::Of(Step::RollBack) => const { &[once(Faster(1.0, REFERENCE)), once(Faster(1.0, EXPERT))] },
        Total::Whole => const { &[once(Faster(6.0, REFERENCE)), once(Faster(1.3, EXPERT))] },
        Total::ToInsert => const { &[once(AtMost(2.0, LIMIT))] },
    }
}
