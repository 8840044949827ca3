//! JSON read strictly: one object, no name twice at any depth, no deep nesting, no unknown fields.
//!
//! serde alone keeps the last of two equal names and takes an array for a struct; both have been used to let
//! one check see another value than the next one. Owns the faults and their pointers; what they say never
//! repeats what was sent.

use std::{borrow::Cow, cell::RefCell, fmt};

use serde::de::{DeserializeOwned, DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};
use serde_path_to_error::Segment;

use super::problem::{Problem, ProblemCode};

/// Levels of objects and arrays a body may have. The deepest of ours has two; more only feeds parsers' bugs.
pub const DEPTH_MAX: usize = 8;
/// Longest name that a pointer repeats; others are left out of it.
const POINTER_NAME_CHARS_MAX: usize = 64;

/// Why a body is not the JSON a call takes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JsonFault {
    /// Not JSON, or not UTF-8.
    #[error("malformed json")]
    Malformed,
    /// JSON, but an array, a string, a number…
    #[error("not a json object")]
    NotObject,
    /// Nested deeper than [`DEPTH_MAX`].
    #[error("json nested too deeply")]
    TooDeep,
    /// One name twice in one object.
    #[error("repeated json name")]
    Repeated {
        /// JSON pointer to the name.
        pointer: String,
    },
    /// A name the call does not know.
    #[error("unknown json field")]
    Unknown {
        /// JSON pointer to the name.
        pointer: String,
    },
    /// A field that is missing, of the wrong type or out of range.
    #[error("invalid json field")]
    Invalid {
        /// JSON pointer to the field.
        pointer: String,
        /// What is expected there.
        message: Cow<'static, str>,
    },
}

impl From<JsonFault> for Problem {
    fn from(fault: JsonFault) -> Self {
        let invalid = Self::new(ProblemCode::InvalidField);
        match fault {
            JsonFault::Malformed => Self::new(ProblemCode::MalformedJson),
            JsonFault::NotObject => invalid.field("", "must be an object"),
            JsonFault::TooDeep => invalid.field("", "is nested too deeply"),
            JsonFault::Repeated { pointer } => invalid.field(pointer, "appears more than once"),
            JsonFault::Unknown { pointer } => Self::new(ProblemCode::UnknownField).field(pointer, "is unknown"),
            JsonFault::Invalid { pointer, message } => invalid.field(pointer, message),
        }
    }
}

/// Parses one object of known fields. `T` denies unknown fields itself (`#[serde(deny_unknown_fields)]`).
pub fn typed<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, JsonFault> {
    let value = Value::Object(object(bytes)?);
    serde_path_to_error::deserialize(value).map_err(|error| field_fault(&error))
}

/// Parses one object, whatever its fields.
pub fn object(bytes: &[u8]) -> Result<Map<String, Value>, JsonFault> {
    match value(bytes)? {
        Value::Object(map) => Ok(map),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            Err(JsonFault::NotObject)
        }
    }
}

/// Parses one value of any kind, by the same rules.
pub fn value(bytes: &[u8]) -> Result<Value, JsonFault> {
    let fault = RefCell::new(None);
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let seed = Strict { depth: 0, fault: &fault };
    let parsed = seed.deserialize(&mut deserializer).and_then(|value| deserializer.end().map(|()| value));
    parsed.map_err(|_| fault.into_inner().unwrap_or(JsonFault::Malformed))
}

/// Builds a [`Value`] and stops at the first repeated name or too deep level. The reason goes beside serde's
/// error, which can hold text only.
#[derive(Clone, Copy)]
struct Strict<'a> {
    depth: usize,
    fault: &'a RefCell<Option<JsonFault>>,
}

impl Strict<'_> {
    fn deeper<E: serde::de::Error>(self) -> Result<Self, E> {
        if self.depth == DEPTH_MAX {
            self.fault.replace(Some(JsonFault::TooDeep));
            return Err(E::custom("too deep"));
        }
        Ok(Self { depth: self.depth + 1, ..self })
    }

    /// Puts the parent's name before the pointer of a fault on its way up.
    fn within<E>(self, name: &str, error: E) -> E {
        if let Some(JsonFault::Repeated { pointer }) = &mut *self.fault.borrow_mut() {
            *pointer = join(name, pointer);
        }
        error
    }
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("json")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut list = Vec::new();
        while let Some(item) =
            items.next_element_seed(inner).map_err(|error| self.within(&list.len().to_string(), error))?
        {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut map = Map::new();
        while let Some(name) = entries.next_key::<String>()? {
            if map.contains_key(&name) {
                self.fault.replace(Some(JsonFault::Repeated { pointer: join(&name, "") }));
                return Err(A::Error::custom("repeated name"));
            }
            let value = entries.next_value_seed(inner).map_err(|error| self.within(&name, error))?;
            map.insert(name, value);
        }
        Ok(Value::Object(map))
    }
}

/// `/name` before `rest`; a name that is not a plain one ends the pointer at its parent, because a pointer
/// must not become a way to have text of one's own repeated.
fn join(name: &str, rest: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    let fits = (1..=POINTER_NAME_CHARS_MAX).contains(&name.len()) && name.bytes().all(plain);
    if fits { format!("/{name}{rest}") } else { String::new() }
}

/// Reads serde's error, of which only kind and place are kept.
fn field_fault(error: &serde_path_to_error::Error<serde_json::Error>) -> JsonFault {
    let names: Vec<Cow<'_, str>> = error.path().iter().filter_map(segment_name).collect();
    let pointer = names.iter().rev().fold(String::new(), |rest, name| join(name, &rest));
    let text = error.inner().to_string();
    if text.starts_with("unknown field") {
        return JsonFault::Unknown { pointer };
    }
    if let Some(field) = text.strip_prefix("missing field `").and_then(|rest| rest.split('`').next()) {
        return JsonFault::Invalid { pointer: format!("{pointer}{}", join(field, "")), message: "is required".into() };
    }
    // The text before the last mark repeats the input; what follows it is our own type's description.
    let message = match text.rsplit_once(", expected ") {
        Some((_, expected)) => must_be(expected),
        None => Cow::Borrowed("is not valid"),
    };
    JsonFault::Invalid { pointer, message }
}

fn segment_name(segment: &Segment) -> Option<Cow<'_, str>> {
    match segment {
        Segment::Seq { index } => Some(index.to_string().into()),
        Segment::Map { key } => Some(key.as_str().into()),
        Segment::Enum { .. } | Segment::Unknown => None,
    }
}

/// serde names Rust's types; a client knows JSON's.
fn must_be(expected: &str) -> Cow<'static, str> {
    match expected.split([' ', '<']).next().unwrap_or_default() {
        "u8" | "u16" | "u32" | "u64" | "usize" | "i8" | "i16" | "i32" | "i64" => {
            "must be a whole number in range".into()
        }
        "f32" | "f64" => "must be a number".into(),
        "struct" => "must be an object".into(),
        "option" | "variant" | "enum" => "is not valid".into(),
        "one" => format!("must be {expected}").into(),
        _ if expected.starts_with('`') => format!("must be {expected}").into(),
        _ => match expected {
            "a string" => "must be a string".into(),
            "a boolean" => "must be a boolean".into(),
            "a map" => "must be an object".into(),
            "a sequence" => "must be an array".into(),
            _ => "is not valid".into(),
        },
    }
}

/// Takes a field that may be absent but not `null`: serde's own `Option` takes `null` for absent.
/// Use with `#[serde(default, deserialize_with = "json::present")]`.
pub fn present<'de, T, D>(deserializer: D) -> Result<Option<T>, D::Error>
where
    T: serde::Deserialize<'de>,
    D: Deserializer<'de>,
{
    T::deserialize(deserializer).map(Some)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Start {
        to: String,
        #[serde(default, deserialize_with = "present")]
        ttl: Option<u32>,
        channel: Option<Channel>,
        #[serde(default)]
        metadata: BTreeMap<String, String>,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Channel {
        Sms,
        Voice,
    }

    fn fault(body: &str) -> String {
        let problem = Problem::from(typed::<Start>(body.as_bytes()).unwrap_err());
        let value: Value = serde_json::from_slice(&problem.render()).unwrap();
        let error = &value["errors"][0];
        match error["pointer"].as_str() {
            Some(pointer) => format!("{} {pointer:?} {}", value["code"].as_str().unwrap(), error["message"]),
            None => value["code"].as_str().unwrap().to_owned(),
        }
    }

    #[test]
    fn takes_what_is_right() {
        let start: Start = typed(br#" {"to":"+98","ttl":60,"channel":"voice","metadata":{"a":"b","c":"d"}} "#).unwrap();
        assert_eq!((start.to.as_str(), start.ttl, start.channel), ("+98", Some(60), Some(Channel::Voice)));
        assert_eq!(start.metadata.len(), 2);
        assert!(typed::<Start>(br#"{"to":"1","channel":null}"#).is_ok());
    }

    /// security 5, 24, 93: each wrong shape has its code, its pointer and nothing of the input.
    #[test]
    fn refuses_what_is_wrong() {
        let check = |body: &str, expected: &str| assert_eq!(fault(body), expected, "{body}");
        check("", "malformed_json");
        check("{", "malformed_json");
        check("{\"to\":\"1\"} x", "malformed_json");
        check("{\"to\":\"1\",}", "malformed_json");
        check("{'to':'1'}", "malformed_json");
        check("{\"to\":\"\n\"}", "malformed_json");
        check("{\"to\":NaN}", "malformed_json");
        check("\u{FEFF}{}", "malformed_json");
        check("[]", r#"invalid_field "" "must be an object""#);
        check("[{\"to\":\"1\"}]", r#"invalid_field "" "must be an object""#);
        check("[\"1\"]", r#"invalid_field "" "must be an object""#);
        check("null", r#"invalid_field "" "must be an object""#);
        check("\"to\"", r#"invalid_field "" "must be an object""#);
        check("{}", r#"invalid_field "/to" "is required""#);
        check("{\"to\":1}", r#"invalid_field "/to" "must be a string""#);
        check("{\"to\":null}", r#"invalid_field "/to" "must be a string""#);
        check("{\"to\":true}", r#"invalid_field "/to" "must be a string""#);
        check("{\"to\":[\"1\"]}", r#"invalid_field "/to" "must be a string""#);
        check("{\"to\":{\"$ne\":null}}", r#"invalid_field "/to" "must be a string""#);
        check("{\"to\":\"1\",\"ttl\":\"60\"}", r#"invalid_field "/ttl" "must be a whole number in range""#);
        check("{\"to\":\"1\",\"ttl\":null}", r#"invalid_field "/ttl" "must be a whole number in range""#);
        check("{\"to\":\"1\",\"ttl\":-1}", r#"invalid_field "/ttl" "must be a whole number in range""#);
        check("{\"to\":\"1\",\"ttl\":1.5}", r#"invalid_field "/ttl" "must be a whole number in range""#);
        check("{\"to\":\"1\",\"channel\":\"fax\"}", r#"invalid_field "/channel" "must be `sms` or `voice`""#);
        check("{\"to\":\"1\",\"metadata\":{\"a\":1}}", r#"invalid_field "/metadata/a" "must be a string""#);
        check("{\"to\":\"1\",\"metadata\":[]}", r#"invalid_field "/metadata" "must be an object""#);
        check("{\"to\":\"1\",\"code\":\"123456\"}", r#"unknown_field "/code" "is unknown""#);
        // No text of the client's own comes back.
        check("{\"to\":\"1\",\"<b>x</b>\":1}", r#"unknown_field "" "is unknown""#);
        check(
            "{\"to\":\"1\",\"channel\":\"x, expected <b>\"}",
            r#"invalid_field "/channel" "must be `sms` or `voice`""#,
        );
        check(
            "{\"to\":\"1\",\"ttl\":\"x, expected <b>\"}",
            r#"invalid_field "/ttl" "must be a whole number in range""#,
        );
    }

    /// security 5, 93: one name twice is refused at any depth, also spelled with escapes.
    #[test]
    fn refuses_repeated_names() {
        let check = |body: &str, expected: &str| assert_eq!(fault(body), expected, "{body}");
        check(r#"{"to":"1","to":"2"}"#, r#"invalid_field "/to" "appears more than once""#);
        check(r#"{"to":"1","to":"1"}"#, r#"invalid_field "/to" "appears more than once""#);
        check(r#"{"to":"1","\u0074o":"2"}"#, r#"invalid_field "/to" "appears more than once""#);
        check(r#"{"to":"1","metadata":{"a":"1","a":"2"}}"#, r#"invalid_field "/metadata/a" "appears more than once""#);
        check(r#"{"x":[1,{"a":{"b":1,"b":2}}]}"#, r#"invalid_field "/x/1/a/b" "appears more than once""#);
        check(r#"{"x y":{"a":1,"a":2}}"#, r#"invalid_field "" "appears more than once""#);
    }

    /// security 93: depth is bounded, and a body full of brackets costs no stack.
    #[test]
    fn refuses_deep_nesting() {
        let nested = |depth: usize| format!("{{\"x\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
        assert_eq!(object(nested(DEPTH_MAX - 1).as_bytes()).map(|map| map.len()), Ok(1));
        assert_eq!(object(nested(DEPTH_MAX).as_bytes()), Err(JsonFault::TooDeep));
        assert_eq!(object("[".repeat(16_384).as_bytes()), Err(JsonFault::TooDeep));
    }

    #[test]
    fn refuses_other_encodings() {
        assert_eq!(object(b"{\"to\":\"\xff\"}"), Err(JsonFault::Malformed));
        assert_eq!(object(b"{\"to\":\"\\ud800\"}"), Err(JsonFault::Malformed));
    }
}
