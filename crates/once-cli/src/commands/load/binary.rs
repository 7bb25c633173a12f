//! COPY's binary format, which the server takes with less work than text. Text stays the truth: a value goes in binary
//! where it surely is the one that the type's input function would read.

use std::collections::HashMap;

use postgres::types::Type;
use uuid::Uuid;

use crate::error::Result;
use crate::session::{Session, Target};

/// What comes before the rows: the signature, no flags, no extension.
pub const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// What comes after them.
pub const END: &[u8] = &(-1_i16).to_be_bytes();
/// The length of NULL.
const NULL: [u8; 4] = (-1_i32).to_be_bytes();

/// The most characters of a numeric that is encoded.
const LONGEST: usize = 40;
/// A numeric's sign, where it is negative.
const NEGATIVE: u16 = 0x4000;

/// The columns of the staging table that have a form, with it.
pub type Forms = HashMap<String, Form>;

/// Asks the database for them.
pub fn forms_of(session: &mut Session, target: &Target) -> Result<Forms> {
    let columns: Vec<String> = target.filled().cloned().collect();
    let types = session.transaction()?.column_types(&target.staging, &columns)?;
    Ok(columns.into_iter().zip(types).filter_map(|(column, oid)| Some((column, Form::of(oid)?))).collect())
}

/// How a type's receive function wants its values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    Text,
    Uuid,
    Numeric,
    Int2,
    Int4,
    Int8,
    Bool,
}

impl Form {
    /// The form of a type, by its OID. Domains have none, nor do types whose input depends on the session's settings, or
    /// does more than their receive function.
    pub fn of(oid: u32) -> Option<Self> {
        Some(match Type::from_oid(oid)? {
            Type::TEXT | Type::VARCHAR | Type::BPCHAR => Self::Text,
            Type::UUID => Self::Uuid,
            Type::NUMERIC => Self::Numeric,
            Type::INT2 => Self::Int2,
            Type::INT4 => Self::Int4,
            Type::INT8 => Self::Int8,
            Type::BOOL => Self::Bool,
            _ => return None,
        })
    }

    /// Adds a cell, an empty one as NULL. `None` where it is written otherwise than plainly: only Postgres can tell
    /// whether it is a value, and which.
    pub fn write(self, cell: &[u8], binary: &mut Vec<u8>) -> Option<()> {
        if cell.is_empty() {
            binary.extend_from_slice(&NULL);
            return Some(());
        }
        match self {
            Self::Text => field(cell, binary),
            // The library reads other forms as well, each of another length.
            Self::Uuid if cell.len() == 36 => field(Uuid::try_parse_ascii(cell).ok()?.as_bytes(), binary),
            Self::Uuid => None,
            Self::Numeric => numeric(cell, binary),
            // Rust reads a sign and digits and nothing else, which each version of Postgres reads alike.
            Self::Int2 => field(&integer::<i16>(cell)?.to_be_bytes(), binary),
            Self::Int4 => field(&integer::<i32>(cell)?.to_be_bytes(), binary),
            Self::Int8 => field(&integer::<i64>(cell)?.to_be_bytes(), binary),
            Self::Bool => match cell {
                b"t" | b"true" => field(&[1], binary),
                b"f" | b"false" => field(&[0], binary),
                _ => None,
            },
        }
    }
}

fn field(value: &[u8], binary: &mut Vec<u8>) -> Option<()> {
    binary.extend_from_slice(&i32::try_from(value.len()).ok()?.to_be_bytes());
    binary.extend_from_slice(value);
    Some(())
}

fn integer<T: std::str::FromStr>(cell: &[u8]) -> Option<T> {
    std::str::from_utf8(cell).ok()?.parse().ok()
}

/// A numeric as `numeric_recv` (Postgres's utils/adt/numeric.c) reads it: how many digits of base 10000 there are, which
/// power of 10000 the first stands for, the sign, how many decimal digits are shown after the point; then the digits,
/// without zeros at the ends.
fn numeric(cell: &[u8], binary: &mut Vec<u8>) -> Option<()> {
    let (sign, number) = match cell {
        [b'-', number @ ..] => (NEGATIVE, number),
        [b'+', number @ ..] | number => (0, number),
    };
    let point = memchr::memchr(b'.', number).unwrap_or(number.len());
    let (whole, fraction) = (&number[..point], number.get(point + 1..).unwrap_or_default());
    if number.len() > LONGEST || whole.is_empty() || number.ends_with(b".") {
        return None;
    }
    let before = whole.len().div_ceil(4);
    let mut digits = [0_u16; LONGEST / 4 + 1];
    for (at, byte) in (before * 4 - whole.len()..).zip(whole.iter().chain(fraction)) {
        let decimal = byte.wrapping_sub(b'0');
        if decimal > 9 {
            return None;
        }
        digits[at / 4] += u16::from(decimal) * [1000, 100, 10, 1][at % 4];
    }
    let first = digits.iter().position(|digit| *digit != 0);
    let last = digits.iter().rposition(|digit| *digit != 0);
    let (weight, sign, digits) = match first.zip(last) {
        Some((first, last)) => {
            (i16::try_from(before).ok()? - 1 - i16::try_from(first).ok()?, sign, &digits[first..=last])
        }
        // There is no negative zero.
        None => (0, 0, &[][..]),
    };
    let head = [u16::try_from(digits.len()).ok()?, weight.cast_unsigned(), sign, u16::try_from(fraction.len()).ok()?];
    binary.extend_from_slice(&i32::try_from(2 * (head.len() + digits.len())).ok()?.to_be_bytes());
    head.iter().chain(digits).for_each(|part| binary.extend_from_slice(&part.to_be_bytes()));
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(form: Form, cell: &str) -> Option<String> {
        let mut binary = Vec::new();
        form.write(cell.as_bytes(), &mut binary)?;
        Some(binary.iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// With a length before it, what Postgres 15 answered to `SELECT numeric_send('…')`.
    #[test]
    fn numerics_are_what_numeric_send_gives() {
        for (cell, sent) in [
            ("0", "0000000000000000"),
            ("0.00", "0000000000000002"),
            ("-0", "0000000000000000"),
            ("-0.0", "0000000000000001"),
            ("1.50", "000200000000000200011388"),
            ("-1.5", "000200004000000100011388"),
            ("+1.5", "000200000000000100011388"),
            ("007", "00010000000000000007"),
            ("9999", "0001000000000000270f"),
            ("10000", "00010001000000000001"),
            ("100000000", "00010002000000000001"),
            ("00000000000000000000000000000000000000.5", "0001ffff000000011388"),
            ("0.00010", "0001ffff000000050001"),
            ("0.00001", "0001fffe0000000503e8"),
            ("123.4567890", "0003000000000007007b11d722c4"),
            ("12345678.9", "000300010000000104d2162e2328"),
            ("-99999999999999999999.9999999999", "000800044000000a270f270f270f270f270f270f270f26ac"),
        ] {
            assert_eq!(written(Form::Numeric, cell), Some(format!("{:08x}{sent}", sent.len() / 2)), "{cell}");
        }
    }

    #[test]
    fn other_values_are_what_their_send_functions_give() {
        for (form, cell, sent) in [
            (Form::Text, "a\\\tא", "00000005615c09d790"),
            (Form::Text, "", "ffffffff"),
            (Form::Numeric, "", "ffffffff"),
            (Form::Uuid, "0B9f6c1e-4F0a-4d58-9c36-5a1d2e7f8aFF", "000000100b9f6c1e4f0a4d589c365a1d2e7f8aff"),
            (Form::Int2, "-32768", "000000028000"),
            (Form::Int4, "+007", "0000000400000007"),
            (Form::Int4, "-0", "0000000400000000"),
            (Form::Int8, "-2", "00000008fffffffffffffffe"),
            (Form::Bool, "true", "0000000101"),
            (Form::Bool, "f", "0000000100"),
        ] {
            assert_eq!(written(form, cell).as_deref(), Some(sent), "{form:?} {cell}");
        }
    }

    #[test]
    fn what_is_not_plain_is_left_to_postgres() {
        let uuid = "0b9f6c1e-4f0a-4d58-9c36-5a1d2e7f8a01";
        let uuids = [
            uuid.replace('-', ""),
            format!("{{{uuid}}}"),
            format!("urn:uuid:{uuid}"),
            uuid.replace('0', "g"),
            "0b9f-6c1e4f0a-4d58-9c36-5a1d2e7f8a01".into(),
        ];
        for cell in &uuids {
            assert_eq!(written(Form::Uuid, cell), None, "{cell}");
        }
        let digits = "1".repeat(41);
        for cell in [
            " 1", "1 ", "1e4", "NaN", "Infinity", ".5", "5.", ".", "-", "+", "+-1", "--1", "1.2.3", "1_000", "0x10",
            "1,5", "١", "/", ":", &digits,
        ] {
            assert_eq!(written(Form::Numeric, cell), None, "{cell}");
        }
        for cell in [" 1", "1 ", "-", "+", "1.0", "1e1", "1_0", "0x1", "0b1", "32768", "-32769", "١"] {
            assert_eq!(written(Form::Int2, cell), None, "{cell}");
        }
        assert_eq!(written(Form::Int4, "2147483648"), None);
        assert_eq!(written(Form::Int8, "9223372036854775808"), None);
        for cell in ["yes", "on", "tr", " t", "2"] {
            assert_eq!(written(Form::Bool, cell), None, "{cell}");
        }
    }

    #[test]
    fn types_that_depend_on_settings_have_no_form() {
        for of in [Type::DATE, Type::TIMESTAMP, Type::TIMESTAMPTZ, Type::MONEY, Type::FLOAT8, Type::JSONB, Type::NAME] {
            assert_eq!(Form::of(of.oid()), None, "{of}");
        }
        assert_eq!(Form::of(100_000), None);
    }
}
