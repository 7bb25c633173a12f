//! What a column's values are brought to before they are compared and stored.
//!
//! Whatever a normaliser gives, it gives again for its own result; a text that is normal already is borrowed.

mod chars;
mod email;
mod phone;
mod text;

use std::borrow::Cow;

/// What a column's values are brought to before they are compared and stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Normalizer {
    /// A telephone number in E.164 form, as `+60123456789`. Numbers in national form are of `region`, an ISO 3166-1
    /// code as `MY`. Only numbers that the numbering plan has are taken; an extension is dropped. Not taken is what
    /// may mean another number: letters, a spreadsheet's `6.01E+10`, two numbers in one value.
    Phone { region: String },
    /// An e-mail address: the domain in lower case, the local part as it is (only its server knows whether case
    /// matters there). A domain in Unicode stays so, and is not the same as its `xn--` form.
    Email,
    /// As `email`, all of it in lower case: two addresses that differ in nothing else are one person's, as far as is known.
    EmailLower,
    /// Every run of Unicode's white space is one space, and none is left at the ends. Nothing else changes.
    Whitespace,
    /// In lower case by Unicode's rules, without white space at the ends.
    Lower,
    /// In upper case by Unicode's rules, without white space at the ends: `ß` is `SS`.
    Upper,
    /// Decimal digits only, those of other scripts as ASCII's.
    Digits,
    /// NFKC, in upper case, without white space and invisible characters anywhere: half-width is full-width.
    Code,
    /// Without the prefixes that exports of leads put before ids, as `l:` and `ag:`: one or two letters of `a` to `z` and a
    /// colon, as often as they stand there; and without white space and invisible characters at the ends.
    Unprefixed,
}

/// Why a value is none of its kind; it reads after the value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    #[error("is not a phone number of region {region} or in international form")]
    Phone { region: String },
    #[error("is a number in a spreadsheet's exponent form, which has lost digits")]
    Exponent,
    #[error("is not an e-mail address")]
    Email,
}

impl Normalizer {
    /// Every name that [`named`](Self::named) knows.
    pub const NAMES: [&str; 8] =
        ["email", "email_lower", "whitespace", "lower", "upper", "digits", "code", "unprefixed"];

    /// The normaliser called exactly `name`; `None` where there is no such. `phone` has a constructor of its own.
    pub fn named(name: &str) -> Option<Self> {
        let text = [Self::Whitespace, Self::Lower, Self::Upper, Self::Digits, Self::Code, Self::Unprefixed];
        [Self::Email, Self::EmailLower].into_iter().chain(text).find(|normalizer| normalizer.name() == name)
    }

    /// The normaliser of telephone numbers whose national form is that of `region`: two letters of ISO 3166-1, in any
    /// case (`GB`, not `UK`). `None` for a region that has no numbering plan.
    pub fn phone(region: &str) -> Option<Self> {
        phone::region(region).map(|region| Self::Phone { region })
    }

    /// One of [`NAMES`](Self::NAMES), or `phone`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Phone { .. } => "phone",
            Self::Email => "email",
            Self::EmailLower => "email_lower",
            Self::Whitespace => "whitespace",
            Self::Lower => "lower",
            Self::Upper => "upper",
            Self::Digits => "digits",
            Self::Code => "code",
            Self::Unprefixed => "unprefixed",
        }
    }

    /// What is stored beside a value: the name and the version of its rules, as `email/1`. Two values can be compared
    /// where these are the same. A phone number's is that of the numbering plans. The others' stands for the Unicode
    /// version too; a later one gives the same for all characters that this one has.
    pub fn version(&self) -> String {
        let version = if matches!(self, Self::Phone { .. }) { phone::METADATA } else { "1" };
        format!("{}/{version}", self.name())
    }

    /// The normal form of `text`; `None` where nothing is left of it.
    ///
    /// # Errors
    /// For a text that is neither blank nor what it must be; only phone numbers and e-mail addresses have such.
    pub fn apply<'a>(&self, text: &'a str) -> Result<Option<Cow<'a, str>>, Invalid> {
        match self {
            Self::Phone { region } => phone::apply(text, region),
            Self::Email => email::apply(text),
            Self::EmailLower => email::lowered(text),
            Self::Whitespace => Ok(text::whitespace(text)),
            Self::Lower => Ok(text::lower(text)),
            Self::Upper => Ok(text::upper(text)),
            Self::Digits => Ok(text::digits(text)),
            Self::Code => Ok(text::code(text)),
            Self::Unprefixed => Ok(text::unprefixed(text)),
        }
    }
}

#[cfg(test)]
mod tests;
