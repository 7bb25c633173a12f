//! Rows of a result, each taken apart once: of many rows that is most of what reading them costs.

use pgrx::datum::{FromDatum, IntoDatum, TryFromDatumError};
use pgrx::pg_sys;
use pgrx::spi::SpiTupleTable;
use std::num::NonZeroUsize;

/// The rows of a result, one after the other.
pub struct Tuples<'conn> {
    table: *mut pg_sys::SPITupleTable,
    next: usize,
    row: Row,
    /// Keeps the result.
    _result: SpiTupleTable<'conn>,
}

/// A row of a result, columns counted from 1.
pub struct Row {
    types: Vec<pg_sys::Oid>,
    values: Vec<pg_sys::Datum>,
    nulls: Vec<bool>,
}

impl<'conn> Tuples<'conn> {
    /// The rows of the statement that was the last to run.
    pub fn of(result: SpiTupleTable<'conn>) -> Self {
        // SAFETY: Postgres sets this with every statement: NULL, or a result that lives as long as the SPI connection.
        let (table, row) = unsafe {
            let table = pg_sys::SPI_tuptable;
            (table, table.as_ref().map_or_else(Row::empty, |table| Row::of(table.tupdesc)))
        };
        Self { table, next: 0, row, _result: result }
    }

    pub fn next(&mut self) -> Option<&Row> {
        // SAFETY: the table is that of the result, which is kept; the row has room for its columns.
        unsafe {
            let table = self.table.as_ref().filter(|table| (self.next as u64) < table.numvals)?;
            let tuple = *table.vals.add(self.next);
            self.next += 1;
            let (values, nulls) = (self.row.values.as_mut_ptr(), self.row.nulls.as_mut_ptr());
            pg_sys::heap_deform_tuple(tuple, table.tupdesc, values, nulls);
        }
        Some(&self.row)
    }
}

impl Row {
    /// A row without columns.
    pub(super) fn empty() -> Self {
        Self { types: Vec::new(), values: Vec::new(), nulls: Vec::new() }
    }

    /// Room for rows of this shape.
    ///
    /// # Safety
    /// The shape must be one.
    pub(super) unsafe fn of(shape: pg_sys::TupleDesc) -> Self {
        // SAFETY: as above.
        let types: Vec<_> =
            unsafe { (1..=(*shape).natts).map(|column| pg_sys::SPI_gettypeid(shape, column)).collect() };
        Self { values: vec![pg_sys::Datum::from(0); types.len()], nulls: vec![true; types.len()], types }
    }

    /// Takes over the values of a row of this shape.
    ///
    /// # Safety
    /// There must be as many as the row has columns.
    pub(super) unsafe fn take(&mut self, values: *const pg_sys::Datum, nulls: *const bool) {
        let columns = self.types.len();
        // SAFETY: as above; both are copied to vectors of this length.
        unsafe {
            self.values.as_mut_ptr().copy_from_nonoverlapping(values, columns);
            self.nulls.as_mut_ptr().copy_from_nonoverlapping(nulls, columns);
        }
    }

    /// The value, or `None` for NULL.
    pub fn get<T: IntoDatum + FromDatum>(&self, column: usize) -> Result<Option<T>, TryFromDatumError> {
        let number = NonZeroUsize::new(column).unwrap_or(NonZeroUsize::MIN);
        let Some(oid) = self.types.get(number.get() - 1) else {
            return Err(TryFromDatumError::NoSuchAttributeNumber(number));
        };
        let (value, is_null) = (self.values[number.get() - 1], self.nulls[number.get() - 1]);
        // SAFETY: the value is of the type that the result says, and lives as long as the result.
        unsafe { T::try_from_datum(value, is_null, *oid) }
    }
}
