mod encoding;
mod fields;
mod fixtures;
mod fuzz;
mod gmail;
mod parts;
mod path;

use super::*;
use serde_json::{Value, json};
use std::borrow::Cow;

/// What serde_json read, as the extension hands it over.
fn tree(value: &Value) -> Json<'_> {
    match value {
        Value::Null => Json::Null,
        Value::Bool(value) => Json::Bool(*value),
        Value::Number(number) => Json::Number(number.to_string().into()),
        Value::String(text) => Json::String(Cow::Borrowed(text)),
        Value::Array(items) => Json::Array(items.iter().map(tree).collect()),
        Value::Object(members) => {
            Json::Object(members.iter().map(|(name, value)| (name.as_str(), tree(value))).collect())
        }
    }
}

fn read(resource: &Value) -> Result<Message, Refusal> {
    Message::read(&tree(resource))
}

/// base64url without padding; RFC 4648, 5.
fn base64url(bytes: &[u8]) -> String {
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let bits = chunk.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for place in 0..=chunk.len() {
            text.push(char::from(alphabet[(bits >> (18 - 6 * place)) as usize & 63]));
        }
    }
    text
}

fn raw(bytes: impl AsRef<[u8]>) -> Message {
    read(&json!({"id": "m", "threadId": "t", "raw": base64url(bytes.as_ref())})).unwrap()
}

/// A message with these lines of headers and no body.
fn headed(headers: &str) -> Message {
    raw(format!("{headers}\n\n"))
}

fn person(name: Option<&str>, email: &str) -> Address {
    Address { name: name.map(str::to_owned), email: email.to_owned() }
}
