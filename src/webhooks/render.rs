//! An event as JSON: its public ids are made here, because only here are the keys at hand.

use serde_json::{Map, Value, json};

use crate::{
    events::{Budget, NodeEvent, Noted, Prefix},
    record::{
        Cancellation, Event, IdKind, Keyring, Occurred, PhoneNumber, SessionChange, SessionEnd, SessionFacts,
        UnixMillis, UserChange, VerificationChange, VerificationFacts,
    },
};

/// What public ids of verifications begin with, as in `/v1`.
const VERIFICATION_PREFIX: &str = "ver_";

/// An event from the outbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Told {
    /// Of a number.
    Number(Occurred),
    /// Of the node.
    Node(Noted),
}

impl Told {
    /// Reads an entry's bytes; `None` if they are damaged or of a newer otpd.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        Occurred::decode(bytes).map(Self::Number).or_else(|| Noted::decode(bytes).map(Self::Node))
    }

    /// Whose event it is; `None`: the node's.
    pub(super) fn phone(&self) -> Option<PhoneNumber> {
        match self {
            Self::Number(occurred) => Some(occurred.phone),
            Self::Node(_) => None,
        }
    }

    /// Its type on the wire.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Number(occurred) => occurred.event.name(),
            Self::Node(noted) => noted.event.name(),
        }
    }

    /// When it happened.
    pub(super) fn at(&self) -> UnixMillis {
        match self {
            Self::Number(occurred) => occurred.at,
            Self::Node(noted) => UnixMillis(noted.at_ms),
        }
    }

    /// The body of its post.
    pub(super) fn body(&self, keys: &Keyring) -> Vec<u8> {
        let data = match self {
            Self::Number(occurred) => number_data(occurred, keys),
            Self::Node(noted) => node_data(&noted.event),
        };
        let body = json!({ "type": self.name(), "timestamp": time(self.at()), "data": data });
        body.to_string().into_bytes()
    }
}

/// RFC 3339, UTC, with milliseconds.
pub(super) fn time(at: UnixMillis) -> String {
    let timestamp = i64::try_from(at.0).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    timestamp.map(|timestamp| format!("{timestamp:.3}")).unwrap_or_default()
}

fn number_data(occurred: &Occurred, keys: &Keyring) -> Map<String, Value> {
    let phone = occurred.phone;
    let (mut data, extra) = match &occurred.event {
        Event::Verification { change, facts } => (verification(facts, phone, keys), verification_extra(*change)),
        Event::User { change, user_id } => (user(*user_id, phone), user_extra(*change)),
        Event::Session { change, facts } => (session(facts, phone, keys), session_extra(*change)),
    };
    data.extend(extra.map(|(name, value)| (name.to_owned(), Value::from(value))));
    data
}

fn object(fields: impl IntoIterator<Item = (&'static str, Value)>) -> Map<String, Value> {
    fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn verification(facts: &VerificationFacts, phone: PhoneNumber, keys: &Keyring) -> Map<String, Value> {
    let id = keys.seal(facts.key, IdKind::Verification, phone, facts.nonce).to_hex();
    object([
        ("verification_id", format!("{VERIFICATION_PREFIX}{id}").into()),
        ("phone_number", phone.to_e164().into()),
        ("purpose", facts.door.purpose.as_str().into()),
        ("channel", facts.channel.as_str().into()),
        ("dialect", facts.door.dialect.as_str().into()),
        ("created_at", time(facts.created_at).into()),
        ("expires_at", time(facts.expires_at).into()),
    ])
}

fn verification_extra(change: VerificationChange) -> Option<(&'static str, String)> {
    let extra = match change {
        VerificationChange::Canceled(Cancellation::Holder) => ("reason", "holder"),
        VerificationChange::Canceled(Cancellation::Superseded) => ("reason", "superseded"),
        VerificationChange::Canceled(Cancellation::Displaced) => ("reason", "displaced"),
        VerificationChange::MaxAttemptsReached { by_number: true } => ("checked_by", "number"),
        VerificationChange::MaxAttemptsReached { by_number: false } => ("checked_by", "id"),
        VerificationChange::Created
        | VerificationChange::Approved
        | VerificationChange::Failed
        | VerificationChange::Expired => return None,
    };
    Some((extra.0, extra.1.to_owned()))
}

fn user(user_id: u64, phone: PhoneNumber) -> Map<String, Value> {
    object([("user_id", user_id.into()), ("phone_number", phone.to_e164().into())])
}

fn user_extra(change: UserChange) -> Option<(&'static str, String)> {
    match change {
        UserChange::PhoneChanged { from } => Some(("previous_phone_number", from.to_e164())),
        UserChange::Created
        | UserChange::Updated
        | UserChange::Deleted
        | UserChange::Deactivated
        | UserChange::Activated => None,
    }
}

fn session(facts: &SessionFacts, phone: PhoneNumber, keys: &Keyring) -> Map<String, Value> {
    object([
        ("sid", keys.seal(facts.key, IdKind::Session, phone, facts.nonce).to_hex().into()),
        ("user_id", facts.user_id.into()),
        ("phone_number", phone.to_e164().into()),
        ("dialect", facts.door.dialect.as_str().into()),
        ("purpose", facts.door.purpose.as_str().into()),
        ("client", facts.client.as_str().into()),
        ("expires_at", time(facts.expires_at).into()),
    ])
}

fn session_extra(change: SessionChange) -> Option<(&'static str, String)> {
    let SessionChange::Ended(end) = change else { return None };
    let reason = match end {
        SessionEnd::SignedOut => "signed_out",
        SessionEnd::Expired => "expired",
        SessionEnd::Displaced => "displaced",
        SessionEnd::Reuse => "reuse",
        SessionEnd::UserDeleted => "user_deleted",
        SessionEnd::PhoneChanged => "phone_changed",
    };
    Some(("reason", reason.to_owned()))
}

fn node_data(event: &NodeEvent) -> Map<String, Value> {
    match event {
        NodeEvent::RouteOpened { gateway } | NodeEvent::RouteClosed { gateway } => {
            object([("gateway", gateway.as_str().into())])
        }
        NodeEvent::BudgetThreshold(Budget { country, limit_micros, spent_micros, percent })
        | NodeEvent::BudgetExhausted(Budget { country, limit_micros, spent_micros, percent }) => object([
            ("country", if country.is_empty() { Value::Null } else { country.as_str().into() }),
            ("limit_micros", (*limit_micros).into()),
            ("spent_micros", (*spent_micros).into()),
            ("percent", (*percent).into()),
        ]),
        NodeEvent::PrefixClosed(Prefix { prefix, rule }) | NodeEvent::PrefixReopened(Prefix { prefix, rule }) => {
            object([("prefix", prefix.as_str().into()), ("rule", rule.as_str().into())])
        }
    }
}
