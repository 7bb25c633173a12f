//! Reading a `jsonb` as it is stored: no number loses its digits, and texts are borrowed.

use super::Jsonb;
use once_core::rows::value::Json;
use pgrx::direct_function_call_as_datum;
use pgrx::pg_sys;
use pgrx::pg_sys::jbvType;
use std::ffi::CStr;
use std::marker::PhantomData;

/// A `jsonb` that was brought to memory whole; what is read from it lives as long.
pub struct Document {
    root: *mut pg_sys::JsonbContainer,
}

/// An element of an array: an object's fields, one after the other, or the name of what it is instead.
pub enum Element<'a> {
    Object(Fields<'a>),
    Other(&'static str),
}

/// Fields of an object in the order that `jsonb` keeps them in.
pub struct Fields<'a> {
    iterator: *mut pg_sys::JsonbIterator,
    document: PhantomData<&'a Document>,
}

/// The elements of an array.
pub struct Elements<'a> {
    iterator: *mut pg_sys::JsonbIterator,
    document: PhantomData<&'a Document>,
}

impl Document {
    /// Brings the value to memory that lives until the current memory context ends.
    pub fn of(json: Jsonb) -> Self {
        // SAFETY: the datum is a jsonb, as the SQL type of the argument says.
        unsafe {
            let whole = pg_sys::pg_detoast_datum(json.0.cast_mut_ptr()).cast::<pg_sys::Jsonb>();
            Self { root: &raw mut (*whole).root }
        }
    }

    /// Its elements, `None` where it is no array.
    pub fn elements(&self) -> Option<Elements<'_>> {
        // SAFETY: the container is whole and lives as long as `self`; a scalar is stored as an array of one.
        unsafe {
            let header = (*self.root).header;
            if header & pg_sys::JB_FARRAY == 0 || header & pg_sys::JB_FSCALAR != 0 {
                return None;
            }
            let mut iterator = pg_sys::JsonbIteratorInit(self.root);
            next(&mut iterator); // the beginning
            Some(Elements { iterator, document: PhantomData })
        }
    }

    /// How many elements or fields it has.
    pub fn len(&self) -> usize {
        // SAFETY: as above.
        unsafe { ((*self.root).header & pg_sys::JB_CMASK) as usize }
    }
}

/// # Safety
/// The iterator is of a container that is in memory, and has not come to its end.
unsafe fn next(iterator: &mut *mut pg_sys::JsonbIterator) -> (pg_sys::JsonbIteratorToken::Type, pg_sys::JsonbValue) {
    let mut value = pg_sys::JsonbValue::default();
    // SAFETY: by the caller; what is nested is not gone into.
    let token = unsafe { pg_sys::JsonbIteratorNext(iterator, &mut value, true) };
    (token, value)
}

impl<'a> Iterator for Elements<'a> {
    type Item = Element<'a>;

    fn next(&mut self) -> Option<Element<'a>> {
        if self.iterator.is_null() {
            return None;
        }
        // SAFETY: the iterator is not at its end; a value says by its type which part of the union it is.
        unsafe {
            let (token, value) = next(&mut self.iterator);
            if token != pg_sys::JsonbIteratorToken::WJB_ELEM {
                self.iterator = std::ptr::null_mut();
                return None;
            }
            Some(match value.type_ {
                jbvType::jbvBinary if (*value.val.binary.data).header & pg_sys::JB_FOBJECT != 0 => {
                    let mut iterator = pg_sys::JsonbIteratorInit(value.val.binary.data);
                    next(&mut iterator); // the beginning
                    Element::Object(Fields { iterator, document: PhantomData })
                }
                jbvType::jbvBinary => Element::Other("an array"),
                jbvType::jbvNull => Element::Other("null"),
                jbvType::jbvString => Element::Other("a string"),
                jbvType::jbvNumeric => Element::Other("a number"),
                _ => Element::Other("a boolean"),
            })
        }
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = (&'a str, Json<'a>);

    fn next(&mut self) -> Option<(&'a str, Json<'a>)> {
        if self.iterator.is_null() {
            return None;
        }
        // SAFETY: as above; a key is followed by its value.
        unsafe {
            let (token, key) = next(&mut self.iterator);
            if token != pg_sys::JsonbIteratorToken::WJB_KEY {
                self.iterator = std::ptr::null_mut();
                return None;
            }
            let (_, value) = next(&mut self.iterator);
            Some((text(&key), json(&value)))
        }
    }
}

/// # Safety
/// The value is a string of a container that lives for `'a`.
unsafe fn text<'a>(value: &pg_sys::JsonbValue) -> &'a str {
    // SAFETY: by the caller; the database's encoding is UTF8, which CREATE EXTENSION checks.
    unsafe {
        let string = value.val.string;
        let bytes = std::slice::from_raw_parts(string.val.cast::<u8>(), usize::try_from(string.len).unwrap_or(0));
        std::str::from_utf8_unchecked(bytes)
    }
}

/// # Safety
/// The value is of a container that lives for `'a`.
unsafe fn json<'a>(value: &pg_sys::JsonbValue) -> Json<'a> {
    // SAFETY: by the caller; the type says which part of the union the value is. What Postgres allocates is copied and freed.
    unsafe {
        match value.type_ {
            jbvType::jbvString => Json::String(text(value)),
            jbvType::jbvBool => Json::Bool(value.val.boolean),
            jbvType::jbvNumeric => {
                let numeric = Some(pg_sys::Datum::from(value.val.numeric));
                match direct_function_call_as_datum(pg_sys::numeric_out, &[numeric]) {
                    Some(written) => Json::Number(owned(written.cast_mut_ptr())),
                    None => Json::Null,
                }
            }
            jbvType::jbvBinary => {
                let binary = value.val.binary;
                let written = owned(pg_sys::JsonbToCString(std::ptr::null_mut(), binary.data, binary.len));
                if (*binary.data).header & pg_sys::JB_FARRAY != 0 {
                    Json::Array(written)
                } else {
                    Json::Object(written)
                }
            }
            _ => Json::Null,
        }
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
