//! The one place for unsafe code: what Postgres offers and pgrx does not wrap.
#![allow(unsafe_code)]

use once_core::ident::Relation;
use pgrx::callconv::{Arg, ArgAbi};
use pgrx::datum::{FromDatum, IntoDatum};
use pgrx::pg_sys::errcodes::PgSqlErrorCode;
use pgrx::pg_sys::panic::CaughtError;
use pgrx::pgrx_sql_entity_graph::metadata::{
    ArgumentError, ReturnsError, ReturnsRef, SqlMappingRef, SqlTranslatable, TypeOrigin,
};
use pgrx::{PgTryBuilder, pg_sys};
use std::cell::Cell;
use std::ffi::{CString, c_int, c_void};
use std::panic::AssertUnwindSafe;

/// A `jsonb` argument that is handed on to Postgres as it came: no parsing, so no number loses its
/// digits and no depth is too deep.
#[derive(Clone, Copy)]
pub struct Jsonb(pg_sys::Datum);

impl FromDatum for Jsonb {
    unsafe fn from_polymorphic_datum(datum: pg_sys::Datum, is_null: bool, _: pg_sys::Oid) -> Option<Self> {
        (!is_null).then_some(Self(datum))
    }
}

impl IntoDatum for Jsonb {
    fn into_datum(self) -> Option<pg_sys::Datum> {
        Some(self.0)
    }

    fn type_oid() -> pg_sys::Oid {
        pg_sys::JSONBOID
    }
}

// SAFETY: the datum of a jsonb argument lives as long as the call, and is only passed back to Postgres.
unsafe impl<'fcx> ArgAbi<'fcx> for Jsonb {
    unsafe fn unbox_arg_unchecked(arg: Arg<'_, 'fcx>) -> Self {
        // SAFETY: our functions take it as Option, so that no NULL arrives here; 0 would be one.
        unsafe { arg.unbox_arg_using_from_datum() }.unwrap_or(Self(pg_sys::Datum::from(0)))
    }
}

// SAFETY: the SQL type is jsonb, as the datum is.
unsafe impl SqlTranslatable for Jsonb {
    const TYPE_IDENT: &'static str = pgrx::pgrx_resolved_type!(Jsonb);
    const TYPE_ORIGIN: TypeOrigin = TypeOrigin::External;
    const ARGUMENT_SQL: Result<SqlMappingRef, ArgumentError> = Ok(SqlMappingRef::literal("jsonb"));
    const RETURN_SQL: Result<ReturnsRef, ReturnsError> = Ok(ReturnsRef::One(SqlMappingRef::literal("jsonb")));
}

/// An error that was caught, its subtransaction rolled back.
pub struct PgError {
    pub sqlstate: String,
    pub message: String,
    pub detail: Option<String>,
    caught: CaughtError,
}

impl PgError {
    /// Raises the error again, as pgrx knows it: an SQLSTATE of a user's own becomes XX000.
    pub fn rethrow(self) -> ! {
        self.caught.rethrow()
    }
}

/// Runs `work` in a subtransaction: kept when it gives `Ok`, rolled back when it gives `Err` or when
/// anything is raised in it, which comes back as the outer error.
pub fn subtransaction<T, E>(work: impl FnOnce() -> Result<T, E>) -> Result<Result<T, E>, PgError> {
    let raised = Cell::new(0);
    // SAFETY: begin and end are paired on every way out, and memory context and resource owner are put
    // back as PL/pgSQL does. The error callback lives on this frame and is unlinked before it ends.
    unsafe {
        let context = pg_sys::CurrentMemoryContext;
        let owner = pg_sys::CurrentResourceOwner;
        pg_sys::BeginInternalSubTransaction(std::ptr::null());
        pg_sys::MemoryContextSwitchTo(context);

        let previous = pg_sys::error_context_stack;
        let mut callback = pg_sys::ErrorContextCallback {
            previous,
            callback: Some(note_sqlstate),
            arg: (&raised as *const Cell<c_int>).cast_mut().cast(),
        };
        pg_sys::error_context_stack = &mut callback;
        let result =
            PgTryBuilder::new(AssertUnwindSafe(|| Ok(work()))).catch_others(|caught| Err(Box::new(caught))).execute();
        pg_sys::error_context_stack = previous;

        match &result {
            Ok(Ok(_)) => pg_sys::ReleaseCurrentSubTransaction(),
            _ => pg_sys::RollbackAndReleaseCurrentSubTransaction(),
        }
        pg_sys::MemoryContextSwitchTo(context);
        pg_sys::CurrentResourceOwner = owner;
        result.map_err(|caught| pg_error(*caught, raised.get()))
    }
}

/// pgrx knows the SQLSTATEs of Postgres itself and makes XX000 of all others, such as a trigger's own;
/// so the code is read while the error is being raised.
#[pgrx::pg_guard]
unsafe extern "C-unwind" fn note_sqlstate(arg: *mut c_void) {
    // SAFETY: `arg` is the cell of the `subtransaction` frame that linked this callback.
    unsafe {
        let code = pg_sys::geterrcode();
        if !NO_ERRORS.contains(&(code & 0xfff)) {
            (*arg.cast::<Cell<c_int>>()).set(code);
        }
    }
}

/// Classes 00 to 02, as MAKE_SQLSTATE packs them into the low twelve bits: notices and warnings, which
/// must not hide the error that they come after, when that is raised again.
const NO_ERRORS: [c_int; 3] = [0, 1 << 6, 2 << 6];

fn pg_error(caught: CaughtError, raised: c_int) -> PgError {
    let report = match &caught {
        CaughtError::PostgresError(report) | CaughtError::ErrorReport(report) => report,
        CaughtError::RustPanic { ereport, .. } => ereport,
    };
    let known = report.sql_error_code();
    let unknown_to_pgrx = matches!(&caught, CaughtError::PostgresError(_))
        && known == PgSqlErrorCode::ERRCODE_INTERNAL_ERROR
        && raised != 0;
    PgError {
        sqlstate: unpack_sqlstate(if unknown_to_pgrx { raised } else { known as c_int }),
        message: report.message().to_string(),
        detail: report.detail().map(str::to_string),
        caught,
    }
}

/// Five characters of six bits each, as MAKE_SQLSTATE of Postgres's elog.h packs them.
fn unpack_sqlstate(code: c_int) -> String {
    (0..5).map(|i| char::from(b'0' + ((code >> (6 * i)) & 0x3f) as u8)).collect()
}

/// Opens this backend's progress report about `relation`; Postgres itself closes it when the
/// (sub)transaction aborts.
pub fn progress_start(relation: pg_sys::Oid) {
    // SAFETY: writes to this backend's own status entry.
    unsafe { pg_sys::pgstat_progress_start_command(pg_sys::ProgressCommandType::PROGRESS_COMMAND_COPY, relation) }
}

/// Sets one of the report's twenty numbers.
pub fn progress_set(index: c_int, value: i64) {
    // SAFETY: as above; `index` is one of the constants of `progress`, all below twenty.
    unsafe { pg_sys::pgstat_progress_update_param(index, value) }
}

/// Closes the report.
pub fn progress_end() {
    // SAFETY: as above.
    unsafe { pg_sys::pgstat_progress_end_command() }
}

/// What a call must know of a table at once, from Postgres's caches rather than by a query.
pub struct Glance {
    pub oid: pg_sys::Oid,
    pub blocks: u32,
    owner: pg_sys::Oid,
}

impl Glance {
    /// The relation of this name as it is now, `None` where there is none. Holds it open for readers of its shape until
    /// the transaction ends, as a statement over it would.
    pub fn at(relation: &Relation) -> Option<Self> {
        let oid = relation_oid(relation)?;
        // SAFETY: the relation stays open, and so its entry valid, until it is closed here; the lock remains.
        unsafe {
            let open = pg_sys::try_relation_open(oid, pg_sys::AccessShareLock as pg_sys::LOCKMODE);
            if open.is_null() {
                return None;
            }
            let class = (*open).rd_rel;
            let stored = [pg_sys::RELKIND_RELATION, pg_sys::RELKIND_MATVIEW].contains(&((*class).relkind as u8));
            let blocks = if stored {
                pg_sys::RelationGetNumberOfBlocksInFork(open, pg_sys::ForkNumber::MAIN_FORKNUM)
            } else {
                0
            };
            let owner = (*class).relowner;
            pg_sys::relation_close(open, pg_sys::NoLock as pg_sys::LOCKMODE);
            Some(Self { oid, blocks, owner })
        }
    }

    /// Whether the role of this name has the rights of the relation's owner; not where there is no such role.
    pub fn is_owned_by(&self, role: &str) -> bool {
        let Ok(role) = CString::new(role) else { return false };
        // SAFETY: the name outlives the call, and a role that is not there is no error.
        unsafe {
            let role = pg_sys::get_role_oid(role.as_ptr(), true);
            role != pg_sys::InvalidOid && pg_sys::has_privs_of_role(role, self.owner)
        }
    }

    /// Whether the current role may read the relation, and insert into it where that is asked.
    pub fn is_open(&self, to_insert: bool) -> bool {
        let may = |mode: pg_sys::AclMode| {
            // SAFETY: looks at Postgres's caches.
            unsafe {
                let answer = pg_sys::pg_class_aclcheck(self.oid, pg_sys::GetUserId(), mode);
                answer == pg_sys::AclResult::ACLCHECK_OK
            }
        };
        may(pg_sys::ACL_SELECT as pg_sys::AclMode) && (!to_insert || may(pg_sys::ACL_INSERT as pg_sys::AclMode))
    }
}

/// The OID of the relation of this name, from Postgres's caches.
pub fn relation_oid(relation: &Relation) -> Option<pg_sys::Oid> {
    let (schema, name) = (CString::new(relation.schema.as_str()).ok()?, CString::new(relation.name.as_str()).ok()?);
    // SAFETY: the names outlive the calls, and what is not there is no error.
    unsafe {
        let schema = pg_sys::get_namespace_oid(schema.as_ptr(), true);
        let found = pg_sys::get_relname_relid(name.as_ptr(), schema);
        (schema != pg_sys::InvalidOid && found != pg_sys::InvalidOid).then_some(found)
    }
}
