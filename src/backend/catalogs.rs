//! How long a session may keep what it has read in the catalogs: until Postgres says that they changed.

use pgrx::pg_sys;
use std::cell::Cell;
use std::ffi::c_int;

thread_local! {
    static LISTENS: Cell<bool> = const { Cell::new(false) };
    static CHANGES: Cell<u64> = const { Cell::new(0) };
}

/// What the text of a default or the equality of a key may name, besides relations.
const NAMED: [pg_sys::SysCacheIdentifier::Type; 7] = [
    pg_sys::SysCacheIdentifier::TYPEOID,
    pg_sys::SysCacheIdentifier::PROCOID,
    pg_sys::SysCacheIdentifier::OPEROID,
    pg_sys::SysCacheIdentifier::CLAOID,
    pg_sys::SysCacheIdentifier::AMOPOPID,
    pg_sys::SysCacheIdentifier::COLLOID,
    pg_sys::SysCacheIdentifier::NAMESPACEOID,
];

/// Another one after every change of any relation (its columns, defaults, constraints, triggers and indexes too), type,
/// function, operator, collation or schema that the session knows of: its own at once, and again when it is rolled back;
/// others' when they commit, at the latest when a lock is taken that the change would not have let through.
pub fn version() -> u64 {
    if !LISTENS.replace(true) {
        let none = pg_sys::Datum::from(0);
        // SAFETY: the callbacks only count, and stay as long as the process, as this library does.
        unsafe {
            pg_sys::CacheRegisterRelcacheCallback(Some(relation_changed), none);
            for cache in NAMED {
                pg_sys::CacheRegisterSyscacheCallback(cache as c_int, Some(name_changed), none);
            }
        }
    }
    CHANGES.get()
}

#[pgrx::pg_guard]
unsafe extern "C-unwind" fn relation_changed(_arg: pg_sys::Datum, _relation: pg_sys::Oid) {
    CHANGES.set(CHANGES.get().wrapping_add(1));
}

#[pgrx::pg_guard]
unsafe extern "C-unwind" fn name_changed(_arg: pg_sys::Datum, _cache: c_int, _hash: u32) {
    CHANGES.set(CHANGES.get().wrapping_add(1));
}

/// Runs `work`, whose statements read the catalogs, on all that has committed by now. Gives the version that it read; none
/// where a REPEATABLE READ transaction has written, since its statements then see what was there when it began.
pub fn read<T>(work: impl FnOnce() -> T) -> (Option<u64>, T) {
    let version = version();
    // SAFETY: pushed and popped here, whatever `work` gives; what Postgres raises in it pops it by its abort.
    unsafe {
        let has_written = pg_sys::GetCurrentTransactionIdIfAny() != pg_sys::InvalidTransactionId;
        let is_behind = has_written && pg_sys::XactIsoLevel >= pg_sys::XACT_REPEATABLE_READ as c_int;
        pg_sys::PushActiveSnapshot(pg_sys::GetLatestSnapshot());
        let done = work();
        pg_sys::PopActiveSnapshot();
        ((!is_behind).then_some(version), done)
    }
}
