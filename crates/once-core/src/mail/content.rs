//! What a tree of parts shows as text, and what is attached.

use super::encoding::text;
use super::header::Parameters;
use super::{Attachment, Refusal};
use std::borrow::Cow;
use std::collections::HashSet;

/// Names and values, unfolded.
pub type Headers<'a> = Vec<(Cow<'a, str>, Cow<'a, str>)>;

/// A part of a message, as Gmail's `MessagePart`.
#[derive(Default)]
pub struct Part<'a> {
    pub id: String,
    pub headers: Headers<'a>,
    /// In lower case.
    pub mime_type: String,
    /// As Gmail decoded it.
    pub filename: Option<Cow<'a, str>>,
    pub attachment_id: Option<String>,
    pub size: Option<i64>,
    /// Without transfer encoding, in its own charset.
    pub body: Option<Cow<'a, [u8]>>,
    pub parts: Vec<Part<'a>>,
}

/// What is read as text.
#[derive(Default)]
pub struct Body {
    pub plain: Option<String>,
    pub html: Option<String>,
}

impl Part<'_> {
    /// The first header of that name, given in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_ref())
    }

    pub fn content_type(&self) -> Option<Parameters<'_>> {
        self.header("content-type").map(Parameters::read)
    }

    /// The type that the header says. What can't be read is as if it were missing (RFC 2045, 5.2).
    pub fn media_type(&self, default: &str) -> String {
        let named = self.content_type().map(|content_type| content_type.value).filter(|name| name.contains('/'));
        named.unwrap_or_else(|| default.to_owned())
    }

    pub fn is_multipart(&self) -> bool {
        self.mime_type.starts_with("multipart/")
    }

    /// The id of the child that is `place`th, from 0.
    pub fn child(&self, place: usize) -> String {
        if self.id.is_empty() { place.to_string() } else { format!("{}.{place}", self.id) }
    }

    /// Takes the tree apart. It is no deeper than [`DEPTH`](super::DEPTH).
    pub fn content(self) -> Result<(Body, Vec<Attachment>), Refusal> {
        let mut attachments = Vec::new();
        let body = self.take_apart(&mut attachments);
        let mut ids = HashSet::new();
        if !attachments.iter().all(|attachment| ids.insert(attachment.part_id.as_str())) {
            return Err(Refusal::PartIds);
        }
        Ok((body, attachments))
    }

    fn take_apart(self, attachments: &mut Vec<Attachment>) -> Body {
        if self.is_multipart() && !self.parts.is_empty() {
            let alternative = self.mime_type == "multipart/alternative";
            let bodies = self.parts.into_iter().map(|part| part.take_apart(attachments));
            return bodies.fold(Body::default(), |all, body| all.and(body, alternative));
        }
        let content_type = self.content_type();
        let disposition = self.header("content-disposition").map(Parameters::read);
        let filename = self.filename(disposition.as_ref(), content_type.as_ref());
        let charset = content_type.and_then(|content_type| content_type.get("charset"));
        let disposition = disposition.map_or_else(String::new, |disposition| disposition.value);
        // A multipart without parts is a broken one: somebody's text.
        let shown = matches!(self.mime_type.as_str(), "text/plain" | "text/html") || self.is_multipart();
        if shown && filename.is_none() && self.attachment_id.is_none() && disposition != "attachment" {
            let bytes = match self.body {
                Some(bytes) => bytes,
                None if self.size == Some(0) => Cow::default(),
                None => return Body::default(),
            };
            let text = Some(text(&bytes, charset.as_deref()).into_owned());
            return match self.mime_type.as_str() {
                "text/html" => Body { plain: None, html: text },
                "text/plain" => Body { plain: text, html: None },
                _ => Body { plain: text.filter(|text| !text.trim().is_empty()), html: None },
            };
        }
        let content_id = self.header("content-id").map(|id| id.trim_matches(['<', '>', ' ', '\t']).to_owned());
        let content_id = content_id.filter(|id| !id.is_empty());
        attachments.push(Attachment {
            inline: disposition == "inline" || disposition.is_empty() && content_id.is_some(),
            part_id: self.id,
            attachment_id: self.attachment_id,
            filename,
            mime_type: self.mime_type,
            size_bytes: self.size,
            content: self.body.map(Cow::into_owned),
            content_id,
        });
        Body::default()
    }

    /// The name by the part's own headers, so that it is the same in every format, or else by Gmail.
    fn filename(&self, disposition: Option<&Parameters<'_>>, content_type: Option<&Parameters<'_>>) -> Option<String> {
        let named = disposition.and_then(|disposition| disposition.get("filename"));
        let named = named.or_else(|| content_type.and_then(|content_type| content_type.get("name")));
        named.or_else(|| self.filename.as_deref().filter(|name| !name.is_empty()).map(str::to_owned))
    }
}

impl Body {
    /// Of alternatives the first of each kind (RFC 2046, 5.1.4), of all others one after another.
    fn and(self, other: Self, alternative: bool) -> Self {
        let join = |first: Option<String>, second: Option<String>| match (first, second) {
            (Some(first), Some(second)) if first.is_empty() => Some(second),
            (Some(mut first), Some(second)) if !alternative && !second.is_empty() => {
                if !first.ends_with('\n') {
                    first.push('\n');
                }
                first.push_str(&second);
                Some(first)
            }
            (first, second) => first.or(second),
        };
        Self { plain: join(self.plain, other.plain), html: join(self.html, other.html) }
    }
}
