//! Who may do what: no grants, an importer's grants, and two merchants that know nothing of each other.

use anyhow::{Result, ensure};
use once_tests::files::{File, begin, load, names, status};
use once_tests::postgres::Client;
use once_tests::promo::{
    self, A, B, call, codes, copy, imported, mark, produce, refused, refused_well, stage, text, texts,
};
use once_tests::{Db, Uuid, json};

/// The kit, and an importer of merchant A: a role with the importer's grants that is a member of A.
fn with_importer(label: &str) -> Result<(Db, Client, Client)> {
    let (db, mut owner) = promo::install(label)?;
    let session = importer(&db, &mut owner, A)?;
    Ok((db, owner, session))
}

fn importer(db: &Db, owner: &mut Client, merchant: Uuid) -> Result<Client> {
    let role = db.create_role("importer")?;
    owner.execute("SELECT once.grant_import_access('codes', $1)", &[&role])?;
    owner
        .execute("INSERT INTO merchant_members (merchant_id, role) VALUES ($1, $2::text::name)", &[&merchant, &role])?;
    db.client_as(&role)
}

#[test]
fn a_role_without_grants_is_told_what_it_lacks_and_changes_nothing() -> Result<()> {
    let (db, mut owner) = promo::install("stranger")?;
    load(&mut owner, &File::new("a.csv", [(A, "a"), (A, "a")]))?;
    let job = imported(&promo::import(&mut owner, A)?)?;
    let role = db.create_role("stranger")?;
    owner.batch_execute(&format!("GRANT USAGE ON SCHEMA once TO \"{role}\""))?;
    let state = "SELECT string_agg(row, ';') FROM (
                   SELECT concat(ctid, xmin, t::text) AS row FROM codes t UNION ALL SELECT concat(ctid, xmin, t::text) FROM codes_check_temp t
                   UNION ALL SELECT concat(ctid, xmin, t::text) FROM once.import_jobs t
                   UNION ALL SELECT concat(ctid, xmin, t::text) FROM once.staged_files t
                   UNION ALL SELECT concat(ctid, xmin, t::text) FROM once.targets t) all_rows";
    let before = text(&mut owner, state)?;
    let mut session = db.client_as(&role)?;
    for function in [
        "mark_duplicates_in_temp($1)",
        "validate_clean_codes_for_insert($1)",
        "insert_clean_codes_to_production($1)",
        "get_duplicate_report($1)",
        "clear_temp_data($1)",
        "begin_file('codes', repeat('0', 64), $1::uuid::text)",
        "end_file('codes', repeat('0', 64), 'f', jsonb_build_object($1::uuid::text, 1))",
        "staging_status('codes', $1::uuid::text)",
        "recover_staging('codes', ARRAY[$1::uuid::text])",
    ] {
        let code = refused_well(&mut session, &format!("SELECT once.{function}"), &[&A])?;
        assert_eq!(code, "42501", "{function}");
    }
    let install = "SELECT once.install_kit('promo_codes', 'public')";
    assert_eq!(refused_well(&mut session, install, &[])?, "42501");
    // Nor is there a way around the functions.
    let forge = "INSERT INTO once.staged_files (staging_schema, staging_name, scope, sha256, name, rows)
                 VALUES ('public', 'codes_check_temp', $1::uuid::text, repeat('1', 64), 'f', 1)";
    assert_eq!(refused(&mut session, forge, &[&A])?.code().code(), "42501");
    assert_eq!(texts(&mut session, "SELECT name FROM once.staged_files")?, [""; 0]);
    // The hint is the statement that helps.
    let error = refused(&mut session, "SELECT once.mark_duplicates_in_temp($1)", &[&A])?;
    let statement = promo::advised(&error)?;
    assert_eq!(text(&mut owner, state)?, before);
    owner.batch_execute(&statement)?;
    mark(&mut session, A)?;
    assert_eq!(text(&mut owner, "SELECT count(*)::text FROM codes")?, "1");
    assert_eq!(call(&mut owner, "verify_import_job($1)", &[&job])?["verified"], true);
    Ok(())
}

/// To whom may not see them, jobs look as if they did not exist.
#[test]
fn a_role_without_grants_knows_of_no_job() -> Result<()> {
    let (db, mut owner) = promo::install("jobless")?;
    stage(&mut owner, A, &["a"])?;
    let job = imported(&promo::import(&mut owner, A)?)?;
    let role = db.create_role("jobless")?;
    owner.batch_execute(&format!("GRANT USAGE ON SCHEMA once TO \"{role}\""))?;
    let mut session = db.client_as(&role)?;
    for function in ["verify_import_job($1)", "rollback_import_job($1)"] {
        let code = refused_well(&mut session, &format!("SELECT once.{function}"), &[&job])?;
        assert_eq!(code, "P0002", "{function}");
    }
    assert_eq!(codes(&mut owner, A)?, ["a"]);
    Ok(())
}

#[test]
fn a_role_that_holds_nothing_can_grant_nothing() -> Result<()> {
    let (db, mut owner) = promo::install("grants")?;
    let role = db.create_role("granter")?;
    owner.batch_execute(&format!("GRANT USAGE ON SCHEMA once TO \"{role}\""))?;
    let grant = format!("SELECT once.grant_import_access('codes', '{role}')");
    assert_eq!(refused_well(&mut db.client_as(&role)?, &grant, &[])?, "42501");
    Ok(())
}

#[test]
fn an_importer_can_do_the_whole_journey_and_no_more() -> Result<()> {
    let (_db, mut owner, mut session) = with_importer("journey")?;
    produce(&mut owner, A, &["old"])?;
    let file = File::new("a.csv", ["a", "b", "a", "old"].map(|code| (A, code)));
    assert_eq!((load(&mut session, &file)?, load(&mut session, &file)?), (4, 0));
    let rejected = "SELECT once.end_file('codes', $1, 'a.csv', '{}', '[{\"line\": 5, \"reason\": \"r\"}]')";
    for _ in 0..2 {
        session.execute(rejected, &[&file.sha256(&mut owner)?])?;
    }
    assert_eq!(texts(&mut session, "SELECT file FROM once.import_rejects")?, ["a.csv"]);
    assert_eq!(names(&mut session, A)?, ["a.csv"]);
    let marked = mark(&mut session, A)?;
    assert_eq!([&marked["internal_duplicates"], &marked["database_duplicates"]], [&json!(1), &json!(1)]);
    assert_eq!(call(&mut session, "validate_clean_codes_for_insert($1)", &[&A])?["valid"], true);
    assert_eq!(session.query("SELECT FROM once.get_duplicate_report($1)", &[&A])?.len(), 4);
    let job = imported(&promo::insert(&mut session, A)?)?;
    assert_eq!(codes(&mut session, A)?, ["a", "b", "old"]);
    assert_eq!(call(&mut session, "verify_import_job($1)", &[&job])?["verified"], true);
    assert_eq!(texts(&mut session, "SELECT status FROM codes_import_jobs")?, ["completed"]);

    for sql in [
        "UPDATE codes SET claimed = true",
        "TRUNCATE codes",
        "TRUNCATE codes_check_temp",
        "DELETE FROM once.import_jobs",
        "TRUNCATE once.import_jobs",
        "TRUNCATE once.staged_files",
        "TRUNCATE once.import_rejects",
        "UPDATE once.import_rejects SET reason = 'none'",
        "UPDATE once.staged_files SET sha256 = repeat('0', 64)",
        "UPDATE once.targets SET spec = '{}'",
        "INSERT INTO merchant_members SELECT merchant_id, 'public' FROM merchant_members",
        "UPDATE merchant_members SET merchant_id = gen_random_uuid()",
        "ALTER TABLE codes DISABLE ROW LEVEL SECURITY",
        "SELECT once.drop_target('codes')",
    ] {
        assert_eq!(refused(&mut session, sql, &[])?.code().code(), "42501", "{sql}");
    }
    assert_eq!(call(&mut session, "rollback_import_job($1)", &[&job])?["codes_deleted"], 2);
    assert_eq!(call(&mut session, "clear_temp_data($1)", &[&A])?["rows_deleted"], 4);
    assert_eq!(codes(&mut owner, A)?, ["old"]);
    assert_eq!(load(&mut session, &file)?, 4);
    Ok(())
}

#[test]
fn a_member_knows_nothing_of_another_merchant() -> Result<()> {
    let (db, mut owner, mut session) = with_importer("apart")?;
    produce(&mut owner, B, &["secret"])?;
    let mut other = importer(&db, &mut owner, B)?;
    stage(&mut other, B, &["secret2"])?;
    let theirs = imported(&promo::import(&mut other, B)?)?;
    call(&mut other, "clear_temp_data($1)", &[&B])?;

    assert_eq!(codes(&mut session, B)?, [""; 0]);
    assert_eq!(texts(&mut session, "SELECT id::text FROM codes_import_jobs")?, [""; 0]);
    assert_eq!(texts(&mut session, "SELECT role::text FROM merchant_members WHERE role <> current_user")?, [""; 0]);
    assert_eq!(session.execute("DELETE FROM codes", &[])?, 0);
    // Neither a setting nor a role that is not theirs opens anything.
    session.batch_execute(&format!("SET request.jwt.claim.sub = '{B}'; SET app.merchant_id = '{B}'"))?;
    assert_eq!(codes(&mut session, B)?, [""; 0]);

    // B's jobs and codes look as if they did not exist: the same answers as for a merchant that is unknown.
    let unknown = Uuid::from_u128(7);
    for job in [theirs, unknown] {
        for function in ["verify_import_job", "rollback_import_job"] {
            assert_eq!(refused(&mut session, &format!("SELECT once.{function}($1)"), &[&job])?.code().code(), "P0002");
        }
    }
    for merchant in [B, unknown] {
        let error = refused(&mut session, "SELECT once.mark_duplicates_in_temp($1)", &[&merchant])?;
        assert_eq!(error.code().code(), "P0002", "{merchant}");
    }

    // What they stage for B by themselves is flagged by nothing, and goes nowhere.
    let mut messages = Vec::new();
    for code in ["secret", "secret2", "never seen"] {
        stage(&mut session, B, &[code])?;
        assert_eq!(mark(&mut session, B)?["database_duplicates"], 0, "{code}");
        let error = refused(&mut session, "SELECT once.insert_clean_codes_to_production($1)", &[&B])?;
        assert_eq!(error.code().code(), "42501", "{code}");
        messages.push(format!("{} {:?} {:?}", error.message(), error.detail(), error.hint()));
        call(&mut session, "clear_temp_data($1)", &[&B])?;
    }
    assert!(messages.iter().all(|message| *message == messages[0]), "{messages:?}");
    assert_eq!(codes(&mut owner, B)?, ["secret", "secret2"]);
    assert_eq!(call(&mut owner, "verify_import_job($1)", &[&theirs])?["verified"], true);

    // And a code of B's is no obstacle for A.
    stage(&mut session, A, &["secret"])?;
    imported(&promo::import(&mut session, A)?)?;
    Ok(())
}

#[test]
fn no_member_can_delete_a_claimed_code() -> Result<()> {
    let (_db, mut owner, mut session) = with_importer("promise")?;
    stage(&mut session, A, &["a", "b", "c"])?;
    let job = imported(&promo::import(&mut session, A)?)?;
    owner.execute("UPDATE codes SET claimed = true WHERE code = 'b'", &[])?;
    assert_eq!(session.execute("DELETE FROM codes WHERE code = 'b'", &[])?, 0);
    let answer = call(&mut session, "rollback_import_job($1)", &[&job])?;
    assert_eq!((&answer["success"], &answer["codes_kept"]), (&json!(false), &json!(1)));
    assert_eq!(codes(&mut owner, A)?, ["a", "b", "c"]);
    let answer = call(&mut session, "rollback_import_job($1, true)", &[&job])?;
    assert_eq!(
        (&answer["success"], &answer["codes_deleted"], &answer["codes_kept"]),
        (&json!(true), &json!(2), &json!(1))
    );
    assert_eq!(codes(&mut owner, A)?, ["b"]);
    Ok(())
}

#[test]
fn a_colleague_of_the_same_merchant_verifies_and_undoes() -> Result<()> {
    let (db, mut owner, mut session) = with_importer("colleague")?;
    let mut colleague = importer(&db, &mut owner, A)?;
    stage(&mut session, A, &["a", "b"])?;
    let job = imported(&promo::import(&mut session, A)?)?;
    assert_eq!(call(&mut colleague, "verify_import_job($1)", &[&job])?["verified"], true);
    assert_eq!(call(&mut colleague, "rollback_import_job($1)", &[&job])?["codes_deleted"], 2);
    assert_eq!(texts(&mut session, "SELECT status FROM codes_import_jobs")?, ["rolled_back"]);
    Ok(())
}

/// A job says by itself which table and column it wrote to. An importer may write jobs, but must not have an
/// administrator's rollback delete by a column of the importer's choice.
#[test]
fn a_forged_job_makes_nobody_delete_what_it_did_not_write() -> Result<()> {
    let (_db, mut owner, mut session) = with_importer("forged")?;
    let customer = Uuid::from_u128(0xc0ffee);
    produce(&mut owner, A, &["a", "b"])?;
    owner.execute("UPDATE codes SET claimed = true, claimed_customer_id = $1", &[&customer])?;
    let forged = session.batch_execute(&format!(
        r#"INSERT INTO once.import_jobs (id, target, scope, relation_schema, relation_name, spec)
           VALUES ('{customer}', 'codes', '{A}', 'public', 'codes',
                   '{{"key": ["code"], "scope": "merchant_id", "job_column": "claimed_customer_id"}}');
           UPDATE once.import_jobs SET status = 'validating' WHERE id = '{customer}';
           UPDATE once.import_jobs SET status = 'processing' WHERE id = '{customer}';
           UPDATE once.import_jobs SET status = 'completed', rows_written = 2 WHERE id = '{customer}'"#
    ));
    let undone = owner.query("SELECT once.rollback_import_job($1)", &[&customer]);
    assert_eq!(codes(&mut owner, A)?, ["a", "b"], "forged: {forged:?}; undone: {undone:?}");
    Ok(())
}

/// Nor is a job on a table of one's own, with triggers and policies of one's own, taken for one of the kit's.
#[test]
fn a_job_on_ones_own_table_is_not_filed_under_anothers_target() -> Result<()> {
    let (db, mut owner, mut session) = with_importer("filed")?;
    let forger = text(&mut session, "SELECT current_user::text")?;
    owner.batch_execute(&format!("CREATE SCHEMA own AUTHORIZATION \"{forger}\""))?;
    session.batch_execute("CREATE TABLE own.codes (merchant_id uuid, code text, import_job_id uuid)")?;
    let file = format!(
        r#"INSERT INTO once.import_jobs (id, target, scope, relation_schema, relation_name, spec)
           VALUES (gen_random_uuid(), 'codes', '{A}', 'own', 'codes', '{{"key": ["code"], "scope": "merchant_id"}}')"#
    );
    assert_eq!(refused_well(&mut session, &file, &[])?, "42501");
    drop(db);
    Ok(())
}

/// Being a member of a merchant is not the right to undo what its importers did, nor to say so.
#[test]
fn a_member_who_may_not_delete_closes_no_job() -> Result<()> {
    let (db, mut owner, mut importer) = with_importer("member")?;
    stage(&mut importer, A, &["a"])?;
    let job = imported(&promo::import(&mut importer, A)?)?;
    let role = db.create_role("member")?;
    owner.batch_execute(&format!("GRANT USAGE ON SCHEMA once TO \"{role}\"; GRANT SELECT ON codes TO \"{role}\""))?;
    owner.execute("INSERT INTO merchant_members (merchant_id, role) VALUES ($1, $2::text::name)", &[&A, &role])?;
    let mut member = db.client_as(&role)?;
    assert_eq!(call(&mut member, "verify_import_job($1)", &[&job])?["verified"], true);
    let close = "UPDATE once.import_jobs SET status = 'rolled_back', rows_kept = 0, rolled_back_at = now()";
    assert_eq!(member.execute(close, &[])?, 0);
    for table in ["import_jobs", "staging_checks", "stagings", "staged_files", "import_rejects"] {
        let lock = format!("LOCK TABLE once.{table} IN ACCESS EXCLUSIVE MODE");
        let error = member.transaction()?.batch_execute(&lock);
        assert_eq!(error.err().as_ref().and_then(once_tests::sqlstate), Some("42501"), "{table}");
    }
    assert_eq!(call(&mut importer, "rollback_import_job($1)", &[&job])?["codes_deleted"], json!(1));
    Ok(())
}

/// A rejected row may be anybody's: who brought it and the owner of the table see it, and nobody else.
#[test]
fn rejects_are_for_who_brought_them_and_for_the_owner() -> Result<()> {
    let (db, mut superuser) = promo::install("rejects")?;
    let [owner, importer, colleague] = ["owner", "importer", "colleague"].map(|role| db.create_role(role));
    let (owner, importer, colleague) = (owner?, importer?, colleague?);
    superuser.batch_execute(&format!(
        "GRANT USAGE ON SCHEMA once TO \"{owner}\" WITH GRANT OPTION; CREATE SCHEMA own AUTHORIZATION \"{owner}\""
    ))?;
    let mut of_owner = db.client_as(&owner)?;
    of_owner.batch_execute(&format!(
        r#"CREATE TABLE own.cards (org integer, k text, import_job_id uuid, UNIQUE (org, k));
           SELECT once.create_target('cards', 'own.cards', '{{"key": ["k"], "scope": "org"}}');
           SELECT once.grant_import_access('cards', r) FROM unnest(ARRAY['{importer}', '{colleague}']) r"#
    ))?;
    let mut of_importer = db.client_as(&importer)?;
    copy(&mut of_importer, "own.cards_staging (org, k)", &[vec![Some("7"), Some("a")]])?;
    let end = r#"SELECT once.end_file('cards', repeat('0', 64), 'f', '{"7": 1}', '[{"line": 2, "value": "secret", "reason": "r"}]')"#;
    of_importer.execute(end, &[])?;
    let mut of_colleague = db.client_as(&colleague)?;
    let seen = "SELECT value FROM once.import_rejects";
    assert_eq!(texts(&mut of_importer, seen)?, ["secret"]);
    assert_eq!(texts(&mut of_owner, seen)?, ["secret"]);
    assert_eq!(texts(&mut of_colleague, seen)?, [""; 0]);
    // The staging table is the importers' together, and so is the list of what is in it.
    let listed = "SELECT name FROM once.begin_file('cards', repeat('0', 64))";
    assert_eq!(texts(&mut of_colleague, listed)?, ["f"]);
    Ok(())
}

/// What a group has loaded, its members see, and load again: their rejects are in nobody's way.
#[test]
fn a_member_of_a_group_loads_its_file_again() -> Result<()> {
    let (db, mut owner) = promo::install("group")?;
    let (group, member) = (db.create_role("group")?, db.create_role("member")?);
    owner.batch_execute(&format!(
        "SELECT once.grant_import_access('codes', '{group}'); GRANT \"{group}\" TO \"{member}\""
    ))?;
    let end = |role: &str, rejects: &str| -> Result<()> {
        let end = "SELECT once.end_file('codes', repeat('0', 64), 'f', '{}', $1::text::jsonb)";
        db.client_as(role)?.execute(end, &[&rejects])?;
        Ok(())
    };
    end(&group, r#"[{"line": 2, "reason": "r"}, {"line": 3, "reason": "r"}]"#)?;
    end(&member, r#"[{"line": 3, "reason": "r"}, {"line": 4, "reason": "r"}]"#)?;
    let open = "SELECT line::text FROM once.import_rejects WHERE resolved_at IS NULL ORDER BY 1";
    assert_eq!(texts(&mut db.client_as(&member)?, open)?, ["3", "4"]);
    Ok(())
}

/// Who may look and not touch is told what is there, or that he may not look.
#[test]
fn who_only_reads_is_told_no_untruth() -> Result<()> {
    let (db, mut owner) = promo::install("reader")?;
    load(&mut owner, &File::new("a.csv", [(A, "a"), (A, "b")]))?;
    mark(&mut owner, A)?;
    let role = db.create_role("reader")?;
    owner.batch_execute(&format!(
        "GRANT USAGE ON SCHEMA once TO \"{role}\"; GRANT SELECT ON codes, codes_check_temp TO \"{role}\""
    ))?;
    let mut reader = db.client_as(&role)?;
    let told = status(&mut reader, A);
    let report = "SELECT status FROM once.get_duplicate_report($1)";
    let rows = reader.query(report, &[&A]).map(|rows| rows.len());
    match told {
        Ok(told) => assert_eq!((told, rows?), (status(&mut owner, A)?, 2)),
        Err(error) => {
            let refused = error.downcast_ref().and_then(once_tests::sqlstate).map(str::to_owned);
            ensure!(refused.as_deref() == Some("42501"), "{error:#}");
        }
    }
    Ok(())
}

/// A staging table may have policies, if it is filled by INSERT: rows that are hidden are not gone.
#[test]
fn rows_that_a_policy_hides_are_not_taken_for_none() -> Result<()> {
    let (_db, mut owner, mut session) = with_importer("hidden")?;
    let file = File::new("b.csv", [(B, "b")]);
    load(&mut owner, &file)?;
    owner.batch_execute(
        "ALTER TABLE codes_check_temp ENABLE ROW LEVEL SECURITY; CREATE POLICY own ON codes_check_temp
         USING (merchant_id IN (SELECT merchant_id FROM merchant_members))",
    )?;
    begin(&mut session, &file)?;
    assert_eq!(begin(&mut owner, &file)?, [(B, 1)].into());
    Ok(())
}

/// Whoever owns a kit's table decides who sees what, so a stranger's is not adopted.
#[test]
fn a_strangers_table_is_not_adopted() -> Result<()> {
    let db = Db::new("adopted")?;
    let mut owner = db.client()?;
    let role = db.create_role("stranger")?;
    owner.batch_execute(&format!(
        "CREATE SCHEMA shop; CREATE TABLE shop.merchant_members (merchant_id uuid NOT NULL, role name NOT NULL);
         ALTER TABLE shop.merchant_members OWNER TO \"{role}\""
    ))?;
    assert_eq!(refused_well(&mut owner, "SELECT once.install_kit('promo_codes', 'shop')", &[])?, "42501");
    owner.batch_execute("ALTER TABLE shop.merchant_members OWNER TO CURRENT_USER")?;
    call(&mut owner, "install_kit('promo_codes', 'shop')", &[])?;
    Ok(())
}
