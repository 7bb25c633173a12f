use std::borrow::Cow;

/// A JSON value whose texts are someone else's, as those of Postgres's `jsonb` are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Json<'a> {
    Null,
    Bool(bool),
    /// As it is written.
    Number(Cow<'a, str>),
    String(Cow<'a, str>),
    Array(Vec<Json<'a>>),
    Object(Vec<(&'a str, Json<'a>)>),
}

impl<'a> Json<'a> {
    /// What an object has under `name`. `None` for a `null` too, and for what is not an object.
    pub fn get(&self, name: &str) -> Option<&Json<'a>> {
        let Self::Object(members) = self else { return None };
        members.iter().find(|(member, _)| *member == name).map(|(_, value)| value).filter(|value| **value != Self::Null)
    }
}
