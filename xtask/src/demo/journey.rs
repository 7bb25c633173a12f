//! The steps of the demo: what to type, and what the terminal must show for it.

use super::files::{Campaign, IN_PRODUCTION, MERCHANT};

/// What a step runs.
pub enum Run {
    /// SQL, by psql.
    Psql(String),
    /// Arguments of `once`; `JOB` stands for the job that an earlier step began.
    Once(&'static str, Vec<String>),
}

/// One step: a headline, what to run, its exit code, and what it must show.
pub struct Step {
    pub title: &'static str,
    pub run: Run,
    pub exit: i32,
    expected: Vec<String>,
}

fn psql(title: &'static str, sql: impl Into<String>, expected: &[String]) -> Step {
    Step { title, run: Run::Psql(sql.into()), exit: 0, expected: expected.to_vec() }
}

fn once(title: &'static str, command: &'static str, arguments: &[&str], expected: &[String]) -> Step {
    let arguments = arguments.iter().map(|argument| argument.to_string()).collect();
    Step { title, run: Run::Once(command, arguments), exit: 0, expected: expected.to_vec() }
}

/// A row of a table: its name and its last figure.
fn row(name: &str, figure: u64) -> String {
    format!("{name} … {}", grouped(figure))
}

/// 3,000
fn grouped(figure: u64) -> String {
    if figure < 1000 { figure.to_string() } else { format!("{},{:03}", figure / 1000, figure % 1000) }
}

/// The whole journey for these files.
pub fn steps(campaign: &Campaign) -> Vec<Step> {
    let counts = campaign.counts;
    let clean = counts.clean();
    let files = campaign.files.len() as u64;
    let all = counts.total + campaign.other_rows();
    vec![
        psql(
            "Install the extension and the promo-code kit",
            "CREATE SCHEMA once;\nCREATE EXTENSION pg_once SCHEMA once;\nSELECT once.install_kit('promo_codes', 'public');",
            &["CREATE EXTENSION".into()],
        ),
        psql(
            "Some codes are in production already",
            format!(
                "INSERT INTO codes (merchant_id, code, sku, points, sku_name, batch_code)\n\
                 SELECT '{MERCHANT}', 'GIFT-' || lpad(n::text, 5, '0'), 'SKU-0', 10, 'Tea', 'WINTER'\n\
                 FROM generate_series(1, {IN_PRODUCTION}) AS n;"
            ),
            &[format!("INSERT 0 {IN_PRODUCTION}")],
        ),
        once(
            "Look at the files, without a database",
            "check",
            &["."],
            &[format!("{files} files, {} rows, 0 invalid", grouped(all))],
        ),
        once(
            "Stage them: each has its own column order, and blank rows are passed over",
            "load",
            &["."],
            &[
                format!("{files} of {files} files loaded, 0 skipped, 0 failed: {} rows", grouped(all)),
                format!("{} blank", grouped(campaign.blank)),
            ],
        ),
        once(
            "Stage them again: nothing is staged twice",
            "load",
            &["."],
            &[format!("0 of {files} files loaded, {files} skipped")],
        ),
        once(
            "Mark the duplicates, within the files and with production",
            "dedupe",
            &[MERCHANT],
            &[
                row("staged", counts.total),
                row("internal duplicates", counts.internal),
                row("database duplicates", counts.existing),
                row("both at once", counts.both),
                row("clean", clean),
            ],
        ),
        once(
            "Which rows are duplicates, and of what?",
            "export",
            &[MERCHANT, "duplicates.txt"],
            &[format!("{} duplicates to duplicates.txt", grouped(counts.total - clean))],
        ),
        once(
            "Insert the clean ones: all or nothing",
            "insert",
            &[MERCHANT, "--yes"],
            &[format!("Inserted {} rows into public.codes", grouped(clean)), format!("All there: {clean} codes")],
        ),
        once(
            "What is known about it",
            "job",
            &["JOB"],
            &[row("rows written", clean), "completed".into(), "spring-1.csv".into()],
        ),
        once("The same import once more: nothing would be created twice", "dedupe", &[MERCHANT], &[row("clean", 0)]),
        Step { exit: 1, ..once("So there is nothing to insert", "insert", &[MERCHANT, "--yes"], &[]) },
        once("The job answers for its rows", "verify", &["JOB"], &[format!("All there: {clean} codes")]),
        once(
            "Undo it: the job's rows go, and no others",
            "rollback",
            &["JOB", "--yes"],
            &[format!("Deleted {} rows from public.codes", grouped(clean))],
        ),
        psql(
            "What is left is what was there before",
            format!("SELECT count(*) AS left_in_production FROM codes WHERE merchant_id = '{MERCHANT}';"),
            &[format!(" {IN_PRODUCTION}\n")],
        ),
        once("The job stays, and says so", "jobs", &[], &["rolled_back".into()]),
        once(
            "Clear the staged rows; the other merchant's stay",
            "clear",
            &[MERCHANT, "--yes"],
            &[format!("Deleted {} rows, 0 remain", grouped(counts.total))],
        ),
        psql(
            "The other merchant's",
            "SELECT count(*) AS still_staged FROM codes_check_temp;",
            &[format!(" {}\n", campaign.other_rows())],
        ),
    ]
}

/// What the step should have shown and did not.
pub fn missing<'a>(step: &'a Step, shown: &str) -> Vec<&'a str> {
    let is_shown = |text: &str| match text.split_once(" … ") {
        Some((name, figure)) => shown.lines().any(|line| is_row(line, name, figure)),
        None => shown.contains(text),
    };
    step.expected.iter().map(String::as_str).filter(|text| !is_shown(text)).collect()
}

/// Whether a line, of a table or not, begins with this name and ends with this figure.
fn is_row(line: &str, name: &str, figure: &str) -> bool {
    let plain = line.replace(['│', '┆', '|'], " ");
    let words: Vec<&str> = plain.split_whitespace().collect();
    let name: Vec<&str> = name.split(' ').collect();
    words.len() > name.len() && words.starts_with(&name) && words.last() == Some(&figure)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_must_show_what_is_expected() {
        let step = once("One", "dedupe", &[], &[row("clean", 1200), "rolled_back".into()]);
        assert!(missing(&step, "│ clean ┆ 3,000 ┆ 1,200 │\nrolled_back").is_empty());
        assert_eq!(missing(&step, "│ clean ┆ 1,200 ┆ 3,000 │\nrolled_back"), ["clean … 1,200"]);
        assert_eq!(missing(&step, "│ clean ┆ 11,200 │"), ["clean … 1,200", "rolled_back"]);
    }
}
