//! The steps of the demo: SQL for psql, and what its output must contain.

use std::fmt::Write;

use super::files::{Campaign, IN_PRODUCTION, MERCHANT};

/// One step: a headline, what to type, and what psql must show for it.
pub struct Step {
    title: &'static str,
    sql: String,
    expected: Vec<String>,
}

fn step(title: &'static str, sql: impl Into<String>, expected: &[String]) -> Step {
    Step { title, sql: sql.into(), expected: expected.to_vec() }
}

/// A key and its value, as `jsonb_pretty` shows them.
fn pair(key: &str, value: impl ToString) -> String {
    format!("\"{key}\": {}", value.to_string())
}

/// The whole journey for these files.
pub fn steps(campaign: &Campaign) -> Vec<Step> {
    let counts = campaign.counts;
    let clean = counts.clean();
    let loads = campaign.files.iter().fold(String::new(), |mut loads, file| {
        // COPY takes a blank row for one with missing columns.
        let _ = writeln!(
            loads,
            r#"\copy codes_check_temp ({}) FROM PROGRAM 'grep -vE "^[[:space:],]*$" {}' CSV HEADER"#,
            file.columns(),
            file.name
        );
        loads
    });
    let names: Vec<_> = campaign.files.iter().map(|file| format!("\"{}\"", file.name)).collect();
    let source = format!("{{\"files\": [{}]}}", names.join(", "));

    vec![
        step(
            "Install the extension and the promo-code kit",
            "CREATE SCHEMA once;\nCREATE EXTENSION pg_once SCHEMA once;\n\
             SELECT once.install_kit('promo_codes', 'public');",
            &["CREATE EXTENSION".into()],
        ),
        step(
            "Some codes are in production already",
            format!(
                "INSERT INTO codes (merchant_id, code, sku, points, sku_name, batch_code)\n\
                 SELECT '{MERCHANT}', 'GIFT-' || lpad(n::text, 5, '0'), 'SKU-0', 10, 'Tea', 'WINTER'\n\
                 FROM generate_series(1, {IN_PRODUCTION}) AS n;"
            ),
            &[format!("INSERT 0 {IN_PRODUCTION}")],
        ),
        step(
            "Load the files: each has its own column order, and blank rows are dropped on the way",
            format!("{loads}SELECT merchant_id, count(*) FROM codes_check_temp GROUP BY merchant_id ORDER BY 2 DESC;"),
            &[format!("{MERCHANT} |  {}", counts.total), format!("|   {}", campaign.other_rows())],
        ),
        step(
            "Mark the duplicates, within the files and with production",
            format!("SELECT jsonb_pretty(once.mark_duplicates_in_temp('{MERCHANT}')) AS marked;"),
            &[
                pair("total_rows", counts.total),
                pair("internal_duplicates", counts.internal),
                pair("database_duplicates", counts.existing),
                pair("clean_count", clean),
            ],
        ),
        step(
            "Validate what is left",
            format!("SELECT jsonb_pretty(once.validate_clean_codes_for_insert('{MERCHANT}')) AS validated;"),
            &[pair("valid", true), pair("total_clean_codes", clean), pair("new_db_duplicates_found", 0)],
        ),
        step(
            "Which rows are duplicates, and of what?",
            format!(
                "SELECT row_number, code, status, duplicates_row, duplicates_id\n\
                 FROM once.get_duplicate_report('{MERCHANT}') WHERE status <> 'CLEAN' LIMIT 5;"
            ),
            &["_DUPLICATE".into(), "(5 rows)".into()],
        ),
        step(
            "Insert the clean ones: all or nothing",
            format!(
                "SELECT once.insert_clean_codes_to_production('{MERCHANT}',\n    '{source}') AS inserted \\gset\n\
                 SELECT jsonb_pretty(:'inserted') AS inserted;\n\
                 SELECT :'inserted'::jsonb ->> 'job_id' AS job_id \\gset"
            ),
            &[pair("success", true), pair("codes_inserted", clean)],
        ),
        step(
            "Verify the job: what it recorded is what is there",
            "SELECT jsonb_pretty(once.verify_import_job(:'job_id')) AS verified;",
            &[pair("verified", true), pair("expected_count", clean), pair("actual_count", clean)],
        ),
        step(
            "What is known about it",
            "\\x on\nSELECT * FROM codes_import_jobs;\n\\x off",
            &["| completed".into(), format!("| {clean}\n")],
        ),
        step(
            "The same import once more: nothing is created twice",
            format!(
                "SELECT jsonb_pretty(once.mark_duplicates_in_temp('{MERCHANT}')) AS marked;\n\
                 SELECT jsonb_pretty(once.insert_clean_codes_to_production('{MERCHANT}')) AS inserted;"
            ),
            &[
                pair("database_duplicates", counts.total),
                pair("clean_count", 0),
                pair("success", false),
                pair("message", "\"No clean codes to insert\""),
            ],
        ),
        step(
            "Undo it: the job's rows go, and no others",
            format!(
                "SELECT jsonb_pretty(once.rollback_import_job(:'job_id')) AS rolled_back;\n\
                 SELECT count(*) AS left_in_production FROM codes WHERE merchant_id = '{MERCHANT}';"
            ),
            &[
                pair("success", true),
                pair("codes_deleted", clean),
                pair("original_insert_count", clean),
                format!(" {IN_PRODUCTION}\n"),
            ],
        ),
        step(
            "The job stays, and says so",
            "SELECT jsonb_pretty(once.verify_import_job(:'job_id')) AS verified;\n\
             SELECT status, total_codes_to_insert, codes_inserted FROM codes_import_jobs WHERE id = :'job_id';",
            &[pair("actual_count", 0), "rolled_back".into()],
        ),
        step(
            "Clear the staging table: the other merchant's rows stay",
            format!(
                "SELECT jsonb_pretty(once.clear_temp_data('{MERCHANT}')) AS cleared;\n\
                 SELECT count(*) AS still_staged FROM codes_check_temp;"
            ),
            &[pair("rows_deleted", counts.total), format!(" {}\n", campaign.other_rows())],
        ),
    ]
}

/// The steps as one script; the headlines are comments, as one would write them.
pub fn script(steps: &[Step]) -> String {
    let mut script = String::new();
    for (number, step) in steps.iter().enumerate() {
        let _ = write!(script, "\n{}\n{}\n", headline(number, step), step.sql);
    }
    script
}

/// Every step whose part of the transcript lacks something that it must contain.
pub fn check(steps: &[Step], transcript: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    for (number, step) in steps.iter().enumerate() {
        let Some((_, rest)) = transcript.split_once(&headline(number, step)) else {
            wrong.push(format!("step {} did not run: {}", number + 1, step.title));
            continue;
        };
        let next = steps.get(number + 1).map(|next| headline(number + 1, next));
        let part = next.and_then(|next| rest.split_once(&next)).map_or(rest, |(part, _)| part);
        // What psql echoes proves nothing.
        let shown = step.sql.lines().fold(part.to_owned(), |part, line| part.replacen(line, "", 1));
        for expected in step.expected.iter().filter(|expected| !shown.contains(*expected)) {
            wrong.push(format!("step {} should show {:?}: {}", number + 1, expected.trim(), step.title));
        }
    }
    wrong
}

fn headline(number: usize, step: &Step) -> String {
    format!("-------- {}. {}", number + 1, step.title)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two() -> Vec<Step> {
        vec![step("One", "SELECT 1;", &["seen".into()]), step("Two", "SELECT 'seen';", &["seen".into()])]
    }

    #[test]
    fn a_step_must_show_what_is_expected() {
        let good = "-------- 1. One\nSELECT 1;\nseen\n\n-------- 2. Two\nSELECT 'seen';\nseen\n";
        assert!(check(&two(), good).is_empty());
    }

    #[test]
    fn neither_the_echo_nor_another_step_will_do() {
        let wrong = check(&two(), "-------- 1. One\nSELECT 1;\n-------- 2. Two\nSELECT 'seen';\n");
        assert_eq!(wrong.len(), 2, "{wrong:?}");
    }

    #[test]
    fn a_step_that_did_not_run_is_wrong() {
        let wrong = check(&two(), "-------- 1. One\nSELECT 1;\nseen\n");
        assert_eq!(wrong, ["step 2 did not run: Two"]);
    }
}
