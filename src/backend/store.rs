//! Rows of a call's own, which its statements read by name: in memory up to `work_mem`, then in a temporary file. Not a
//! temporary table, which would cost the catalogs something with every call.

use pgrx::direct_function_call_as_datum;
use pgrx::pg_sys;
use std::ffi::CString;

/// A column of a store.
pub struct Column {
    pub name: String,
    pub oid: pg_sys::Oid,
    pub modifier: i32,
    pub collation: pg_sys::Oid,
}

impl Column {
    /// A column of a built-in type that has no collation.
    pub fn plain(name: &str, oid: pg_sys::Oid) -> Self {
        Self { name: name.into(), oid, modifier: -1, collation: pg_sys::InvalidOid }
    }
}

/// How a text becomes a value of the column's type.
enum Input {
    Text,
    /// A time without a zone: one that names a zone is brought to the session's.
    LocalTime,
    Type {
        function: Box<pg_sys::FmgrInfo>,
        parameter: pg_sys::Oid,
        modifier: i32,
        /// Whether most can be read without the function.
        is_int8: bool,
    },
}

/// Rows under a name. Made and filled outside of any SPI connection; lives as long as the call.
pub struct Store {
    name: CString,
    rows: *mut pg_sys::Tuplestorestate,
    shape: pg_sys::TupleDesc,
    inputs: Vec<Input>,
    scratch: pg_sys::MemoryContext,
    /// Of the row that is being added.
    values: Vec<pg_sys::Datum>,
    nulls: Vec<bool>,
    texts: Texts,
    count: usize,
}

/// Texts of one row, each aligned as Postgres wants it. Memory of our own: asking Postgres for each text is half of what
/// it costs to add a row.
#[derive(Default)]
struct Texts {
    room: Vec<u64>,
    used: usize,
}

impl Texts {
    /// Adds a text, `header` bytes of room before it and a NUL behind; gives its place.
    fn add(&mut self, header: usize, text: &str) -> usize {
        let place = self.used;
        self.used += (header + text.len()) / 8 + 1;
        if self.room.len() < self.used {
            self.room.resize(2 * self.used, 0);
        }
        // SAFETY: the room is large enough for the header, the text and one byte more.
        unsafe {
            let start = self.room.as_mut_ptr().add(place).cast::<u8>().add(header);
            start.copy_from_nonoverlapping(text.as_ptr(), text.len());
            start.add(text.len()).write(0);
        }
        place
    }

    /// Where a text's header stands, until more is added.
    fn at(&mut self, place: usize) -> *mut u8 {
        self.room[place..].as_mut_ptr().cast()
    }
}

impl Store {
    pub fn new(name: &str, columns: &[Column]) -> Self {
        // SAFETY: all is allocated in the current memory context, which lives at least as long as the call.
        unsafe {
            let shape = pg_sys::CreateTemplateTupleDesc(columns.len() as i32);
            let mut inputs = Vec::with_capacity(columns.len());
            for (number, column) in (1..).zip(columns) {
                let label = CString::new(column.name.as_str()).unwrap_or_default();
                pg_sys::TupleDescInitEntry(shape, number, label.as_ptr(), column.oid, column.modifier, 0);
                pg_sys::TupleDescInitEntryCollation(shape, number, column.collation);
                inputs.push(Input::of(column));
            }
            let rows = pg_sys::tuplestore_begin_heap(true, false, pg_sys::work_mem);
            // A read pointer of our own at the start keeps all rows for whoever reads.
            pg_sys::tuplestore_set_eflags(rows, pg_sys::EXEC_FLAG_REWIND as i32);
            let scratch = pg_sys::AllocSetContextCreateInternal(
                pg_sys::CurrentMemoryContext,
                c"pg_once row".as_ptr(),
                pg_sys::ALLOCSET_DEFAULT_MINSIZE as usize,
                pg_sys::ALLOCSET_DEFAULT_INITSIZE as usize,
                pg_sys::ALLOCSET_DEFAULT_MAXSIZE as usize,
            );
            let name = CString::new(name).unwrap_or_default();
            Self {
                name,
                rows,
                shape,
                inputs,
                scratch,
                values: Vec::new(),
                nulls: Vec::new(),
                texts: Texts::default(),
                count: 0,
            }
        }
    }

    /// Adds a row, a text for each column or NULL, as the types read them under the session's settings.
    pub fn push<'a>(&mut self, texts: impl Iterator<Item = Option<&'a str>>) {
        let Self { values, nulls, texts: room, .. } = self;
        values.clear();
        nulls.clear();
        room.used = 0;
        // SAFETY: values live in the scratch context, and texts in the room, until the store has copied them. An error in
        // an input function ends the (sub)transaction, and the memory context is put back by who catches it.
        unsafe {
            let context = pg_sys::MemoryContextSwitchTo(self.scratch);
            for (input, text) in self.inputs.iter_mut().zip(texts) {
                nulls.push(text.is_none());
                values.push(text.map_or(pg_sys::Datum::from(0), |text| input.read(text, room)));
            }
            for ((input, value), _) in self.inputs.iter().zip(&mut *values).zip(&*nulls).filter(|(_, null)| !**null) {
                if let Input::Text = input {
                    *value = pg_sys::Datum::from(room.at(value.value()));
                }
            }
            if values.len() == self.inputs.len() {
                pg_sys::tuplestore_putvalues(self.rows, self.shape, values.as_mut_ptr(), nulls.as_mut_ptr());
                self.count += 1;
            }
            pg_sys::MemoryContextSwitchTo(context);
            pg_sys::MemoryContextReset(self.scratch);
        }
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Makes the rows known to the statements of the current SPI connection.
    pub fn register(&self) {
        // SAFETY: within an SPI connection, whose end forgets the relation; the store outlives it.
        unsafe {
            let size = size_of::<pg_sys::EphemeralNamedRelationData>();
            let relation = pg_sys::palloc0(size).cast::<pg_sys::EphemeralNamedRelationData>();
            (*relation).md.name = self.name.as_ptr().cast_mut();
            (*relation).md.reliddesc = pg_sys::InvalidOid;
            (*relation).md.tupdesc = self.shape;
            (*relation).md.enrtype = pg_sys::EphemeralNameRelationType::ENR_NAMED_TUPLESTORE;
            (*relation).md.enrtuples = self.count as f64;
            (*relation).reldata = self.rows.cast();
            pg_sys::SPI_register_relation(relation);
        }
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        // After an error its abort frees them; Postgres must not be called while unwinding.
        if !std::thread::panicking() {
            // SAFETY: nothing reads the store any more.
            unsafe {
                pg_sys::tuplestore_end(self.rows);
                pg_sys::MemoryContextDelete(self.scratch);
            }
        }
    }
}

impl Input {
    /// # Safety
    /// Looks at Postgres's caches, in a transaction.
    unsafe fn of(column: &Column) -> Self {
        match column.oid {
            pg_sys::TEXTOID => Self::Text,
            pg_sys::TIMESTAMPOID => Self::LocalTime,
            oid => {
                let (mut input, mut parameter) = (pg_sys::InvalidOid, pg_sys::InvalidOid);
                let mut function = Box::new(pg_sys::FmgrInfo::default());
                // SAFETY: the type is a column's; what the function remembers goes to the context of the call.
                unsafe {
                    pg_sys::getTypeInputInfo(oid, &mut input, &mut parameter);
                    pg_sys::fmgr_info_cxt(input, &mut *function, pg_sys::CurrentMemoryContext);
                }
                Self::Type { function, parameter, modifier: column.modifier, is_int8: oid == pg_sys::INT8OID }
            }
        }
    }

    /// The value; of a text, its place in the room.
    ///
    /// # Safety
    /// The result lives in the current memory context.
    unsafe fn read(&mut self, text: &str, room: &mut Texts) -> pg_sys::Datum {
        if let Self::Text = self {
            let place = room.add(pg_sys::VARHDRSZ, text);
            let size = i32::try_from(pg_sys::VARHDRSZ + text.len()).unwrap_or(i32::MAX);
            // SAFETY: there is room for a header.
            unsafe { pgrx::set_varsize_4b(room.at(place).cast(), size) };
            return pg_sys::Datum::from(place);
        }
        if let (Self::Type { is_int8: true, .. }, Ok(number)) = (&*self, text.parse::<i64>()) {
            return pg_sys::Datum::from(number);
        }
        let place = room.add(0, text);
        let written = room.at(place).cast();
        // SAFETY: the functions are those of the types, and take what InputFunctionCall hands them.
        unsafe {
            match self {
                Self::Type { function, parameter, modifier, .. } => {
                    pg_sys::InputFunctionCall(&mut **function, written, *parameter, *modifier)
                }
                _ => {
                    let text_and_modifier = [
                        Some(pg_sys::Datum::from(written)),
                        Some(pg_sys::Datum::from(0)),
                        Some(pg_sys::Datum::from(-1_i32)),
                    ];
                    let value = if text.get(10..).is_some_and(|time| time.contains(['Z', '+', '-'])) {
                        let instant = direct_function_call_as_datum(pg_sys::timestamptz_in, &text_and_modifier);
                        direct_function_call_as_datum(pg_sys::timestamptz_timestamp, &[instant])
                    } else {
                        direct_function_call_as_datum(pg_sys::timestamp_in, &text_and_modifier)
                    };
                    value.unwrap_or(pg_sys::Datum::from(0)) // neither function gives NULL
                }
            }
        }
    }
}
