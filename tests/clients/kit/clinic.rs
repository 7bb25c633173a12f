//! The kit `clinic`: the sheets of a clinic, uploaded as they come, twice, in parts and in any order.

use super::CATALOG;
use anyhow::{Context, Result};
use once_tests::postgres::Client;
use once_tests::promo::{call, imported, refused, refused_well, text, texts};
use once_tests::{Db, Value, json, workspace};
use std::fs;

/// A sheet: rows, those that are new when the sheets are uploaded in this order, those of records that are there, those
/// that are none; and the records of its table after all sheets.
const SHEETS: [(&str, [i64; 4], i64); 8] = [
    ("patients", [25, 11, 9, 5], 12),
    ("doctors", [17, 9, 6, 2], 11),
    ("consultations", [28, 16, 5, 7], 16),
    ("procedure_prescriptions", [18, 12, 3, 3], 12),
    ("medicine_prescriptions", [18, 12, 3, 3], 12),
    ("invoices", [19, 12, 4, 3], 13),
    ("itemized_sales", [17, 12, 3, 2], 12),
    ("daily_doctor_sales", [19, 12, 3, 4], 12),
];

/// What names a record in the sheets: all else may be empty.
const KEYS: [&str; 11] = [
    "phone_no",
    "doctor_name",
    "phone",
    "doctor",
    "visit_date",
    "visit_time",
    "prescription_date",
    "procedure_code",
    "medicine_code",
    "invoice_code",
    "sale_date",
];

fn install(label: &str) -> Result<(Db, Client)> {
    let db = Db::new(label)?;
    let mut client = db.client()?;
    call(&mut client, "install_kit('clinic', 'public')", &[])?;
    Ok((db, client))
}

fn sheet(name: &str) -> Result<Vec<Value>> {
    let path = workspace().join("tests/clients/clinic").join(format!("{name}.json"));
    Ok(serde_json::from_str(&fs::read_to_string(path)?)?)
}

fn upload(client: &mut Client, name: &str, rows: &[Value]) -> Result<Value> {
    let answer = call(client, "ingest($1, $2)", &[&name, &Value::Array(rows.to_vec())])?;
    imported(&answer).context(name.to_owned())?;
    Ok(answer)
}

/// New rows, those of records that are there, those that are none.
fn counts(answer: &Value) -> [i64; 4] {
    let sum = |names: &[&str]| names.iter().map(|name| answer[*name].as_i64().unwrap_or(-100)).sum();
    [sum(&["total"]), sum(&["inserted"]), sum(&["updated", "unchanged", "duplicate"]), sum(&["ambiguous", "rejected"])]
}

/// All that is in the tables, with what people call it in place of the numbers that the database gave.
fn content(client: &mut Client) -> Result<Vec<String>> {
    let mut all = Vec::new();
    for (table, ..) in SHEETS {
        let sql = format!(
            "SELECT concat('{table} ', (SELECT jsonb_object_agg(key, CASE
                 WHEN key = 'patient_id' THEN (SELECT to_jsonb(phone_no) FROM patients p WHERE p.patient_id = value::bigint)
                 WHEN key IN ('doctor_id', 'prescribing_doctor_id') THEN (SELECT to_jsonb(doctor_name) FROM doctors d WHERE d.doctor_id = value::bigint)
                 WHEN key = 'invoice_id' THEN (SELECT to_jsonb(invoice_code) FROM invoices i WHERE i.invoice_id = value::bigint)
                 ELSE value END)
               FROM jsonb_each(to_jsonb(t) - 'import_job_id' - 'created_at') WHERE value <> 'null' AND key NOT IN ('consultation_id', 'prescription_id', 'sale_id', 'daily_sale_id')))
             FROM {table} t ORDER BY 1"
        );
        all.extend(texts(client, &sql)?);
    }
    Ok(all)
}

/// Where each row lies, and who wrote it.
fn places(client: &mut Client) -> Result<Vec<String>> {
    let parts: Vec<String> =
        SHEETS.iter().map(|(t, ..)| format!("SELECT concat('{t} ', ctid, xmin) FROM {t}")).collect();
    texts(client, &format!("{} ORDER BY 1", parts.join(" UNION ALL ")))
}

fn upload_all(client: &mut Client) -> Result<Vec<Value>> {
    SHEETS.iter().map(|(name, ..)| upload(client, name, &sheet(name)?)).collect()
}

#[test]
fn the_sheets_are_taken_in_once() -> Result<()> {
    let (_db, mut client) = install("sheets")?;
    let first = upload_all(&mut client)?;
    for ((name, expected, _), answer) in SHEETS.iter().zip(&first) {
        assert_eq!(counts(answer), *expected, "{name}: {answer}");
    }
    for (name, _, records) in SHEETS {
        assert_eq!(text(&mut client, &format!("SELECT count(*)::text FROM {name}"))?, records.to_string(), "{name}");
    }
    assert_eq!(text(&mut client, "SELECT sum(total_amount)::text FROM invoices")?, "4163.92");
    let before = places(&mut client)?;
    let second = upload_all(&mut client)?;
    for ((name, expected, _), answer) in SHEETS.iter().zip(&second) {
        let [rows, new, again, none] = *expected;
        assert_eq!(counts(answer), [rows, 0, new + again, none], "{name}: {answer}");
        assert_eq!(answer["updated"], 0, "{name}: {answer}");
    }
    assert_eq!(places(&mut client)?, before);
    for answer in first.iter().chain(&second) {
        let verdict = call(&mut client, "verify_import_job($1)", &[&imported(answer)?])?;
        assert_eq!(
            verdict["expected_count"],
            answer["inserted"].as_i64().unwrap_or(-1) + answer["updated"].as_i64().unwrap_or(-1)
        );
    }
    Ok(())
}

#[test]
fn parts_of_sheets_in_any_order_leave_the_same() -> Result<()> {
    let (_db, mut client) = install("whole")?;
    upload_all(&mut client)?;
    let expected = content(&mut client)?;
    let halves = |name: &str| -> Result<[Vec<Value>; 2]> {
        let rows = sheet(name)?;
        let third = rows.len() / 3;
        Ok([rows[..rows.len() - third].to_vec(), rows[third..].to_vec()])
    };
    for (what, order, backwards) in [("first half", [0, 1], false), ("last half, last sheet", [1, 0], true)] {
        let (_db, mut client) = install("parts")?;
        let mut sheets = SHEETS.to_vec();
        if backwards {
            sheets.reverse();
        }
        for half in order {
            for (name, ..) in &sheets {
                upload(&mut client, name, &halves(name)?[half])?;
            }
        }
        let found = content(&mut client)?;
        let missing: Vec<_> = expected.iter().filter(|row| !found.contains(row)).collect();
        let more: Vec<_> = found.iter().filter(|row| !expected.contains(row)).collect();
        assert_eq!((&missing, &more), (&Vec::new(), &Vec::new()), "{what} first");
        assert_eq!(found.len(), expected.len(), "{what}");
    }
    Ok(())
}

/// The rows of a sheet that are some, as a second upload tells.
fn taken(client: &mut Client, name: &str) -> Result<Vec<Value>> {
    let rows = sheet(name)?;
    let sql = "SELECT row_number FROM once.ingest_rows($1, $2) WHERE outcome NOT IN ('rejected', 'ambiguous')";
    let numbers = client.query(sql, &[&name, &Value::Array(rows.clone())])?;
    numbers.iter().map(|row| Ok(rows[usize::try_from(row.try_get::<_, i64>(0)?)? - 1].clone())).collect()
}

#[test]
fn empty_cells_lose_nothing() -> Result<()> {
    let (_db, mut client) = install("empty")?;
    upload_all(&mut client)?;
    let before = places(&mut client)?;
    let empty = [json!(""), Value::Null, json!("  \u{a0}")];
    for (name, ..) in SHEETS {
        let is_key = |field: &str| match name {
            "doctors" => field == "doctor_name",
            "invoices" | "itemized_sales" => field == "invoice_code",
            _ => KEYS.contains(&field),
        };
        let taken = taken(&mut client, name)?;
        let (mut emptied, mut left_out) = (taken.clone(), taken);
        for (n, row) in emptied.iter_mut().filter_map(Value::as_object_mut).enumerate() {
            let others = row.iter_mut().filter(|(field, _)| !is_key(field)).enumerate();
            others.for_each(|(at, (_, cell))| *cell = empty[(n + at) % empty.len()].clone());
        }
        for row in left_out.iter_mut().filter_map(Value::as_object_mut) {
            row.retain(|field, _| is_key(field));
        }
        for rows in [emptied, left_out] {
            let answer = upload(&mut client, name, &rows)?;
            assert_eq!((&answer["inserted"], &answer["updated"]), (&json!(0), &json!(0)), "{name}: {answer}");
        }
    }
    assert_eq!(places(&mut client)?, before);
    Ok(())
}

#[test]
fn a_visit_without_a_time_is_one() -> Result<()> {
    let (_db, mut client) = install("timeless")?;
    let visit = json!({"phone": "012-345 6789", "doctor": "Dr  Lim", "visit_date": "2024-01-02", "notes": "first"});
    let mut rows = vec![visit.clone()];
    for (field, value) in [
        ("visit_time", Value::Null),
        ("visit_time", json!("")),
        ("phone", json!("+60 12 345 6789")),
        ("doctor", json!("Dr Lim ")),
    ] {
        let mut other = visit.clone();
        other[field] = value;
        rows.push(other);
    }
    assert_eq!(counts(&upload(&mut client, "consultations", &rows)?), [5, 1, 4, 0]);
    for row in &rows {
        let answer = upload(&mut client, "consultations", std::slice::from_ref(row))?;
        assert_eq!(answer["unchanged"], 1, "{row}: {answer}");
    }
    let again = "INSERT INTO consultations (patient_id, doctor_id, visit_date) SELECT patient_id, doctor_id, visit_date FROM consultations RETURNING 1";
    let error = refused(&mut client, again, &[])?;
    assert_eq!((error.code().code(), error.constraint()), ("23505", Some("consultations_unique_visit")));
    // A time is another visit.
    let mut other = visit.clone();
    other["visit_time"] = json!("09:30");
    assert_eq!(upload(&mut client, "consultations", &[other])?["inserted"], 1);
    let counted = "SELECT concat_ws(' ', (SELECT count(*) FROM consultations), (SELECT count(*) FROM patients), (SELECT count(*) FROM doctors))";
    assert_eq!(text(&mut client, counted)?, "2 1 1");
    Ok(())
}

/// All sheets are undone, from the last to the first: nothing is left, nor anything lost that was there.
#[test]
fn all_sheets_are_undone() -> Result<()> {
    let (_db, mut client) = install("all_undone")?;
    client.batch_execute("INSERT INTO patients (phone_no, patient_name, notes) VALUES ('+60123456789', 'Reception', 'mine'); INSERT INTO doctors (doctor_name) VALUES ('Dr Own')")?;
    let before = content(&mut client)?;
    let jobs = upload_all(&mut client)?;
    for answer in jobs.iter().rev() {
        let undone = call(&mut client, "rollback_import_job($1)", &[&imported(answer)?])?;
        assert_eq!((&undone["kept"], &undone["errored"]), (&json!(0), &json!(0)), "{undone}");
    }
    assert_eq!(content(&mut client)?, before);
    Ok(())
}

#[test]
fn installing_twice_is_installing_once_and_a_prefix_another() -> Result<()> {
    let (_db, mut client) = install("clinics")?;
    let names: Vec<&str> = SHEETS.iter().map(|(name, ..)| *name).collect();
    upload(&mut client, "patients", &sheet("patients")?)?;
    let prefixed = call(&mut client, "install_kit('clinic', 'public', 'branch_of_petaling_jaya_')", &[])?;
    let targets: Vec<String> = names.iter().map(|name| format!("branch_of_petaling_jaya_{name}")).collect();
    assert_eq!(prefixed["targets"], json!(targets));
    let before = texts(&mut client, CATALOG)?;
    let again = call(&mut client, "install_kit('clinic', 'public')", &[])?;
    assert_eq!(
        (&again["created"], &again["targets"], &again["target"]),
        (&json!([]), &json!(names), &json!("patients"))
    );
    assert_eq!(texts(&mut client, CATALOG)?, before);
    // The branch's own doctors and patients.
    let answer = upload(&mut client, "branch_of_petaling_jaya_consultations", &sheet("consultations")?)?;
    assert_eq!(counts(&answer), [28, 16, 5, 7], "{answer}");
    assert_eq!(
        text(&mut client, "SELECT concat((SELECT count(*) FROM patients), ' ', (SELECT count(*) FROM doctors))")?,
        "11 0"
    );
    client.batch_execute("CREATE SCHEMA other")?;
    assert_eq!(refused_well(&mut client, "SELECT once.install_kit('clinic', 'other')", &[])?, "42710");

    let silent = "SELECT relname::text FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'v') AND obj_description(oid, 'pg_class') IS NULL";
    assert_eq!(texts(&mut client, silent)?, [""; 0]);
    let unindexed = "SELECT concat(conrelid::regclass, ' ', conname) FROM pg_constraint f WHERE contype = 'f'
                     AND NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = f.conrelid AND i.indkey[0] = f.conkey[1])";
    assert_eq!(texts(&mut client, unindexed)?, [""; 0]);
    let inexact = "SELECT concat(attrelid::regclass, '.', attname) FROM pg_attribute WHERE atttypid IN ('float4'::regtype, 'float8'::regtype, 'money'::regtype) AND attrelid > 16383";
    assert_eq!(texts(&mut client, inexact)?, [""; 0]);
    // Without the extension all of it stays, constraints and all.
    let rows = places(&mut client)?;
    client.batch_execute("DROP EXTENSION pg_once")?;
    assert_eq!(places(&mut client)?, rows);
    let twice = "INSERT INTO patients (phone_no) SELECT phone_no FROM patients LIMIT 1 RETURNING 1";
    assert_eq!(refused(&mut client, twice, &[])?.code().code(), "23505");
    client.batch_execute("CREATE EXTENSION pg_once SCHEMA once")?;
    assert_eq!(call(&mut client, "install_kit('clinic', 'public')", &[])?["created"], json!([]));
    assert_eq!(upload(&mut client, "patients", &sheet("patients")?)?["updated"], 0);
    assert_eq!(places(&mut client)?, rows);
    Ok(())
}

#[test]
fn existing_tables_are_adopted_or_refused_with_what_they_lack() -> Result<()> {
    for (tables, code) in [
        (
            "CREATE TABLE patients (patient_id bigint PRIMARY KEY, phone_no text UNIQUE); CREATE TABLE consultations (id uuid PRIMARY KEY, patient_id bigint)",
            "42703",
        ),
        ("CREATE TABLE patients (id uuid PRIMARY KEY, phone_no text UNIQUE)", "42804"),
        ("CREATE TABLE patients (phone_no text UNIQUE)", "42703"),
        ("CREATE TABLE patients (patient_id bigint, phone_no text UNIQUE)", "42P10"),
        ("CREATE TABLE patients (patient_id bigint PRIMARY KEY, phone_no text)", "42P10"),
        ("CREATE TABLE doctors (a bigint, b bigint, doctor_name text UNIQUE, PRIMARY KEY (a, b))", "42P10"),
        ("CREATE VIEW invoices AS SELECT 1 AS invoice_id", "42809"),
    ] {
        let db = Db::new("misfit")?;
        let mut client = db.client()?;
        client.batch_execute(tables)?;
        assert_eq!(
            refused_well(&mut client, "SELECT once.install_kit('clinic', 'public')", &[]).context(tables)?,
            code,
            "{tables}"
        );
        assert_eq!(text(&mut client, "SELECT count(*)::text FROM once.targets")?, "0");
    }
    Ok(())
}

#[test]
fn an_existing_table_is_adopted_with_its_rows_and_its_own_key() -> Result<()> {
    for serial in ["bigserial", "serial"] {
        let db = Db::new("adopted_clinic")?;
        let mut client = db.client()?;
        client.batch_execute(&format!(
            "CREATE TABLE patients (id {serial} PRIMARY KEY, phone_no text UNIQUE, patient_name text, allergies text NOT NULL DEFAULT 'none');
             INSERT INTO patients (phone_no, patient_name) VALUES ('+60123456789', 'Reception'), (NULL, 'No phone')"
        ))?;
        let rows = "SELECT concat_ws('|', ctid, xmin, id, phone_no, patient_name, allergies) FROM patients ORDER BY id";
        let before = texts(&mut client, rows)?;
        let answer = call(&mut client, "install_kit('clinic', 'public')", &[]).context(serial)?;
        assert_eq!(answer["adopted"], json!(["public.patients"]), "{answer}");
        assert_eq!(texts(&mut client, rows)?, before);
        upload_all(&mut client)?;
        // The sheets' 12, one of whom reception knew, and the one without a phone.
        assert_eq!(text(&mut client, "SELECT count(*)::text FROM patients")?, "13");
        assert_eq!(text(&mut client, "SELECT id::text FROM patients WHERE phone_no = '+60123456789'")?, "1");
        assert_eq!(text(&mut client, "SELECT sum(total_amount)::text FROM invoices")?, "4163.92");
        let places = "SELECT string_agg(concat(ctid, xmin), ',' ORDER BY ctid) FROM patients";
        let before = text(&mut client, places)?;
        upload_all(&mut client)?;
        assert_eq!(text(&mut client, places)?, before);
    }
    Ok(())
}
