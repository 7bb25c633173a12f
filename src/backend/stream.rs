//! Rows of a statement as the executor makes them: none is kept, and what reads may read in parallel.

use super::tuples::Row;
use crate::error::{OnceError, Result};
use crate::spi::Arg;
use pgrx::pg_sys;
use pgrx::prelude::*;
use std::ffi::{CString, c_int};

/// What Postgres hands each row to. The first field is all that Postgres knows of it.
#[repr(C)]
struct Receiver<'a> {
    base: pg_sys::DestReceiver,
    row: Row,
    each: &'a mut dyn FnMut(&Row) -> Result<()>,
    failed: Option<OnceError>,
}

/// Runs a statement on a fresh snapshot, in the SPI connection that is open, and hands on each of its rows, which lives
/// only as long; gives the number of rows that it read or wrote. `each` may not ask the database.
///
/// # Errors
/// What `each` gives, which ends the statement early: then what it wrote has to be undone.
pub fn run(sql: &str, args: &[Arg], each: &mut dyn FnMut(&Row) -> Result<()>) -> Result<u64> {
    let sql = CString::new(sql).map_err(|error| OnceError::Internal(error.to_string()))?;
    let mut receiver = Receiver {
        base: pg_sys::DestReceiver {
            receiveSlot: Some(receive),
            rStartup: Some(begin),
            rShutdown: Some(end),
            rDestroy: Some(end),
            mydest: pg_sys::CommandDest::DestTuplestore,
        },
        row: Row::empty(),
        each,
        failed: None,
    };
    // SAFETY: the parameters live as long as the SPI connection's memory context, the receiver and the text as long as
    // the statement runs; an error of Postgres's unwinds past both.
    let done = unsafe {
        let params = pg_sys::makeParamList(args.len() as c_int);
        for (param, arg) in (*params).params.as_mut_slice(args.len()).iter_mut().zip(args) {
            let value = arg.datum();
            param.isnull = value.is_none();
            param.value = value.map_or(pg_sys::Datum::from(0), |value| value.sans_lifetime());
            param.ptype = arg.oid();
            // Bytes are long, and nothing to plan by: the plan would have a copy wherever the statement names them.
            let is_bytea = arg.oid() == pg_sys::BYTEAOID;
            param.pflags = if is_bytea { 0 } else { pg_sys::PARAM_FLAG_CONST as u16 };
        }
        let options = pg_sys::SPIExecuteOptions {
            params,
            read_only: false,
            allow_nonatomic: false,
            must_return_tuples: false,
            tcount: 0,
            dest: (&raw mut receiver).cast(),
            owner: std::ptr::null_mut(),
        };
        match pg_sys::SPI_execute_extended(sql.as_ptr(), &options) {
            code if code < 0 => return Err(OnceError::Internal(format!("a statement ended with SPI's code {code}"))),
            _ => pg_sys::SPI_processed,
        }
    };
    receiver.failed.map_or(Ok(done), Err)
}

#[pg_guard]
unsafe extern "C-unwind" fn begin(receiver: *mut pg_sys::DestReceiver, _operation: c_int, shape: pg_sys::TupleDesc) {
    // SAFETY: Postgres hands back the receiver that it was given, and the shape of the rows to come.
    unsafe { (*receiver.cast::<Receiver>()).row = Row::of(shape) }
}

/// Takes a row; false ends the statement.
#[pg_guard]
unsafe extern "C-unwind" fn receive(slot: *mut pg_sys::TupleTableSlot, receiver: *mut pg_sys::DestReceiver) -> bool {
    // SAFETY: as above; the slot is of the shape that was told at the beginning.
    let Receiver { row, each, failed, .. } = unsafe {
        let receiver = &mut *receiver.cast::<Receiver>();
        let columns = (*(*slot).tts_tupleDescriptor).natts;
        if c_int::from((*slot).tts_nvalid) < columns {
            pg_sys::slot_getsomeattrs_int(slot, columns);
        }
        receiver.row.take((*slot).tts_values, (*slot).tts_isnull);
        receiver
    };
    match each(row) {
        Ok(()) => true,
        Err(error) => {
            *failed = Some(error);
            false
        }
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn end(_receiver: *mut pg_sys::DestReceiver) {}
