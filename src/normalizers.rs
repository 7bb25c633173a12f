//! The normalisers of columns, for queries: what a value will be stored as, and which values are none.
//!
//! All are STABLE although they read nothing: a later version may give another result (numbering plans change all the
//! time), and an index must not stand on them.

use crate::error::{OnceError, Result};
use once_core::normalize::Normalizer;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

/// What is no such value is NULL here, as what is blank.
fn applied(normalizer: &Normalizer, value: Option<&str>) -> Option<String> {
    let normal = normalizer.apply(value?).ok()??;
    Some(normal.into_owned())
}

fn phone(region: Option<&str>) -> Result<Normalizer> {
    let region = region.ok_or(OnceError::NullArgument { name: "region".into() })?;
    Normalizer::phone(region).ok_or_else(|| OnceError::UnknownRegion { given: region.to_owned() })
}

/// A telephone number in E.164 form, as `+60123456789`; NULL for NULL, for blank and for what is no valid number.
///
/// `value`: in international form, or as it is dialled in `region`. `region`: two letters of ISO 3166-1, as `MY`.
///
/// # Errors
/// `22004` for a NULL region, `22023` for an unknown one.
#[pg_extern(stable, parallel_safe)]
#[search_path(pg_catalog, pg_temp)]
fn normalize_phone(value: Option<&str>, region: Option<&str>) -> std::result::Result<Option<String>, ErrorReport> {
    Ok(applied(&phone(region)?, value))
}

/// An e-mail address with its domain in lower case; NULL for NULL, for blank and for what is none.
#[pg_extern(stable, parallel_safe)]
#[search_path(pg_catalog, pg_temp)]
fn normalize_email(value: Option<&str>) -> Option<String> {
    applied(&Normalizer::Email, value)
}

/// An e-mail address in lower case; NULL for NULL, for blank and for what is none.
#[pg_extern(stable, parallel_safe)]
#[search_path(pg_catalog, pg_temp)]
fn normalize_email_lower(value: Option<&str>) -> Option<String> {
    applied(&Normalizer::EmailLower, value)
}

/// The text with one space for each run of white space, and none at the ends; NULL for NULL and blank.
#[pg_extern(stable, parallel_safe)]
#[search_path(pg_catalog, pg_temp)]
fn normalize_whitespace(value: Option<&str>) -> Option<String> {
    applied(&Normalizer::Whitespace, value)
}

/// The text in lower case, without white space at the ends; NULL for NULL and blank.
#[pg_extern(stable, parallel_safe)]
#[search_path(pg_catalog, pg_temp)]
fn normalize_lower(value: Option<&str>) -> Option<String> {
    applied(&Normalizer::Lower, value)
}

/// The text in upper case, without white space at the ends; NULL for NULL and blank.
#[pg_extern(stable, parallel_safe)]
#[search_path(pg_catalog, pg_temp)]
fn normalize_upper(value: Option<&str>) -> Option<String> {
    applied(&Normalizer::Upper, value)
}

/// The decimal digits of the text, those of other scripts as ASCII's; NULL for NULL and where there is none.
#[pg_extern(stable, parallel_safe)]
#[search_path(pg_catalog, pg_temp)]
fn normalize_digits(value: Option<&str>) -> Option<String> {
    applied(&Normalizer::Digits, value)
}

/// The text in NFKC and upper case, without white space and invisible characters; NULL for NULL and blank.
#[pg_extern(stable, parallel_safe)]
#[search_path(pg_catalog, pg_temp)]
fn normalize_code(value: Option<&str>) -> Option<String> {
    applied(&Normalizer::Code, value)
}

/// The text without prefixes of one or two letters and a colon, as `l:` before the ids of lead exports; NULL for NULL and
/// blank.
#[pg_extern(stable, parallel_safe)]
#[search_path(pg_catalog, pg_temp)]
fn normalize_unprefixed(value: Option<&str>) -> Option<String> {
    applied(&Normalizer::Unprefixed, value)
}
