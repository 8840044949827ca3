//! The body of a webhook: JSON of the operator's in whose texts placeholders stand.
//!
//! The template is read as JSON once, at start; a message is put into the texts of the tree, never into JSON itself, so
//! that no text of a message can break out of its quotes. Owns the placeholders. Never shows a message.

use serde_json::{Map, Value};

use super::NAME;
use crate::{
    record::UnixMillis,
    sms::{SendClass, SendError, Sms},
};

/// What a message can put into a body.
pub(super) struct Facts<'a> {
    pub(super) id: &'a str,
    pub(super) sms: &'a Sms,
    pub(super) now: UnixMillis,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Slot {
    /// The id in `webhook-id`.
    Id,
    /// `+` and digits.
    To,
    /// The same without `+`.
    ToDigits,
    /// Our name of the message, as a receipt is to bring it back; empty for a notice.
    Reference,
    /// `sms`, `voice` or `whatsapp`.
    Channel,
    /// The whole text.
    Text,
    /// The code alone: `null` or nothing for a notice, which has none.
    Code,
    /// Seconds that the message is of use; a number if it stands alone.
    ValidS,
    /// The end of that, RFC 3339.
    ExpiresAt,
}

/// Every placeholder.
const SLOTS: [(&str, Slot); 9] = [
    ("id", Slot::Id),
    ("reference", Slot::Reference),
    ("channel", Slot::Channel),
    ("to", Slot::To),
    ("to_digits", Slot::ToDigits),
    ("text", Slot::Text),
    ("code", Slot::Code),
    ("valid_s", Slot::ValidS),
    ("expires_at", Slot::ExpiresAt),
];

/// A body with room for a message.
pub(super) struct Template {
    root: Node,
    has_text: bool,
    has_channel: bool,
}

enum Node {
    Fixed(Value),
    /// A text that is one placeholder and nothing else.
    Slot(Slot),
    Text(Vec<Piece>),
    List(Vec<Self>),
    Object(Vec<(String, Self)>),
}

enum Piece {
    Fixed(String),
    Slot(Slot),
}

impl Template {
    /// Reads a template; the error says what is asked of it.
    pub(super) fn parse(text: &str) -> Result<Self, &'static str> {
        let json: Value = serde_json::from_str(text).map_err(|_| "must be JSON")?;
        if !json.is_object() && !json.is_array() {
            return Err("must be a JSON object or list");
        }
        let mut slots = Vec::new();
        let root = node(json, &mut slots).ok_or(
            "may hold {id}, {reference}, {channel}, {to}, {to_digits}, {text}, {code}, {valid_s} and {expires_at} in its \
             texts; write {{ and }} for other braces",
        )?;
        let has = |slot| slots.contains(&slot);
        if !has(Slot::To) && !has(Slot::ToDigits) {
            return Err("must hold {to} or {to_digits}");
        }
        if !has(Slot::Text) && !has(Slot::Code) {
            return Err("must hold {text} or {code}");
        }
        Ok(Self { root, has_text: has(Slot::Text), has_channel: has(Slot::Channel) })
    }

    /// True if the receiver is told by what a message is to go; it can take text messages only if it is not.
    pub(super) fn has_channel(&self) -> bool {
        self.has_channel
    }

    /// The body for a message. A notice cannot go where only codes can.
    pub(super) fn fill(&self, facts: &Facts<'_>) -> Result<Vec<u8>, SendError> {
        if !self.has_text && facts.sms.code.is_none() {
            return Err(SendError::new(
                SendClass::BadConfig,
                format!("{NAME} body takes codes only, and this is none"),
            ));
        }
        Ok(self.root.fill(facts).to_string().into_bytes())
    }
}

impl Node {
    fn fill(&self, facts: &Facts<'_>) -> Value {
        match self {
            Self::Fixed(value) => value.clone(),
            Self::Slot(slot) => slot.value(facts),
            Self::Text(pieces) => Value::String(pieces.iter().map(|piece| piece.text(facts)).collect()),
            Self::List(nodes) => Value::Array(nodes.iter().map(|node| node.fill(facts)).collect()),
            Self::Object(members) => {
                let members = members.iter().map(|(name, node)| (name.clone(), node.fill(facts)));
                Value::Object(members.collect::<Map<_, _>>())
            }
        }
    }
}

impl Piece {
    fn text(&self, facts: &Facts<'_>) -> String {
        match self {
            Self::Fixed(text) => text.clone(),
            Self::Slot(slot) => match slot.value(facts) {
                Value::String(text) => text,
                Value::Null => String::new(),
                other @ (Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => other.to_string(),
            },
        }
    }
}

impl Slot {
    fn value(self, facts: &Facts<'_>) -> Value {
        let Facts { id, sms, now } = facts;
        match self {
            Self::Id => Value::from(*id),
            Self::Reference => Value::from(sms.reference.as_str()),
            Self::Channel => Value::from(sms.channel.name()),
            Self::To => Value::from(sms.to.to_e164()),
            Self::ToDigits => Value::from(sms.to.as_u64().to_string()),
            Self::Text => Value::from(sms.text.as_str()),
            Self::Code => sms.code.as_ref().map_or(Value::Null, |code| Value::from(code.reveal())),
            Self::ValidS => Value::from(sms.valid_s),
            Self::ExpiresAt => Value::from(rfc3339(now.0 / 1_000 + u64::from(sms.valid_s))),
        }
    }
}

/// A time in seconds since 1970 as text; beyond the year 9999 there is none.
fn rfc3339(seconds: u64) -> String {
    let time = i64::try_from(seconds).ok().and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
    time.unwrap_or(jiff::Timestamp::MAX).to_string()
}

/// `None` if a text holds a brace that means nothing. Adds the placeholders found.
fn node(json: Value, slots: &mut Vec<Slot>) -> Option<Node> {
    Some(match json {
        Value::String(text) => {
            let pieces = pieces(&text)?;
            slots.extend(pieces.iter().filter_map(|piece| match piece {
                Piece::Slot(slot) => Some(*slot),
                Piece::Fixed(_) => None,
            }));
            match pieces.as_slice() {
                [Piece::Slot(slot)] => Node::Slot(*slot),
                _ => Node::Text(pieces),
            }
        }
        Value::Array(items) => Node::List(items.into_iter().map(|item| node(item, slots)).collect::<Option<Vec<_>>>()?),
        Value::Object(members) => {
            let members = members.into_iter().map(|(name, value)| Some((name, node(value, slots)?)));
            Node::Object(members.collect::<Option<Vec<_>>>()?)
        }
        fixed @ (Value::Null | Value::Bool(_) | Value::Number(_)) => Node::Fixed(fixed),
    })
}

fn pieces(text: &str) -> Option<Vec<Piece>> {
    let mut pieces = Vec::new();
    let mut fixed = String::new();
    let mut rest = text;
    while let Some((before, brace)) = rest.find(['{', '}']).and_then(|at| rest.split_at_checked(at)) {
        fixed.push_str(before);
        if let Some(after) = brace.strip_prefix("{{") {
            fixed.push('{');
            rest = after;
        } else if let Some(after) = brace.strip_prefix("}}") {
            fixed.push('}');
            rest = after;
        } else {
            let (name, after) = brace.strip_prefix('{')?.split_once('}')?;
            let (_, slot) = SLOTS.iter().find(|(known, _)| *known == name)?;
            if !fixed.is_empty() {
                pieces.push(Piece::Fixed(std::mem::take(&mut fixed)));
            }
            pieces.push(Piece::Slot(*slot));
            rest = after;
        }
    }
    fixed.push_str(rest);
    if !fixed.is_empty() {
        pieces.push(Piece::Fixed(fixed));
    }
    Some(pieces)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Code, PhoneNumber};

    fn filled(template: &str, text: &str, code: Option<&str>) -> String {
        let to = PhoneNumber::from_e164("+989123456789").unwrap();
        let code = code.and_then(Code::from_digits);
        let sms = Sms { code, valid_s: 120, ..Sms::notice(1, to, text) };
        let facts = Facts { id: "msg_1", sms: &sms, now: UnixMillis(1_614_265_330_999) };
        String::from_utf8(Template::parse(template).unwrap().fill(&facts).unwrap()).unwrap()
    }

    #[test]
    fn every_placeholder_its_value() {
        let template = r#"{"id":"{id}","to":["{to}",{"n":"{to_digits}"}],"m":"<{text}>","c":"{code}","cc":"code={code}",
            "v":"{valid_s}","vv":"{valid_s} s","e":"{expires_at}","b":"{{{code}}}","k":[1,true,null,"x"]}"#;
        let head = r#"{"id":"msg_1","to":["+989123456789",{"n":"989123456789"}],"m":"<hello>","#;
        let tail = r#""v":120,"vv":"120 s","e":"2021-02-25T15:04:10Z","#;
        let kept = r#""k":[1,true,null,"x"]}"#;
        let with = format!(r#"{head}"c":"0042","cc":"code=0042",{tail}"b":"{{0042}}",{kept}"#);
        assert_eq!(filled(template, "hello", Some("0042")), with);
        let without = format!(r#"{head}"c":null,"cc":"code=",{tail}"b":"{{}}",{kept}"#);
        assert_eq!(filled(template, "hello", None), without);
    }

    /// security 109: whatever a text holds stays within its quotes, and no placeholder in it is looked at.
    #[test]
    fn a_text_cannot_break_out() {
        for text in ["\",\"to\":\"+1", "{code}{to}", "\\\"\n\r\t\0\u{1f}\u{7f}", "</script>\u{2028}", "کد: 482913"] {
            let body = filled(r#"{"to":"{to}","text":"a {text} b","last":"{text}"}"#, text, Some("482913"));
            let json: Value = serde_json::from_str(&body).unwrap();
            assert_eq!(json.as_object().unwrap().len(), 3, "{body}");
            assert_eq!((&json["to"], &json["last"]), (&Value::from("+989123456789"), &Value::from(text)));
            assert_eq!(json["text"], format!("a {text} b"));
        }
    }

    #[test]
    fn templates_that_are_none() {
        for (template, reason) in [
            ("", "must be JSON"),
            ("to={to}&text={text}", "must be JSON"),
            (r#"{"to":{to},"text":"{text}"}"#, "must be JSON"),
            (r#""{to}{text}""#, "must be a JSON object or list"),
            (r#"{"text":"{text}"}"#, "must hold {to} or {to_digits}"),
            (r#"{"{to}":"{text}"}"#, "must hold {to} or {to_digits}"),
            (r#"{"to":"{to}"}"#, "must hold {text} or {code}"),
            (r#"{"to":"{to}","text":"{{text}}"}"#, "must hold {text} or {code}"),
        ] {
            assert_eq!(Template::parse(template).err(), Some(reason), "{template}");
        }
        for text in ["{phone}", "{", "}", "{to", "{to}}", "{ to }", "{}", "{TO}"] {
            let reason = Template::parse(&format!(r#"{{"to":"{{to}}","text":"{{text}}","x":"{text}"}}"#)).err();
            assert!(reason.is_some_and(|reason| reason.starts_with("may hold {id}")), "{text}");
        }
    }

    /// A notice has no code: where only codes can go it is refused before anything is sent.
    #[test]
    fn a_notice_needs_a_text() {
        let to = PhoneNumber::from_e164("+989123456789").unwrap();
        let sms = Sms { valid_s: 1, ..Sms::notice(1, to, "moved") };
        let facts = Facts { id: "msg_1", sms: &sms, now: UnixMillis(0) };
        let error = Template::parse(r#"{"to":"{to}","otp":"{code}"}"#).unwrap().fill(&facts).unwrap_err();
        assert_eq!(error.class, SendClass::BadConfig);
    }
}
