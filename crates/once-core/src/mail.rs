//! Mail as the Gmail API gives it, brought to what can be written to tables.
//!
//! A message comes as the resource that `users.messages.get` returns
//! (<https://developers.google.com/workspace/gmail/api/reference/rest/v1/users.messages>), in any of its four formats.
//! `format=raw`, a text of RFC 5322, is first brought to the tree of parts that `format=full` has; from there on both go
//! the same way, so that one message gives the same rows whichever format it was fetched in.

mod address;
mod content;
mod encoding;
mod gmail;
mod header;
mod json;
mod mime;
mod path;

pub use json::Json;
pub use path::{file_name, storage_path};

/// How deep the parts of a message may be nested.
pub const DEPTH: usize = 100;

/// How many parts, and how many headers, a message of `format=raw` may have: each takes much more memory than the few
/// bytes that make one.
pub const LIMIT: usize = 100_000;

/// What a message says, under the names of its columns. No text has a NUL: each is a U+FFFD.
///
/// A partial fetch says less, never something else: what it leaves out is `None`, or an empty list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Gmail's `id`.
    pub provider_message_id: String,
    /// Gmail's `threadId`.
    pub provider_thread_id: String,
    pub history_id: Option<i64>,
    /// `None` where nothing is said of labels: neither they nor a history. Gmail leaves an empty list out.
    pub label_ids: Option<Vec<String>>,
    /// As plain text; Gmail gives it as HTML.
    pub snippet: Option<String>,
    /// In milliseconds since 1970-01-01 UTC, of the years 1 to 9999.
    pub internal_date: Option<i64>,
    /// In bytes.
    pub size_estimate: Option<i64>,
    pub format: Format,
    /// Names and values in their order, unfolded, otherwise as they are: encoded words stay encoded.
    pub headers: Option<Vec<(String, String)>>,
    pub subject: Option<String>,
    /// The first in the first `From`; one with an `@` before any other.
    pub from: Option<Address>,
    pub reply_to: Vec<Address>,
    pub to: Vec<Address>,
    pub cc: Vec<Address>,
    pub bcc: Vec<Address>,
    /// The header `Date` in RFC 3339 with its own offset, of the years 1 to 9999; `None` where it can't be read.
    pub sent_at: Option<String>,
    /// `<left@right>`, or the header's text where it has no such.
    pub message_id: Option<String>,
    /// Each as `<left@right>`.
    pub in_reply_to: Vec<String>,
    /// Each as `<left@right>`, the oldest first.
    pub references: Vec<String>,
    pub body_plain: Option<String>,
    pub body_html: Option<String>,
    /// In the order of their parts; `None` where the format has no parts.
    pub attachments: Option<Vec<Attachment>>,
}

/// A mailbox of RFC 5322, 3.4.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// The display name, or else the comment, decoded.
    pub name: Option<String>,
    /// Normal as [`Normalizer::Email`](crate::normalize::Normalizer::Email) has it, or else the text as it was sent.
    pub email: String,
}

/// A part of a message that is not shown as its text: a file, an inline image, an attached message, a signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attachment {
    /// Gmail's `partId`: the part's place among its siblings, from 0, after its parent's id and a dot. The message itself
    /// has the empty one. Stable, and unique in the message.
    pub part_id: String,
    /// What `users.messages.attachments.get` takes. Gmail gives another one at every fetch.
    pub attachment_id: Option<String>,
    /// As the sender gave it; see [`file_name`] for one that is safe to write to.
    pub filename: Option<String>,
    /// In lower case, as `image/png`.
    pub mime_type: String,
    /// Of the decoded content.
    pub size_bytes: Option<i64>,
    /// Without transfer encoding; `None` where it has to be downloaded.
    pub content: Option<Vec<u8>>,
    /// Without the angle brackets.
    pub content_id: Option<String>,
    /// To be shown in the text rather than beside it: so the sender asked, or named it by `content_id` and nothing else.
    pub inline: bool,
}

/// How much of a message there is; told by what is in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// All of it, as a tree of parts; large ones and files have to be downloaded.
    Full,
    /// All of it, as a text of RFC 5322.
    Raw,
    /// Headers, or only some of them.
    Metadata,
    /// Ids, labels and numbers.
    Minimal,
}

impl Format {
    /// As the API's parameter `format` calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Raw => "raw",
            Self::Metadata => "metadata",
            Self::Minimal => "minimal",
        }
    }
}

/// Why a message can't be taken; it reads after "the message". It has nothing of what the message says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("is not a JSON object")]
    NotAnObject,
    #[error("has no {0}")]
    Missing(&'static str),
    #[error("needs {expected} as its {field}")]
    Type { field: &'static str, expected: &'static str },
    #[error("has its {0} out of range")]
    Range(&'static str),
    #[error("has its {0} not in base64url")]
    Base64(&'static str),
    #[error("has parts nested more than {DEPTH} deep")]
    Depth,
    #[error("has more than {LIMIT} {0}")]
    TooMany(&'static str),
    #[error("has two parts with the same partId")]
    PartIds,
}

impl Message {
    /// The message in `resource`, as `users.messages.get` returns it. Fields that are not known are not looked at, and
    /// `null` is as if it were missing.
    ///
    /// # Errors
    /// Where the JSON is not what the API gives. However odd the mail itself is, what can be kept of it is.
    pub fn read(resource: &Json<'_>) -> Result<Self, Refusal> {
        gmail::read(resource)
    }

    /// Whether it has any, inline ones too; `None` where the format does not tell.
    pub fn has_attachments(&self) -> Option<bool> {
        self.attachments.as_ref().map(|attachments| !attachments.is_empty())
    }
}

#[cfg(test)]
mod tests;
