//! The one error type. Each variant is one cause, with its SQLSTATE, its values and the next step.

use once_core::document::Normalizer;
use once_core::ident::Relation;
use once_core::spec::SpecError;
use pgrx::pg_sys::errcodes::PgSqlErrorCode::{self, *};
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::spi::SpiError;

/// Everything that pg_once refuses or fails at by itself; what Postgres raises passes through as it is.
#[derive(Debug)]
pub enum OnceError {
    NullArgument { name: String },
    BadChunkSize { given: i64 },
    BadHash { given: String },
    BadMaximum { given: i64 },
    BadCount { scope: String, given: String },
    UnknownTarget { name: String },
    UnknownFeed { name: String },
    UnknownSource { name: String },
    FeedMoved { feed: String, target: String, relation: Relation, now: Relation },
    OthersFeed { feed: String, role: String },
    FeedExists { name: String, there: String, given: String },
    BadFeedSpec { feed: String, error: SpecError },
    NoFeedSource { feed: String },
    UntrustedFeed { feed: String, created_by: String, role: String },
    NoCron { cron_database: String },
    NoLeads { name: String, relation: Relation },
    UnknownKit { name: String, known: String },
    UnknownRole { name: String },
    UnknownSchema { name: String },
    UnknownScope { target: String, column: String, value: String },
    UnknownJob { id: String },
    UnknownRow { what: &'static str, id: String, relation: Relation },
    LedgerMoved { relation: Relation, org: String },
    OtherContent { attachment: String, message: String, relation: Relation },
    UnknownAccess { kind: String },
    BadSyncInfo { history_id: String },
    NotMessages,
    NoScope { target: String, given: String },
    BadPrefix { prefix: String },
    BadSpec { target: String, error: SpecError },
    BadJobSpec { job: String, error: SpecError },
    TargetExists { name: String, relation: String, registered: String, given: String },
    StagingTaken { staging: Relation, other: String },
    OthersTable { relation: Relation, owner: String },
    JobIdsTaken { relation: Relation, jobs: i64 },
    JobsElsewhere { schema: String },
    UntrustedJobs { relation: Relation, owner: String },
    NotATable { relation: Relation },
    RelationGone { relation: Relation },
    NotOwner { relation: Relation, role: String },
    OwnerChanged { target: String, registered_by: String },
    NoPrivilege { object: String, privilege: String, role: String, hint: String },
    NotGranted { what: String, role: String },
    MissingColumns { relation: Relation, columns: String, statement: String },
    WrongColumn { relation: Relation, column: String, is: String, must: String, statement: String },
    NoUniqueIndex { relation: Relation, columns: String, statement: String },
    LongName { name: String },
    NotCheckedSinceStaging { target: String, scope: String, now: i64, then: Option<i64> },
    StagingEmptied { target: String, staging: Relation, scope: String },
    RowNumbersRepeat { staging: Relation },
    JobState { id: String, status: String },
    RowsHidden { id: String, found: i64, written: i64 },
    RowsMoved { id: String, found: i64, written: i64 },
    ForeignRows { id: String, found: i64, written: i64 },
    Busy { relation: Relation, scope: String, holder: String },
    UnknownStatus { relation: Relation, statuses: String },
    WrongKind { name: String, is: String, must: String },
    NoTriggers { relation: Relation, kit: String, triggers: String },
    NoMail { name: String, relation: Relation },
    UnknownNormalizer { given: String },
    LongContent { bytes: usize, most: usize },
    BlankContent { bytes: usize },
    ReservedTag { tag: &'static str },
    OutOfReach { relation: Relation },
    NoDocumentKey { relation: Relation, columns: String, adopt: String, statement: String },
    NoRecords { target: String },
    UnknownDraft { draft: String, relation: Relation },
    NoChecksum { document: String, relation: Relation },
    NotAnObject { kind: String },
    MissingField { field: String },
    BadField { sqlstate: String, field: String, value: String, problem: String, must: String },
    OtherOwner { column: String, document: String, known: String, parsed: String },
    NoOwner { column: String, document: String },
    NotAUuid { id: String },
    NoDay { target: String, key: String },
    OldSnapshot,
    HiddenRows { relation: Relation },
    NullContent { relation: Relation, column: String, id: String, rows: i64 },
    RowsKept { relation: Relation, wanted: i64, changed: i64 },
    NotRows,
    NoPlan { given: String },
    Unsettled { relation: Relation },
    ImagesPruned { job: String },
    RecordsRenamed { job: String, relation: Relation, columns: String },
    NotCredible { job: String, relation: Relation, role: String },
    HiddenReferring { job: String, relation: Relation },
    UnknownRegion { given: String },
    Internal(String),
}

pub type Result<T> = std::result::Result<T, OnceError>;

impl From<SpiError> for OnceError {
    fn from(error: SpiError) -> Self {
        Self::Internal(error.to_string())
    }
}

struct Parts {
    sqlstate: PgSqlErrorCode,
    message: String,
    detail: String,
    hint: String,
}

fn parts(
    sqlstate: PgSqlErrorCode,
    message: impl Into<String>,
    detail: impl Into<String>,
    hint: impl Into<String>,
) -> Parts {
    Parts { sqlstate, message: message.into(), detail: detail.into(), hint: hint.into() }
}

impl OnceError {
    fn parts(&self) -> Parts {
        match self {
            Self::NullArgument { name } => parts(
                ERRCODE_NULL_VALUE_NOT_ALLOWED,
                format!("{name} must not be NULL"),
                format!("The argument {name} is NULL."),
                format!("Give a value for {name}."),
            ),
            Self::BadHash { given } => parts(
                ERRCODE_INVALID_PARAMETER_VALUE,
                "a file is named by the SHA-256 of its content",
                format!("\"{given}\" is none."),
                "Give 64 lower-case hex digits, as encode(sha256(content), 'hex') does.",
            ),
            Self::BadMaximum { given } => parts(
                ERRCODE_INVALID_PARAMETER_VALUE,
                "max_rows must be at least 1",
                format!("It is {given}."),
                "Leave it out for all rows.",
            ),
            Self::BadCount { scope, given } => parts(
                ERRCODE_INVALID_PARAMETER_VALUE,
                "the rows of a file are counted by scope",
                format!("The count of scope \"{scope}\" is {given}."),
                "Give {\"<scope>\": rows}, whole numbers from 0; the one key is empty where the target has no scope.",
            ),
            Self::BadChunkSize { given } => parts(
                ERRCODE_INVALID_PARAMETER_VALUE,
                "the chunk size must be at least 1",
                format!("It is {given}."),
                "Leave it out for the default of 100000 rows.",
            ),
            Self::UnknownTarget { name } => parts(
                ERRCODE_UNDEFINED_OBJECT,
                format!("target \"{name}\" does not exist"),
                "The view target_list shows the targets there are.",
                "Register the table with create_target(name, relation, spec), or install a kit with install_kit(kit, schema).",
            ),
            Self::UnknownFeed { name } => parts(
                ERRCODE_UNDEFINED_OBJECT,
                format!("feed \"{name}\" does not exist"),
                "The table feeds, in the extension's schema, has those that you may see.",
                "Make it with create_feed(name, target, spec).",
            ),
            Self::FeedMoved { feed, target, relation, now } => parts(
                ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
                format!("feed \"{feed}\" was made for another table"),
                format!(
                    "It was made for {relation}; its target \"{target}\" is registered on {now} now, which has none of the rows that it took."
                ),
                "drop_feed(name), and make it anew; or register the target on its table again.",
            ),
            Self::OthersFeed { feed, role } => parts(
                ERRCODE_INSUFFICIENT_PRIVILEGE,
                format!("feed \"{feed}\" is not yours to change"),
                format!("Role \"{role}\" neither made it nor owns its table."),
                "Ask who made it (created_by in the table feeds), or the owner of the table.",
            ),
            Self::UnknownSource { name } => parts(
                ERRCODE_UNDEFINED_TABLE,
                format!("the source {name} does not exist"),
                "A relation is named with its schema, since no search_path is followed.",
                "Give it as \"source\": {\"relation\": \"schema.table\"}.",
            ),
            Self::FeedExists { name, there, given } => parts(
                ERRCODE_DUPLICATE_OBJECT,
                format!("feed \"{name}\" exists already, with another target or spec"),
                format!("It is {there}; given was {given}."),
                "Take another name; or UPDATE its spec in the table feeds; or drop_feed(name) first, which forgets what it has taken.",
            ),
            Self::BadFeedSpec { feed, error } => parts(
                ERRCODE_INVALID_PARAMETER_VALUE,
                format!("invalid spec for feed \"{feed}\": {error}"),
                format!("Feed \"{feed}\", field \"{}\".", error.field),
                error.remedy.clone(),
            ),
            Self::NoFeedSource { feed } => parts(
                ERRCODE_NULL_VALUE_NOT_ALLOWED,
                format!("feed \"{feed}\" has no source, and no rows were given"),
                "Its spec names neither a relation nor a query to read.",
                "Give rows, as run_feed(feed, rows); or make the feed with \"source\": {\"relation\": \"schema.table\"}.",
            ),
            Self::UntrustedFeed { feed, created_by, role } => parts(
                ERRCODE_INSUFFICIENT_PRIVILEGE,
                format!("feed \"{feed}\" would run SQL of \"{created_by}\" with the rights of \"{role}\""),
                format!(
                    "Its source or recipients are SQL that \"{created_by}\" wrote, who may do less than \"{role}\"."
                ),
                format!(
                    "Read its spec in the table feeds; then SET ROLE {}, or take it over with UPDATE … SET created_by = current_user.",
                    once_core::ident::quote(created_by)
                ),
            ),
            Self::NoCron { cron_database } => parts(
                ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
                "pg_cron is not installed in this database",
                if cron_database.is_empty() {
                    String::from("The server has not loaded it.")
                } else {
                    format!("The server runs it in database \"{cron_database}\".")
                },
                "Set shared_preload_libraries = 'pg_cron' and cron.database_name to this database, restart, and CREATE EXTENSION pg_cron; or let another scheduler call run_feed, as once feed watch does.",
            ),
            Self::NoLeads { name, relation } => parts(
                ERRCODE_WRONG_OBJECT_TYPE,
                format!("feed \"{name}\" is not of a leads kit"),
                format!("It goes into {relation}."),
                "Call run_feed for it; or make a feed on the target that install_kit('leads', …) answers with.",
            ),
            Self::UnknownKit { name, known } => parts(
                ERRCODE_UNDEFINED_OBJECT,
                format!("kit \"{name}\" does not exist"),
                format!("The kits are: {known}."),
                "Name one of them.",
            ),
            Self::UnknownRole { name } => parts(
                ERRCODE_UNDEFINED_OBJECT,
                format!("role \"{name}\" does not exist"),
                "The role is taken literally, without quotes of its own.",
                "Create the role first, or mind its upper and lower case.",
            ),
            Self::UnknownSchema { name } => parts(
                ERRCODE_INVALID_SCHEMA_NAME,
                format!("schema \"{name}\" does not exist"),
                "A kit is installed into a schema that is there.",
                format!("CREATE SCHEMA {};", once_core::ident::quote(name)),
            ),
            Self::UnknownScope { target, column, value } => parts(
                ERRCODE_NO_DATA_FOUND,
                format!("unknown {column} {value}"),
                format!(
                    "Target \"{target}\" has no staged rows, no production rows and no jobs of it that you may see."
                ),
                format!("Check the {column}, and stage its rows first."),
            ),
            Self::UnknownJob { id } => parts(
                ERRCODE_NO_DATA_FOUND,
                format!("import job {id} does not exist"),
                "No job with this id is in import_jobs, or you may not see it.",
                "Look the id up in import_jobs.",
            ),
            Self::UnknownRow { what, id, relation } => parts(
                ERRCODE_NO_DATA_FOUND,
                format!("{what} {id} does not exist"),
                format!("{relation} has none with this id, or you may not see it."),
                "Insert it first, or let the owner of the tables make you a member of its org.",
            ),
            Self::LedgerMoved { relation, org } => parts(
                ERRCODE_T_R_SERIALIZATION_FAILURE,
                "could not serialize access to the ledger due to a concurrent event",
                format!("{relation} has events of org {org} that this transaction does not see."),
                "Run the transaction again.",
            ),
            Self::OtherContent { attachment, message, relation } => parts(
                ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
                format!("attachment {attachment} is stored with another content"),
                format!("{relation} has it of message {message}; what a message has attached never changes."),
                "Check which part of which message was downloaded.",
            ),
            Self::BadSyncInfo { history_id } => parts(
                ERRCODE_INVALID_PARAMETER_VALUE,
                "sync_info can not be read",
                format!(
                    "It is an object, its history_id a whole number of 0 or more, its correlation_id at most 1000 bytes; given as history_id is \"{history_id}\"."
                ),
                r#"Pass NULL, or an object such as {"history_id": "123456", "correlation_id": "…", "actor": "…"}."#,
            ),
            Self::NotMessages => parts(
                ERRCODE_INVALID_PARAMETER_VALUE,
                "messages is not an array",
                "It takes message resources of the Gmail API, as users.messages.get returns them.",
                "Pass them as one JSON array.",
            ),
            Self::UnknownAccess { kind } => parts(
                ERRCODE_INVALID_PARAMETER_VALUE,
                format!("there is no kind of access \"{kind}\""),
                "A service role synchronises mailboxes, a reader role reads them.",
                "Pass 'service' or 'reader'.",
            ),
            Self::NoScope { target, given } => parts(
                ERRCODE_INVALID_PARAMETER_VALUE,
                format!("target \"{target}\" has no scope"),
                format!("The scope given is \"{given}\"."),
                "Pass NULL as the scope of this target.",
            ),
            Self::BadPrefix { prefix } => parts(
                ERRCODE_INVALID_PARAMETER_VALUE,
                format!("\"{prefix}\" can't be the prefix of a kit's tables"),
                "A prefix is at most 24 lower-case letters, digits and underscores, and begins with no digit.",
                "Take one such as 'shop2_'.",
            ),
            Self::BadSpec { target, error } => parts(
                ERRCODE_INVALID_PARAMETER_VALUE,
                format!("invalid spec for target \"{target}\": {error}"),
                format!("Target \"{target}\", field \"{}\".", error.field),
                error.remedy.clone(),
            ),
            Self::BadJobSpec { job, error } => parts(
                ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
                format!("the recorded spec of job {job} can't be read: {error}"),
                format!("Field \"{}\" of import_jobs.spec.", error.field),
                error.remedy.clone(),
            ),
            Self::TargetExists { name, relation, registered, given } => parts(
                ERRCODE_DUPLICATE_OBJECT,
                format!("target \"{name}\" exists already, with another relation or spec"),
                format!("It is {relation} with {registered}; given was {given}."),
                "Take another name (a kit: another prefix), or drop_target(name) first.",
            ),
            Self::StagingTaken { staging, other } => parts(
                ERRCODE_DUPLICATE_OBJECT,
                format!("{staging} can't be staged in: target \"{other}\" uses the same table"),
                "Two targets on one staging table would take each other's flags for their own, and what is staged is cleared.",
                "Name another one in the spec, as \"staging\": \"…\"; it is created where it is not there.",
            ),
            Self::OthersTable { relation, owner } => parts(
                ERRCODE_INSUFFICIENT_PRIVILEGE,
                format!("{relation} belongs to another role"),
                format!("Its owner \"{owner}\" would decide who sees what, and his triggers would run for everybody."),
                format!("If that is meant, SET ROLE {}; and install the kit as he.", once_core::ident::quote(owner)),
            ),
            Self::JobIdsTaken { relation, jobs } => parts(
                ERRCODE_UNIQUE_VIOLATION,
                format!("jobs of {relation} can't be taken over: their ids belong to other jobs"),
                format!("Of its ids, {jobs} are in import_jobs with another target."),
                "Find out how they came there, before anything is verified or rolled back by these ids.",
            ),
            Self::JobsElsewhere { schema } => parts(
                ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
                format!("the import jobs of this database are in schema \"{schema}\""),
                "The extension was in that schema before; created in another one it would not find them.",
                format!(
                    "DROP EXTENSION pg_once; CREATE EXTENSION pg_once SCHEMA {}; (to begin a new trail, rename the old import_jobs).",
                    once_core::ident::quote(schema)
                ),
            ),
            Self::UntrustedJobs { relation, owner } => parts(
                ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
                format!("{relation} is not pg_once's"),
                format!(
                    "It is no table, or its owner \"{owner}\" owns neither the schema nor the database, and is no superuser."
                ),
                "Find out who made it; drop or rename it, then call again.",
            ),
            Self::NotATable { relation } => parts(
                ERRCODE_WRONG_OBJECT_TYPE,
                format!("{relation} is not a table"),
                "Targets and staging tables are ordinary or partitioned tables that last.",
                "Name the table that lies under it.",
            ),
            Self::RelationGone { relation } => parts(
                ERRCODE_UNDEFINED_TABLE,
                format!("table {relation} does not exist"),
                "It was registered or recorded under this name.",
                "Restore or rename the table, or drop_target(name) and register it anew.",
            ),
            Self::NotOwner { relation, role } => parts(
                ERRCODE_INSUFFICIENT_PRIVILEGE,
                format!("must be owner of {relation}"),
                format!("Role \"{role}\" does not own it."),
                "Let the owner of the table do this.",
            ),
            Self::OwnerChanged { target, registered_by } => parts(
                ERRCODE_INSUFFICIENT_PRIVILEGE,
                format!("target \"{target}\" is not vouched for by the owner of its tables"),
                format!("Role \"{registered_by}\" registered it, and does not own all its tables now."),
                "Let their owner drop_target(name) and create_target(…) again.",
            ),
            Self::NoPrivilege { object, privilege, role, hint } => parts(
                ERRCODE_INSUFFICIENT_PRIVILEGE,
                format!("permission denied for {object}"),
                format!("Role \"{role}\" lacks {privilege} on it."),
                hint.clone(),
            ),
            Self::NotGranted { what, role } => parts(
                ERRCODE_INSUFFICIENT_PRIVILEGE,
                format!("could not grant {what} to \"{role}\""),
                "You neither own it nor hold it with grant option.",
                "Let its owner call grant_import_access, or grant it to you WITH GRANT OPTION.",
            ),
            Self::MissingColumns { relation, columns, statement } => parts(
                ERRCODE_UNDEFINED_COLUMN,
                format!("{relation} lacks columns that the target needs"),
                format!("Missing: {columns}."),
                statement.clone(),
            ),
            Self::WrongColumn { relation, column, is, must, statement } => parts(
                ERRCODE_DATATYPE_MISMATCH,
                format!("column \"{column}\" of {relation} {must}"),
                format!("It is {is}."),
                statement.clone(),
            ),
            Self::NoUniqueIndex { relation, columns, statement } => parts(
                ERRCODE_INVALID_COLUMN_REFERENCE,
                format!("no unique index on {relation} backs ({columns})"),
                "It must be valid, immediate, without a WHERE clause and without expressions, on exactly these columns.",
                statement.clone(),
            ),
            Self::LongName { name } => parts(
                ERRCODE_NAME_TOO_LONG,
                format!("\"{name}\" can't be a table's name"),
                "An identifier has 1 to 63 bytes.",
                "Name the staging table yourself, as \"staging\": \"…\".",
            ),
            Self::NotCheckedSinceStaging { target, scope, now, then } => parts(
                ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
                format!("rows of target \"{target}\" were staged or removed after the last duplicate check"),
                match then {
                    Some(then) => {
                        format!("Scope {scope}: {now} rows are staged, {then} were when duplicates were marked last.")
                    }
                    None => format!("Scope {scope}: {now} rows are staged, and duplicates were never marked."),
                },
                "Mark duplicates again, then go on.",
            ),
            Self::RowNumbersRepeat { staging } => parts(
                ERRCODE_UNIQUE_VIOLATION,
                format!("rows of {staging} have the same row_number"),
                "Duplicates are told by the row_number, which the database gives; somebody gave it himself.",
                format!(
                    "Leave row_number out where rows are staged, or number them anew: UPDATE {staging} SET row_number = DEFAULT;"
                ),
            ),
            Self::StagingEmptied { target, staging, scope } => parts(
                ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
                format!("a crash of the server has emptied the staging table of target \"{target}\""),
                format!(
                    "{staging} is UNLOGGED: what was staged for scope {scope} before the crash is gone, wholly or in part."
                ),
                "Clear this scope, even if it had staged nothing by then, and stage all its rows again. (ALTER TABLE … SET LOGGED makes staging survive crashes.)",
            ),
            Self::JobState { id, status } => parts(
                ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
                format!("job {id} can't be rolled back: it is {status}"),
                format!("Its status is {status}; only a completed job can be rolled back."),
                "verify_import_job(id) shows what the job left.",
            ),
            Self::RowsHidden { id, found, written } => parts(
                ERRCODE_INSUFFICIENT_PRIVILEGE,
                format!("row-level security may hide rows of job {id} from you"),
                format!("The job wrote {written} rows; you can reach {found} of them."),
                "Roll it back as a role that sees all rows of its scope.",
            ),
            Self::RowsMoved { id, found, written } => parts(
                ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
                format!("rows of job {id} were moved out of its scope"),
                format!(
                    "The job wrote {written} rows, {found} of them are in its scope, and others carry its id elsewhere."
                ),
                "Move them back, or take the job's id off them, then roll back again.",
            ),
            Self::ForeignRows { id, found, written } => parts(
                ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
                format!("more rows carry job {id} than it wrote"),
                format!("The job wrote {written} rows; {found} carry its id."),
                "Find out what wrote the others, and take the job's id off them.",
            ),
            Self::Busy { relation, scope, holder } => parts(
                ERRCODE_LOCK_NOT_AVAILABLE,
                format!("another job works on {relation} for scope {scope}"),
                holder.clone(),
                "Wait for it to end, or raise lock_timeout. The view import_progress shows how far it is.",
            ),
            Self::UnknownStatus { relation, statuses } => parts(
                ERRCODE_INVALID_PARAMETER_VALUE,
                format!("{relation} holds jobs in states that pg_once does not know"),
                format!("Unknown: {statuses}."),
                "The states are pending, validating, processing, completed, failed and rolled_back. Put these jobs right, then install the kit again.",
            ),
            Self::NoTriggers { relation, kit, triggers } => parts(
                ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
                format!("{relation} was not made by the kit {kit}"),
                format!("It lacks the triggers {triggers}, so that nobody vouches for what they keep."),
                "Rename the table, install the kit, and copy the rows with INSERT INTO … SELECT; or install it with a prefix.",
            ),
            Self::NoMail { name, relation } => parts(
                ERRCODE_WRONG_OBJECT_TYPE,
                format!("target \"{name}\" is not of a mail kit's messages"),
                format!("It is on {relation}."),
                "Name the target on the table mail_messages of an installation: install_kit answers with it.",
            ),
            Self::WrongKind { name, is, must } => parts(
                ERRCODE_WRONG_OBJECT_TYPE,
                format!("target \"{name}\" is not of kind {must}"),
                format!("It is of kind {is}."),
                if must == "document" {
                    "Documents go into a target whose spec has \"kind\": \"document\"; the view target_list shows which have."
                } else {
                    "Take documents in by import_document, or name a target with a staging table; the view target_list shows them."
                },
            ),
            Self::UnknownNormalizer { given } => parts(
                ERRCODE_INVALID_PARAMETER_VALUE,
                format!("normalizer \"{given}\" does not exist"),
                format!("The normalizers are {}.", Normalizer::NAMES.join(", ")),
                "Name one of them.",
            ),
            Self::LongContent { bytes, most } => parts(
                ERRCODE_PROGRAM_LIMIT_EXCEEDED,
                "the content is too long for a document",
                format!("It has {bytes} bytes; the most is {most}."),
                "Split it, or keep it outside of the database and import what tells it from others.",
            ),
            Self::BlankContent { bytes } => parts(
                ERRCODE_INVALID_PARAMETER_VALUE,
                "the content is blank",
                if *bytes == 0 { "It is empty.".into() } else { format!("Its {bytes} bytes are all white space.") },
                "Import the text of the document; a document without any would be the same as all others.",
            ),
            Self::ReservedTag { tag } => parts(
                ERRCODE_INVALID_PARAMETER_VALUE,
                format!("the tag {tag} can't be given"),
                "It marks repeated documents from before there was a unique key, which stand outside of it.",
                "Take another tag. adopt_imports sets this one.",
            ),
            Self::OutOfReach { relation } => parts(
                ERRCODE_INSUFFICIENT_PRIVILEGE,
                format!("a row of {relation} has this content, but can't be read"),
                "Row-level security hides it from you, a trigger kept a new one out, or it was deleted and made again while this ran.",
                "Try again; else let a role that sees all rows of this owner do it.",
            ),
            Self::NoDocumentKey { relation, columns, adopt, statement } => parts(
                ERRCODE_INVALID_COLUMN_REFERENCE,
                format!("no unique index on {relation} backs ({columns})"),
                format!("It would be made by: {statement}"),
                format!("{adopt} does all that is needed; called without dry_run it only tells."),
            ),
            Self::NoRecords { target } => parts(
                ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
                format!("target \"{target}\" has no records"),
                "Its spec names no \"drafts\" and \"records\", so nothing that is parsed from its documents can be committed.",
                "drop_target(name), then create_target(…) with them.",
            ),
            Self::UnknownDraft { draft, relation } => parts(
                ERRCODE_NO_DATA_FOUND,
                format!("draft {draft} does not exist"),
                format!("{relation} has none with this id and a document, or you may not see it."),
                "Insert the draft first, with the id of its document.",
            ),
            Self::NoChecksum { document, relation } => parts(
                ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
                format!("document {document} has no checksum"),
                format!("It came into {relation} by other ways than import_document."),
                "adopt_imports computes what is missing.",
            ),
            Self::NotAnObject { kind } => parts(
                ERRCODE_INVALID_PARAMETER_VALUE,
                "what was parsed is not a JSON object",
                format!("It is of type {kind}."),
                "Give an object; its fields fill the record's columns.",
            ),
            Self::MissingField { field } => parts(
                ERRCODE_NULL_VALUE_NOT_ALLOWED,
                format!("{field} is missing"),
                format!("What was parsed has no field \"{field}\" at its top, or it is null."),
                format!("Give it a field \"{field}\": it tells one record from another."),
            ),
            Self::BadField { sqlstate, field, value, problem, must } => parts(
                match sqlstate.as_str() {
                    "22001" => ERRCODE_STRING_DATA_RIGHT_TRUNCATION,
                    "22007" => ERRCODE_INVALID_DATETIME_FORMAT,
                    "22008" => ERRCODE_DATETIME_FIELD_OVERFLOW,
                    "22P02" => ERRCODE_INVALID_TEXT_REPRESENTATION,
                    "22003" => ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE,
                    _ => ERRCODE_INVALID_PARAMETER_VALUE,
                },
                format!("{field} can't be taken: {problem}"),
                format!("The value of {field} is \"{value}\"."),
                format!("Give {must}."),
            ),
            Self::OtherOwner { column, document, known, parsed } => parts(
                ERRCODE_INVALID_PARAMETER_VALUE,
                format!("{column} is not the document's"),
                format!("Document {document} or its draft is of {known}; what was parsed says {parsed}."),
                format!("Leave {column} out of what was parsed, or commit a draft of the right document."),
            ),
            Self::NoOwner { column, document } => parts(
                ERRCODE_NULL_VALUE_NOT_ALLOWED,
                format!("{column} is unknown"),
                format!("Document {document} has none, and neither has what was parsed."),
                format!("Add a field \"{column}\" to what was parsed."),
            ),
            Self::NoDay { target, key } => parts(
                ERRCODE_WRONG_OBJECT_TYPE,
                format!("the records of target \"{target}\" are not told by a day"),
                format!("Their key is ({key})."),
                "This asks for workouts. Look into the table of records itself.",
            ),
            Self::NotAUuid { id } => parts(
                ERRCODE_DATATYPE_MISMATCH,
                "the target's ids are no uuids",
                format!("One is {id}."),
                "Use import_document and commit_document, which give ids as text.",
            ),
            Self::OldSnapshot => parts(
                ERRCODE_ACTIVE_SQL_TRANSACTION,
                "adopt_imports must see what is committed while it waits",
                "The transaction is REPEATABLE READ or SERIALIZABLE, and so keeps to the snapshot of its first statement.",
                "BEGIN ISOLATION LEVEL READ COMMITTED; and call it there.",
            ),
            Self::HiddenRows { relation } => parts(
                ERRCODE_INSUFFICIENT_PRIVILEGE,
                format!("row-level security may hide rows of {relation} from you"),
                "What you do not see can't be adopted.",
                format!(
                    "Adopt as a role that bypasses it, or ALTER TABLE {relation} NO FORCE ROW LEVEL SECURITY; and FORCE it again afterwards."
                ),
            ),
            Self::NullContent { relation, column, id, rows } => parts(
                ERRCODE_NOT_NULL_VIOLATION,
                format!("column {column} of {relation} is NULL in some rows"),
                format!("Nothing tells these {rows} rows from one another."),
                format!("DELETE them, or UPDATE {relation} SET {column} = {id}::text WHERE {column} IS NULL;"),
            ),
            Self::RowsKept { relation, wanted, changed } => parts(
                ERRCODE_TRIGGERED_ACTION_EXCEPTION,
                format!("rows of {relation} were kept from being changed"),
                format!("Of {wanted} rows {changed} were changed: a trigger or a rule keeps the others as they are."),
                format!("ALTER TABLE {relation} DISABLE TRIGGER …; then call again, and enable it after."),
            ),
            Self::UnknownRegion { given } => parts(
                ERRCODE_INVALID_PARAMETER_VALUE,
                format!("no numbering plan is known for region \"{given}\""),
                "A region is two letters of ISO 3166-1.",
                "Name a country, as 'MY', 'US' or 'GB' (not 'UK').",
            ),
            Self::NotRows => parts(
                ERRCODE_INVALID_PARAMETER_VALUE,
                "rows must be a JSON array",
                "It is an object or a single value.",
                "Give an array of objects, as [{\"phone_no\": \"012-345 6789\"}].",
            ),
            Self::NoPlan { given } => parts(
                ERRCODE_INVALID_PARAMETER_VALUE,
                "the plan in source_info is none",
                format!("It is {given}."),
                "Give the field \"plan\" of a dry run's answer, or leave it out.",
            ),
            Self::Unsettled { relation } => parts(
                ERRCODE_T_R_SERIALIZATION_FAILURE,
                format!("records of {relation} were changed by others again and again"),
                "What the rows were matched with was not so any more when it was to be written, several times.",
                "Try again.",
            ),
            Self::ImagesPruned { job } => parts(
                ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
                format!("the images of job {job} are gone"),
                "What it inserted and what it changed is not known any more: prune_import_images deleted it.",
                "Undo it by hand, or restore import_images from a backup.",
            ),
            Self::RecordsRenamed { job, relation, columns } => parts(
                ERRCODE_UNDEFINED_COLUMN,
                format!("the records of {relation} are not known by what job {job} recorded"),
                format!("It knew them by ({columns}), which is gone, has another name, or names them no more."),
                "Give the columns their names back (ALTER TABLE … RENAME COLUMN) or the table its key, or undo the job by hand.",
            ),
            Self::NotCredible { job, relation, role } => parts(
                ERRCODE_INSUFFICIENT_PRIVILEGE,
                format!("what job {job} recorded of {relation} can't be undone with your rights"),
                format!(
                    "Role \"{role}\" began the job and may not change or delete all rows of the table, so that its word alone does not do for that."
                ),
                format!("Let {} undo the job, or grant it what that takes.", once_core::ident::quote(role)),
            ),
            Self::HiddenReferring { job, relation } => parts(
                ERRCODE_INSUFFICIENT_PRIVILEGE,
                format!("rows of {relation} that you may not see could go or change with what job {job} wrote"),
                "A foreign key deletes or changes them together with the records that they refer to.",
                format!("Let a role undo the job that sees all rows of {relation}."),
            ),
            Self::Internal(problem) => parts(
                ERRCODE_INTERNAL_ERROR,
                format!("pg_once: {problem}"),
                "This should not happen.",
                "Please report it with the statement that you ran.",
            ),
        }
    }
}

impl OnceError {
    /// The SQLSTATE and the message that it is raised with.
    pub fn told(&self) -> (String, String) {
        let Parts { sqlstate, message, .. } = self.parts();
        (crate::backend::unpack_sqlstate(sqlstate as i32), message)
    }

    /// Tells the user what would be an error of a later step, with how to prevent it.
    pub fn notice(&self, what: &str) {
        let Parts { message, hint, .. } = self.parts();
        crate::spi::notice(format!("{what}: {message}"), hint);
    }
}

/// What SQL functions return: raised as it is, with its SQLSTATE, DETAIL and HINT.
impl From<OnceError> for ErrorReport {
    fn from(error: OnceError) -> Self {
        let Parts { sqlstate, message, detail, hint } = error.parts();
        ErrorReport::new(sqlstate, message, "pg_once").set_detail(detail).set_hint(hint)
    }
}
