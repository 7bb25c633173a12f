//! Reading a `jsonb` as it is stored (see Postgres's jsonb.h): no number loses its digits, and texts are borrowed.

use super::Jsonb;
use once_core::mail;
use once_core::rows::value::Json;
use pgrx::pg_sys;
use pgrx::{direct_function_call_as_datum, varlena};
use std::ffi::CStr;
use std::ops::Range;

/// A `jsonb` that was brought to memory whole; what is read from it lives as long.
pub struct Document {
    bytes: *const [u8],
}

/// An element of an array: an object's fields, one after the other, or what it is instead, and how that is called.
pub enum Element<'a> {
    Object(Fields<'a>),
    Other(&'static str, Json<'a>),
}

impl Document {
    /// Brings the value to memory that lives until the current memory context ends.
    pub fn of(json: Jsonb) -> Self {
        // SAFETY: the datum is a jsonb, as the SQL type of the argument says; brought here it has a header of 4 bytes.
        unsafe {
            let whole = pg_sys::pg_detoast_datum(json.0.cast_mut_ptr());
            let bytes = whole.cast::<u8>().add(pg_sys::VARHDRSZ);
            Self { bytes: std::ptr::slice_from_raw_parts(bytes, varlena::varsize_4b(whole) - pg_sys::VARHDRSZ) }
        }
    }

    fn root(&self) -> Container<'_> {
        // SAFETY: the memory lives at least as long as `self`, and nobody writes to it.
        Container { bytes: unsafe { &*self.bytes } }
    }

    fn is_array(&self) -> bool {
        let header = self.root().header();
        // A scalar is stored as an array of one.
        header & pg_sys::JB_FARRAY != 0 && header & pg_sys::JB_FSCALAR == 0
    }

    /// Its elements, `None` where it is no array.
    pub fn elements(&self) -> Option<impl Iterator<Item = Element<'_>>> {
        let root = self.root();
        self.is_array().then(|| {
            root.entries(0, root.count(), 0).map(move |entry| {
                let kind = match entry.kind {
                    pg_sys::JENTRY_ISCONTAINER => match root.nested(&entry) {
                        object if object.is_object() => return Element::Object(object.fields()),
                        _ => "an array",
                    },
                    pg_sys::JENTRY_ISNULL => "null",
                    pg_sys::JENTRY_ISSTRING => "a string",
                    pg_sys::JENTRY_ISNUMERIC => "a number",
                    _ => "a boolean",
                };
                Element::Other(kind, root.json(&entry))
            })
        })
    }

    /// Its elements as trees, `None` where it is no array.
    pub fn trees(&self) -> Option<impl Iterator<Item = mail::Json<'_>>> {
        let root = self.root();
        self.is_array().then(|| root.entries(0, root.count(), 0).map(move |entry| root.tree(&entry)))
    }

    /// How many elements or fields it has.
    pub fn len(&self) -> usize {
        self.root().count()
    }
}

/// An array or an object: a header, entries that tell of the values, and these, one after the other. Of an object the keys
/// come first.
#[derive(Clone, Copy)]
struct Container<'a> {
    bytes: &'a [u8],
}

/// What is told of a value: its kind, and where it is among the values.
struct Entry {
    kind: u32,
    start: usize,
    end: usize,
}

impl<'a> Container<'a> {
    fn word(self, number: usize) -> u32 {
        let bytes = self.bytes.get(4 * number..).and_then(|bytes| bytes.first_chunk());
        bytes.map_or(0, |bytes| u32::from_ne_bytes(*bytes))
    }

    fn header(self) -> u32 {
        self.word(0)
    }

    fn count(self) -> usize {
        (self.header() & pg_sys::JB_CMASK) as usize
    }

    fn is_object(self) -> bool {
        self.header() & pg_sys::JB_FOBJECT != 0
    }

    /// So many entries from one on, whose values begin at `start`.
    fn entries(self, from: usize, count: usize, start: usize) -> Entries<'a> {
        Entries { container: self, numbers: from..from + count, start }
    }

    /// The fields of an object, in the order that `jsonb` keeps them in.
    fn fields(self) -> Fields<'a> {
        let keys = self.entries(0, self.count(), 0);
        let values = keys.clone().last().map_or(0, |last| last.end);
        Fields { keys, values: self.entries(self.count(), self.count(), values) }
    }

    fn value(self, start: usize, end: usize) -> &'a [u8] {
        let entries = if self.is_object() { 2 * self.count() } else { self.count() };
        let values = 4 * (1 + entries);
        self.bytes.get(values + start..values + end).unwrap_or_default()
    }

    /// What stands at a multiple of four bytes, as numbers and containers do.
    fn aligned(self, entry: &Entry) -> &'a [u8] {
        self.value(entry.start.next_multiple_of(4), entry.end)
    }

    fn nested(self, entry: &Entry) -> Container<'a> {
        Container { bytes: self.aligned(entry) }
    }

    fn text(self, entry: &Entry) -> &'a str {
        // SAFETY: the entry is a string; the database's encoding is UTF8, which CREATE EXTENSION checks.
        unsafe { std::str::from_utf8_unchecked(self.value(entry.start, entry.end)) }
    }

    /// A value with all that is in it.
    fn tree(self, entry: &Entry) -> mail::Json<'a> {
        if entry.kind != pg_sys::JENTRY_ISCONTAINER {
            return match self.json(entry) {
                Json::String(text) => mail::Json::String(text.into()),
                Json::Bool(value) => mail::Json::Bool(value),
                Json::Number(number) => mail::Json::Number(number.into()),
                _ => mail::Json::Null,
            };
        }
        // SAFETY: raises where values are nested too deep for the stack.
        unsafe { pg_sys::check_stack_depth() };
        let nested = self.nested(entry);
        if nested.is_object() {
            let fields = nested.pairs().map(|(key, value)| (nested.text(&key), nested.tree(&value)));
            mail::Json::Object(fields.collect())
        } else {
            mail::Json::Array(nested.entries(0, nested.count(), 0).map(|entry| nested.tree(&entry)).collect())
        }
    }

    /// The keys and values of an object.
    fn pairs(self) -> impl Iterator<Item = (Entry, Entry)> {
        let Fields { keys, values } = self.fields();
        keys.zip(values)
    }

    fn json(self, entry: &Entry) -> Json<'a> {
        match entry.kind {
            pg_sys::JENTRY_ISSTRING => Json::String(self.text(entry)),
            pg_sys::JENTRY_ISBOOL_TRUE => Json::Bool(true),
            pg_sys::JENTRY_ISBOOL_FALSE => Json::Bool(false),
            pg_sys::JENTRY_ISNUMERIC => {
                let numeric = Some(pg_sys::Datum::from(self.aligned(entry).as_ptr()));
                // SAFETY: the entry is a numeric, as a column would hold it.
                match unsafe { direct_function_call_as_datum(pg_sys::numeric_out, &[numeric]) } {
                    // SAFETY: what the function gives is a C string of its own.
                    Some(written) => Json::Number(unsafe { owned(written.cast_mut_ptr()) }),
                    None => Json::Null,
                }
            }
            pg_sys::JENTRY_ISCONTAINER => {
                let nested = self.nested(entry);
                let length = i32::try_from(nested.bytes.len()).unwrap_or(i32::MAX);
                let container = nested.bytes.as_ptr().cast::<pg_sys::JsonbContainer>().cast_mut();
                // SAFETY: the entry is a container, which is only read; what the function gives is a C string of its own.
                let written = unsafe { owned(pg_sys::JsonbToCString(std::ptr::null_mut(), container, length)) };
                if nested.is_object() { Json::Object(written) } else { Json::Array(written) }
            }
            _ => Json::Null,
        }
    }
}

/// What is told of the values, one after the other.
#[derive(Clone)]
struct Entries<'a> {
    container: Container<'a>,
    numbers: Range<usize>,
    start: usize,
}

impl Iterator for Entries<'_> {
    type Item = Entry;

    fn next(&mut self) -> Option<Entry> {
        let entry = self.container.word(1 + self.numbers.next()?);
        let told = (entry & pg_sys::JENTRY_OFFLENMASK) as usize;
        // Most tell their length, some where they end.
        let end = if entry & pg_sys::JENTRY_HAS_OFF != 0 { told } else { self.start + told };
        let start = std::mem::replace(&mut self.start, end);
        Some(Entry { kind: entry & pg_sys::JENTRY_TYPEMASK, start, end })
    }
}

/// The fields of an object.
#[derive(Clone)]
pub struct Fields<'a> {
    keys: Entries<'a>,
    values: Entries<'a>,
}

impl<'a> Iterator for Fields<'a> {
    type Item = (&'a str, Json<'a>);

    fn next(&mut self) -> Option<(&'a str, Json<'a>)> {
        let (key, value) = (self.keys.next()?, self.values.next()?);
        let object = self.keys.container;
        Some((object.text(&key), object.json(&value)))
    }
}

/// # Safety
/// The pointer is a C string that was allocated by Postgres, and is not used afterwards.
unsafe fn owned(written: *mut std::ffi::c_char) -> String {
    // SAFETY: by the caller.
    unsafe {
        let text = CStr::from_ptr(written).to_string_lossy().into_owned();
        pg_sys::pfree(written.cast());
        text
    }
}
