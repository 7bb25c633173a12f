use super::*;

const PHONE: usize = 0;
const IC: usize = 1;
const BORN: usize = 2;

fn shape(on_match: OnMatch) -> Shape {
    let key = |column| Key { columns: vec![column], null_counts: vec![false] };
    Shape { keys: vec![key(PHONE), key(IC)], confirm: vec![BORN], merges: vec![Merge::Coalesce; 3], on_match }
}

/// Rows of phone, ic and birth date, 0 for none; the records have the same, and are found as a database would.
fn run(shape: &Shape, records: &[[u32; 3]], rows: &[[u32; 3]]) -> Plan {
    let records: Vec<Vec<Option<u32>>> =
        records.iter().map(|record| record.iter().map(|v| (*v > 0).then_some(*v)).collect()).collect();
    let slot = |v: u32| if v > 0 { Slot::Is(v) } else { Slot::Null };
    let find =
        |row: &[u32; 3], column: usize| records.iter().position(|r| row[column] > 0 && r[column] == Some(row[column]));
    let rows = rows.iter().map(|row| (row.map(slot), [find(row, PHONE), find(row, IC)]));
    plan_of(shape, grid(records.iter().cloned()), rows, false)
}

fn grid<T: Clone>(rows: impl IntoIterator<Item: IntoIterator<Item = T>>) -> Grid<T> {
    let rows: Vec<Vec<T>> = rows.into_iter().map(|row| row.into_iter().collect()).collect();
    let mut grid = Grid::new(rows.first().map_or(0, Vec::len));
    rows.into_iter().for_each(|row| grid.push(row.into_iter()));
    grid
}

/// Plans rows of these values that find these records.
fn plan_of<const V: usize, const K: usize>(
    shape: &Shape,
    records: Grid<Option<u32>>,
    rows: impl IntoIterator<Item = ([Slot; V], [Option<usize>; K])>,
    in_waves: bool,
) -> Plan {
    let (values, found): (Vec<_>, Vec<_>) = rows.into_iter().unzip();
    let none = vec![false; values.len()];
    let rows = Rows { values: grid(values), is_incomplete: none.clone(), stands_alone: none };
    plan(shape, &records, &rows, &grid(found), |_| true, in_waves)
}

fn groups(plan: &Plan) -> Vec<(Option<usize>, Vec<usize>)> {
    plan.groups.iter().map(|group| (group.record, group.rows.clone())).collect()
}

#[test]
fn later_rows_find_what_earlier_ones_made() {
    let shape = shape(OnMatch::Update);
    // The second row gives the new record its ic, by which the third finds it.
    let plan = run(&shape, &[], &[[1, 0, 0], [1, 7, 0], [0, 7, 0]]);
    assert_eq!(groups(&plan), [(None, vec![0, 1, 2])]);
    assert_eq!(plan.fates[2], Fate::Grouped { group: 0, key: Some(1) });
}

#[test]
fn a_key_that_was_given_up_finds_nothing() {
    let shape = shape(OnMatch::Update);
    // The first row moves the record from ic 7 to ic 8; so 7 is new, and 8 is the record's.
    let plan = run(&shape, &[[1, 7, 0]], &[[1, 8, 0], [2, 7, 0], [0, 8, 0]]);
    assert_eq!(groups(&plan), [(Some(0), vec![0, 2]), (None, vec![1])]);
}

#[test]
fn several_records_are_never_merged() {
    let shape = shape(OnMatch::Update);
    let plan = run(&shape, &[[1, 7, 0], [2, 8, 0]], &[[1, 8, 0], [1, 0, 0]]);
    let found = vec![(0, Holder::Record(0)), (1, Holder::Record(1))];
    assert_eq!(plan.fates[0], Fate::Ambiguous { found });
    assert_eq!(groups(&plan), [(Some(0), vec![1])]);
    // Neither are a record and a new one.
    let plan = run(&shape, &[[1, 0, 0]], &[[0, 9, 0], [1, 9, 0]]);
    assert!(matches!(plan.fates[1], Fate::Ambiguous { .. }));
}

#[test]
fn who_contradicts_is_another() {
    let shape = shape(OnMatch::Update);
    let plan = run(&shape, &[[1, 0, 5]], &[[1, 0, 6], [1, 0, 0], [1, 0, 5]]);
    assert_eq!(plan.fates[0], Fate::Contradicts { column: BORN, holder: Holder::Record(0), key: 0 });
    assert_eq!(groups(&plan), [(Some(0), vec![1, 2])]);
    // What an earlier row said counts.
    let plan = run(&shape, &[], &[[1, 0, 5], [1, 0, 6]]);
    assert_eq!(plan.fates[1], Fate::Contradicts { column: BORN, holder: Holder::New(0), key: 0 });
}

#[test]
fn who_skips_takes_any_hit() {
    let shape = shape(OnMatch::Skip);
    let plan = run(&shape, &[[1, 7, 5], [2, 8, 0]], &[[1, 8, 6], [3, 0, 0], [3, 9, 0], [0, 9, 0]]);
    assert_eq!(plan.fates[0], Fate::Skipped { holder: Holder::Record(0), key: 0, several: true });
    assert_eq!(plan.fates[2], Fate::Skipped { holder: Holder::New(0), key: 0, several: false });
    // The skipped row gave nothing, so the last one is new.
    assert_eq!(groups(&plan), [(None, vec![1]), (None, vec![3])]);
}

#[test]
fn a_wave_ends_where_a_key_changes_hands() {
    let shape = shape(OnMatch::Update);
    let records = grid([[Some(1), Some(7), None], [Some(2), Some(8), None]]);
    // The first record takes ic 9; then the second its 7, which the database still has of the first.
    let row = |phone: u32, ic: u32, found: [Option<usize>; 2]| ([Slot::Is(phone), Slot::Is(ic), Slot::Null], found);
    let rows = [row(1, 9, [Some(0), None]), row(2, 7, [Some(1), Some(0)]), row(3, 5, [None, None])];
    let wave = plan_of(&shape, records.clone(), rows, true);
    assert_eq!(groups(&wave), [(Some(0), vec![0])]);
    assert_eq!(wave.fates[1..], [Fate::Later, Fate::Later]);
    let whole = plan_of(&shape, records, rows, false);
    assert_eq!(groups(&whole), [(Some(0), vec![0]), (Some(1), vec![1]), (None, vec![2])]);
}

#[test]
fn without_a_key_there_is_nobody() {
    let plan = run(&shape(OnMatch::Update), &[], &[[0, 0, 5]]);
    assert_eq!(plan.fates, [Fate::Keyless]);
}

#[test]
fn null_may_be_a_value_of_a_key() {
    // One key of two columns, the second may be NULL.
    let key = Key { columns: vec![0, 1], null_counts: vec![false, true] };
    let shape = Shape { keys: vec![key], confirm: vec![], merges: vec![Merge::Coalesce; 2], on_match: OnMatch::Update };
    let rows = [
        [Slot::Is(1), Slot::Null],
        [Slot::Is(1), Slot::Missing],
        [Slot::Is(1), Slot::Is(2)],
        [Slot::Null, Slot::Is(2)],
    ];
    let plan = plan_of(&shape, Grid::new(2), rows.map(|row| (row, [None])), false);
    assert_eq!(groups(&plan), [(None, vec![0, 1]), (None, vec![2])]);
    assert_eq!(plan.fates[3], Fate::Keyless);
}

#[test]
fn it_is_as_if_rows_came_one_by_one() {
    // The oracle takes one row at a time, and looks through all records each time.
    let mut seed = 7_u64;
    let mut next = |most: u64| {
        seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        u32::try_from((seed >> 33) % most).unwrap()
    };
    for round in 0..3000 {
        let merges: Vec<Merge> =
            (0..3).map(|_| [Merge::Coalesce, Merge::Keep, Merge::Overwrite][next(3) as usize].clone()).collect();
        let on_match = if round % 5 == 0 { OnMatch::Skip } else { OnMatch::Update };
        let shape = Shape { merges, ..shape(on_match) };
        let mut table: Vec<[u32; 3]> = Vec::new();
        for _ in 0..next(4) {
            let record = [next(5), next(5), next(3)];
            if (record[0] > 0 || record[1] > 0)
                && table.iter().all(|r| (0..2).all(|c| record[c] == 0 || r[c] != record[c]))
            {
                table.push(record);
            }
        }
        let rows: Vec<[u32; 3]> = (0..next(9)).map(|_| [next(5), next(5), next(3)]).collect();
        let plan = run(&shape, &table, &rows);
        let existing = table.len();
        let mut place: HashMap<Holder, usize> = (0..existing).map(|r| (Holder::Record(r), r)).collect();
        for (number, row) in rows.iter().enumerate() {
            let mut hits: Vec<usize> =
                (0..2).filter_map(|c| table.iter().position(|r| row[c] > 0 && r[c] == row[c])).collect();
            let fate = &plan.fates[number];
            if row[0] == 0 && row[1] == 0 {
                assert_eq!(*fate, Fate::Keyless);
                continue;
            }
            if hits.is_empty() {
                let Fate::Grouped { group, key: None } = fate else { panic!("{fate:?}") };
                place.insert(Holder::New(*group), table.len());
                table.push(*row);
                continue;
            }
            if on_match == OnMatch::Skip {
                let Fate::Skipped { holder, .. } = fate else { panic!("{fate:?}") };
                assert_eq!(place[holder], hits[0]);
                continue;
            }
            hits.dedup();
            if hits.len() > 1 {
                assert!(matches!(fate, Fate::Ambiguous { .. }));
                continue;
            }
            let record = &mut table[hits[0]];
            if row[BORN] > 0 && record[BORN] > 0 && row[BORN] != record[BORN] {
                assert!(matches!(fate, Fate::Contradicts { column: BORN, .. }));
                continue;
            }
            let Fate::Grouped { group, key: Some(_) } = fate else { panic!("{fate:?}") };
            let holder = plan.groups[*group].record.map_or(Holder::New(*group), Holder::Record);
            assert_eq!(place[&holder], hits[0]);
            for column in 0..3 {
                record[column] = match (&shape.merges[column], row[column], record[column]) {
                    (Merge::Keep, _, old) if old > 0 => old,
                    (Merge::Overwrite, new, _) => new,
                    (_, 0, old) => old,
                    (_, new, _) => new,
                };
            }
            // A merge may take a key from another record, which a unique index would refuse: not the plan's matter.
            let twice = (0..2).any(|c| {
                let value = table[hits[0]][c];
                value > 0 && table.iter().filter(|r| r[c] == value).count() > 1
            });
            if twice {
                break;
            }
        }
    }
}
