//! The statements that find staged rows whose flags are wrong, and put them right.

use super::{Bulk, CLEAN, Lookup};

/// What marking says of a staged row: its key is staged with a lower number, or is in production.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flag {
    Internal,
    Existing,
}

/// How many corrections there are: each flag may have to be set or unset.
pub const CORRECTIONS: usize = 4;

impl Flag {
    /// The correction that makes the flag what it should be, counted from 0.
    pub fn correction(self, should: bool) -> usize {
        match (self, should) {
            (Self::Internal, true) => 0,
            (Self::Internal, false) => 1,
            (Self::Existing, true) => 2,
            (Self::Existing, false) => 3,
        }
    }
}

/// That a value is one of a long array, which is hashed once.
fn any(value: &str, array: &str) -> String {
    format!("{value} = ANY ({array})")
}

/// The same as a condition. The planner does not look into a CASE, where it would ask its statistics about each element.
fn unasked(conditions: &[String]) -> String {
    let cases: Vec<String> = conditions.iter().map(|condition| format!("WHEN {condition} THEN true")).collect();
    format!("CASE {} END", cases.join(" "))
}

impl Bulk {
    /// That production has the key of a staged row `s`.
    fn in_production(&self, lookup: Lookup) -> String {
        let same = format!("FROM {} p WHERE {}", self.relation, self.same_key("p", "s"));
        match lookup {
            Lookup::Join => format!("EXISTS (SELECT {same})"),
            // Of a limited subquery the planner makes no join.
            Lookup::Probe => format!("((SELECT true {same} LIMIT 1) IS NOT NULL)"),
        }
    }

    /// A hash of the key that is the same where the index takes keys for the same: of those columns whose type has such
    /// a hash, `None` where there are none.
    fn key_hash(&self, alias: &str) -> Option<String> {
        let mut columns =
            self.key.iter().filter_map(|column| Some((column.hash.as_ref()?, column.of(alias)))).peekable();
        columns.peek()?;
        Some(columns.fold("0::pg_catalog.int8".into(), |seed, (hash, value)| format!("{hash}({value}, {seed})")))
    }

    /// The hash of each staged key, in no order, NULL where a part of it is; `None` where keys can't be hashed.
    pub fn hashes(&self) -> Option<String> {
        Some(format!("SELECT {} FROM {} s WHERE {}", self.key_hash("s")?, self.staging, self.scope_is("s")))
    }

    /// Staged rows that `internal_dup` is wrong of, `$2` at most: row_number, and what it should be. Of a key that is
    /// staged more than once the row with the lowest number stays. With `hashed`, only rows whose key has one of the
    /// hashes `$3` may repeat another.
    pub fn wrong_internal(&self, hashed: bool) -> String {
        let keys: Vec<String> = self.key.iter().map(|c| c.of("s")).collect();
        let known: Vec<String> = keys.iter().map(|key| format!(" AND {key} IS NOT NULL")).collect();
        let candidates = match self.key_hash("s").filter(|_| hashed) {
            Some(hash) => format!(" AND (s.internal_dup OR {})", unasked(&[any(&hash, "$3")])),
            None => String::new(),
        };
        format!(
            "SELECT c.row_number, c.repeats FROM (SELECT s.row_number, s.internal_dup IS TRUE AS was, \
             s.row_number > pg_catalog.min(s.row_number) OVER (PARTITION BY {}){} AS repeats \
             FROM {} s WHERE {}{candidates}) c WHERE c.was <> c.repeats LIMIT $2",
            keys.join(", "),
            known.concat(),
            self.staging,
            self.scope_is("s")
        )
    }

    /// Staged rows that `existing_dup` is wrong of, `$2` at most: row_number, and what it should be. Without `flagged`,
    /// none has the flag already.
    pub fn wrong_existing(&self, lookup: Lookup, flagged: bool) -> String {
        let rows = |flag, should, found| {
            format!(
                "SELECT s.row_number, {should} AS should FROM {} s WHERE {} AND s.existing_dup IS {flag} TRUE AND {found}",
                self.staging,
                self.scope_is("s")
            )
        };
        let missing = rows("NOT", "true", self.in_production(lookup));
        if !flagged {
            return format!("{missing} LIMIT $2");
        }
        let surplus = rows("", "false", format!("NOT {}", self.in_production(lookup)));
        format!("SELECT * FROM ({missing} UNION ALL {surplus}) w LIMIT $2")
    }

    /// The clean rows whose key production has got since, `$2` at most: row_number, and true.
    pub fn arrived(&self, lookup: Lookup) -> String {
        format!(
            "SELECT s.row_number, true FROM {} s WHERE {} AND {CLEAN} AND {} LIMIT $2",
            self.staging,
            self.scope_is("s"),
            self.in_production(lookup)
        )
    }

    /// Corrects the flags of the rows numbered from `$3` to `$4`: for each number `$2`, a bytea, has a byte with a bit for
    /// each correction, none for most.
    pub fn correct_near(&self) -> String {
        let byte = "pg_catalog.get_byte($2, (s.row_number - $3)::pg_catalog.int4)";
        self.correct(
            |correction| format!("{byte} & {} <> 0", 1 << correction),
            &format!("CASE WHEN s.row_number BETWEEN $3 AND $4 THEN {byte} <> 0 END"),
        )
    }

    /// Corrects the flags of the rows whose numbers are in the arrays `$2` to `$5`, one for each correction.
    pub fn correct_far(&self) -> String {
        let is_in = |correction| any("s.row_number", &format!("${}", correction + 2));
        let all: Vec<String> = (0..CORRECTIONS).map(is_in).collect();
        self.correct(is_in, &unasked(&all))
    }

    fn correct(&self, needs: impl Fn(usize) -> String, is_wrong: &str) -> String {
        let flag = |name: &str, flag: Flag| {
            let [set, unset] = [true, false].map(|should| needs(flag.correction(should)));
            format!("{name} = CASE WHEN {set} THEN true WHEN {unset} THEN false ELSE s.{name} END")
        };
        format!(
            "UPDATE {} s SET {}, {} WHERE {} AND {is_wrong} RETURNING true",
            self.staging,
            flag("internal_dup", Flag::Internal),
            flag("existing_dup", Flag::Existing),
            self.scope_is("s")
        )
    }
}
