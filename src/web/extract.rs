//! What handlers ask for in their signature. Ours rather than the framework's, so that every refusal is one of our
//! error pages and no input is taken loosely.

use axum::extract::{FromRequestParts, RawPathParams};
use axum::http::request::Parts;
use serde::de::{self, DeserializeOwned, Deserializer, Visitor as SerdeVisitor};
use std::str::FromStr;
use url::form_urlencoded;

use super::error::Failure;
use super::guard::Visitor;
use crate::accounts::ceremonies::Holder;
use crate::domain::people::{Approver, Person};

/// The person who is signed in. Only behind a route that requires it; elsewhere it refuses.
#[derive(Debug, Clone)]
pub struct SignedIn(pub Person);

impl<S: Send + Sync> FromRequestParts<S> for SignedIn {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        let person = parts.extensions.get::<Visitor>().and_then(|visitor| visitor.person.clone());
        person.map(Self).ok_or_else(|| Failure::new(axum::http::StatusCode::UNAUTHORIZED))
    }
}

/// Who alone can go on with what they begin here: this session, or this browser before there is one.
#[derive(Debug, Clone, Copy)]
pub struct Beginning(pub Holder);

impl<S: Send + Sync> FromRequestParts<S> for Beginning {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        let holder = parts.extensions.get::<Visitor>().and_then(|visitor| visitor.holder);
        holder.map(Self).ok_or_else(|| {
            Failure::forbidden("This browser does not keep the portal's cookies. Allow them, and begin again.")
        })
    }
}

/// The person who is signed in, if anybody is.
#[derive(Debug, Clone)]
pub struct MaybeSignedIn(pub Option<Person>);

impl<S: Send + Sync> FromRequestParts<S> for MaybeSignedIn {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        Ok(Self(parts.extensions.get::<Visitor>().and_then(|visitor| visitor.person.clone())))
    }
}

/// Proof that the person signed in may decide.
#[derive(Debug, Clone)]
pub struct Approving(pub Approver);

impl<S: Send + Sync> FromRequestParts<S> for Approving {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        let SignedIn(person) = SignedIn::from_request_parts(parts, state).await?;
        Approver::of(&person).map(Self).ok_or_else(|| {
            Failure::forbidden("Your account does not have the approver role. Ask an admin of this portal for it.")
        })
    }
}

/// The `{…}` of the route's path, parsed. Text that cannot be one of our ids is a page that does not exist: 404.
#[derive(Debug, Clone, Copy)]
pub struct Segment<T>(pub T);

impl<S: Send + Sync, T: FromSegments> FromRequestParts<S> for Segment<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        let raw = RawPathParams::from_request_parts(parts, state).await.map_err(|_| Failure::not_found())?;
        let values: Vec<&str> = raw.iter().map(|(_, value)| value).collect();
        T::from_segments(&values).map(Self).ok_or_else(Failure::not_found)
    }
}

/// What can be read from the `{…}` parts of a path, in their order.
pub trait FromSegments: Sized {
    fn from_segments(values: &[&str]) -> Option<Self>;
}

impl<A: FromStr> FromSegments for (A,) {
    fn from_segments(values: &[&str]) -> Option<Self> {
        let [a] = values else { return None };
        Some((a.parse().ok()?,))
    }
}

impl<A: FromStr, B: FromStr> FromSegments for (A, B) {
    fn from_segments(values: &[&str]) -> Option<Self> {
        let [a, b] = values else { return None };
        Some((a.parse().ok()?, b.parse().ok()?))
    }
}

/// The query of the address. Unknown and repeated parameters are refused with 400 (S-34).
#[derive(Debug, Clone)]
pub struct Query<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        strict(parts.uri.query().unwrap_or_default().as_bytes()).map(Self).map_err(Failure::bad_request)
    }
}

/// Reads urlencoded fields into a struct. Every field must be one of the struct's, at most once.
///
/// # Errors
/// A sentence that names the field and does not repeat its value.
pub fn strict<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    T::deserialize(Strict(bytes)).map_err(|error| error.to_string())
}

struct Strict<'a>(&'a [u8]);

impl<'de> Deserializer<'de> for Strict<'de> {
    type Error = de::value::Error;

    fn deserialize_struct<V: SerdeVisitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        let mut seen = Vec::new();
        for (key, _) in form_urlencoded::parse(self.0) {
            if !fields.contains(&key.as_ref()) {
                return Err(de::Error::custom("The request has a field that this page does not know."));
            }
            if seen.contains(&key) {
                return Err(de::Error::custom(format!("The request gives “{key}” twice.")));
            }
            seen.push(key);
        }
        serde_urlencoded::Deserializer::new(form_urlencoded::parse(self.0)).deserialize_struct(name, fields, visitor)
    }

    fn deserialize_any<V: SerdeVisitor<'de>>(self, _: V) -> Result<V::Value, Self::Error> {
        Err(de::Error::custom("fields are read into structs only"))
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    struct Search {
        q: String,
        #[serde(default)]
        before: Option<i64>,
    }

    #[test]
    fn fields_arrive_typed() {
        let search: Search = strict(b"q=a%20b&before=7").unwrap();
        assert_eq!((search.q.as_str(), search.before), ("a b", Some(7)));
    }

    #[test]
    fn unknown_repeated_missing_and_unreadable_fields_are_refused_without_echoing_values() {
        for bad in [&b"q=a&extra=<evil>"[..], b"q=a&q=<evil>", b"before=1", b"q=a&before=<evil>"] {
            let said = strict::<Search>(bad).unwrap_err();
            assert!(!said.contains("evil"), "{said}");
        }
    }
}
