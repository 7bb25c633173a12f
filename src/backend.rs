//! The one place for unsafe code: what Postgres offers and pgrx does not wrap.
#![allow(unsafe_code)]

pub mod catalogs;
mod glance;
pub mod json;
pub mod store;
pub mod stream;
pub mod tuples;

pub use glance::{Glance, Registration, relation_oid};

use pgrx::callconv::{Arg, ArgAbi};
use pgrx::datum::{FromDatum, IntoDatum};
use pgrx::pg_sys::errcodes::PgSqlErrorCode;
use pgrx::pg_sys::panic::CaughtError;
use pgrx::pgrx_sql_entity_graph::metadata::{
    ArgumentError, ReturnsError, ReturnsRef, SqlMappingRef, SqlTranslatable, TypeOrigin,
};
use pgrx::{PgTryBuilder, direct_function_call_as_datum, pg_sys};
use std::cell::Cell;
use std::ffi::{c_int, c_void};
use std::panic::AssertUnwindSafe;

/// An argument that is handed on to Postgres as it came, unread.
macro_rules! handed_on {
    ($(#[$doc:meta])* $name:ident, $oid:ident, $sql:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy)]
        pub struct $name(pg_sys::Datum);

        impl FromDatum for $name {
            unsafe fn from_polymorphic_datum(datum: pg_sys::Datum, is_null: bool, _: pg_sys::Oid) -> Option<Self> {
                (!is_null).then_some(Self(datum))
            }
        }

        impl IntoDatum for $name {
            fn into_datum(self) -> Option<pg_sys::Datum> {
                Some(self.0)
            }

            fn type_oid() -> pg_sys::Oid {
                pg_sys::$oid
            }
        }

        // SAFETY: the datum of an argument lives as long as the call, and is only passed back to Postgres.
        unsafe impl<'fcx> ArgAbi<'fcx> for $name {
            unsafe fn unbox_arg_unchecked(arg: Arg<'_, 'fcx>) -> Self {
                // SAFETY: our functions take it as Option, so that no NULL arrives here; 0 would be one.
                unsafe { arg.unbox_arg_using_from_datum() }.unwrap_or(Self(pg_sys::Datum::from(0)))
            }
        }

        // SAFETY: the SQL type is what the datum is of.
        unsafe impl SqlTranslatable for $name {
            const TYPE_IDENT: &'static str = pgrx::pgrx_resolved_type!($name);
            const TYPE_ORIGIN: TypeOrigin = TypeOrigin::External;
            const ARGUMENT_SQL: Result<SqlMappingRef, ArgumentError> = Ok(SqlMappingRef::literal($sql));
            const RETURN_SQL: Result<ReturnsRef, ReturnsError> = Ok(ReturnsRef::One(SqlMappingRef::literal($sql)));
        }
    };
}

handed_on!(
    /// A `jsonb`: no parsing, so no number loses its digits and no depth is too deep.
    Jsonb,
    JSONBOID,
    "jsonb"
);
handed_on!(
    /// A `text[]`, of as many dimensions as it has.
    TextArray,
    TEXTARRAYOID,
    "text[]"
);

impl Jsonb {
    /// A value from its text, which must be JSON without NULs, as a program writes it.
    pub fn of(text: &str) -> Self {
        let text = std::ffi::CString::new(text).unwrap_or_default();
        // SAFETY: the function takes a C string, and gives a jsonb in the current memory context, or raises.
        let json = unsafe { direct_function_call_as_datum(pg_sys::jsonb_in, &[text.as_c_str().into_datum()]) };
        Self(json.unwrap_or(pg_sys::Datum::from(0))) // it never gives NULL
    }
}

impl TextArray {
    /// Whether `text` is one of its elements.
    pub fn contains(&self, text: &str) -> bool {
        // SAFETY: the datum is a text[], as the SQL type of the argument says.
        let elements = unsafe { Vec::<Option<String>>::from_datum(self.0, false) };
        elements.is_some_and(|elements| elements.iter().flatten().any(|element| element == text))
    }
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
        // What a failed attempt has allocated goes with it: there may be very many.
        let own = pg_sys::AllocSetContextCreateInternal(
            context,
            c"pg_once attempt".as_ptr(),
            pg_sys::ALLOCSET_SMALL_MINSIZE as usize,
            pg_sys::ALLOCSET_SMALL_INITSIZE as usize,
            pg_sys::ALLOCSET_SMALL_MAXSIZE as usize,
        );
        pg_sys::MemoryContextSwitchTo(own);

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
        if result.is_err() {
            pg_sys::MemoryContextDelete(own);
        }
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
pub fn unpack_sqlstate(code: c_int) -> String {
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
