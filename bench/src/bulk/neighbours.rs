//! Whether an import minds what many other merchants have in production.

use anyhow::Result;
use serde_json::json;
use xtask::run::headline;

use super::comparison::Comparison;
use super::contenders::ONCE;
use super::growth::rounds;
use super::journey::STEPS;
use super::prepare_data;
use super::template::Template;
use super::totals::Total;
use crate::generate::Counts;
use crate::lab::Lab;
use crate::{Options, Outcome};

/// How many codes others have.
const CODES: u64 = 50_000_000;
/// And how many others there are.
const MERCHANTS: u64 = 50;
/// How many rows are imported.
const ROWS: u64 = 1_000_000;

pub fn run(lab: &Lab, options: &Options) -> Result<Outcome> {
    let counts = Counts::new_only(options.scaled(ROWS));
    let codes = options.scaled(CODES);
    let data = prepare_data(lab, "neighbours", options.seed, counts)?;
    headline(&format!("production with {codes} codes of {MERCHANTS} others, and without"));
    let mut measured = Vec::new();
    for (name, codes) in [("alone", 0), ("neighbours", codes)] {
        let template = Template::filled(lab, &ONCE, name, &fill(codes))?;
        measured.push(rounds(&data, &template, options.rounds())?);
        template.discard()?;
    }
    data.discard(options.keep)?;

    let mut comparison = Comparison::new(["empty production".into(), format!("{codes} codes of others")]);
    for total in STEPS.map(Total::Of).into_iter().chain([Total::Whole]) {
        let runs = [total.of(&measured[0]), total.of(&measured[1])];
        comparison.add(total.name(), [&runs[0], &runs[1]], [total.units(&counts); 2]);
    }
    println!("\n{comparison}");
    Ok(Outcome { json: json!({ "data": data, "codes": codes, "steps": comparison }), figures: Vec::new() })
}

/// SQL that gives each of the others as many codes, one merchant after the other, the codes of each in no order.
fn fill(codes: u64) -> String {
    if codes == 0 {
        return String::new();
    }
    format!(
        "INSERT INTO codes (merchant_id, code)
         SELECT lpad((n * {MERCHANTS} / {codes})::text, 32, '0')::uuid,
                upper(lpad(to_hex(n * 2654435761 & 281474976710655), 12, '0'))
         FROM generate_series(0::bigint, {codes}::bigint - 1) n;"
    )
}
