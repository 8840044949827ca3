//! The rules of Twilio Verify v2 for codes of the customer's own: the forms, and how many starts a number may have open.

use std::{collections::HashMap, time::Duration};

use super::{Asked, Fields, Given, Kind, Refusal, is_e164, refuse};

/// The account's Verify service. It takes custom codes.
pub const VERIFY_SID: &str = "VA00000000000000000000000000000f0f";

/// Starts for a number until its verification ends.
const SENDS_MAX: u32 = 5;
/// How long a verification lives.
const LIFE: Duration = Duration::from_secs(600);

/// Languages that a message can be in.
const LOCALES: [&str; 14] = ["af", "ar", "de", "en", "en-GB", "es", "fr", "hi", "id", "it", "pt-BR", "ru", "tr", "zh"];

pub(super) fn start(mut given: Given<'_>) -> Result<Asked, Refusal> {
    let to = given.take("To").unwrap_or_default();
    if !is_e164(&to) {
        return refuse("To", 400, 60200);
    }
    if !given.take("Channel").is_some_and(|channel| ["sms", "call", "whatsapp"].contains(&&*channel)) {
        return refuse("Channel", 400, 60200);
    }
    if given.take("Locale").is_some_and(|locale| !LOCALES.contains(&&*locale)) {
        return refuse("Locale", 400, 60200);
    }
    let code = given.take("CustomCode").unwrap_or_default();
    if !(4..=10).contains(&code.len()) || !code.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return refuse("CustomCode", 400, 60200);
    }
    given.nothing_left()?;
    Ok(Asked { kind: Kind::Verification, to, body: code, fields: Fields::new() })
}

pub(super) fn feedback(mut given: Given<'_>) -> Result<Asked, Refusal> {
    let status = given.take("Status").unwrap_or_default();
    if !["approved", "canceled"].contains(&&*status) {
        return refuse("Status", 400, 60200);
    }
    given.nothing_left()?;
    Ok(Asked { kind: Kind::Feedback, to: given.path_end.to_owned(), body: status, fields: Fields::new() })
}

/// The verifications that are open, by number.
#[derive(Default)]
pub(in super::super) struct Cycles {
    open: HashMap<String, Cycle>,
    /// The fake's own time: no test waits ten minutes.
    now: Duration,
}

struct Cycle {
    sid: String,
    sends: u32,
    since: Duration,
}

impl Cycles {
    pub(in super::super) fn pass(&mut self, time: Duration) {
        self.now += time;
    }

    /// A start: the verification's id, or the code of the refusal.
    pub(in super::super) fn start(&mut self, to: &str, number: usize) -> Result<String, u32> {
        let now = self.now;
        self.open.retain(|_, cycle| now - cycle.since < LIFE);
        let fresh = || Cycle { sid: format!("VE{number:032x}"), sends: 0, since: now };
        let cycle = self.open.entry(to.to_owned()).or_insert_with(fresh);
        if cycle.sends == SENDS_MAX {
            return Err(60203);
        }
        cycle.sends += 1;
        Ok(cycle.sid.clone())
    }

    /// An end: whose verification it was, if it was open.
    pub(in super::super) fn end(&mut self, sid: &str) -> Option<String> {
        let now = self.now;
        let found = self.open.iter().find(|(_, cycle)| cycle.sid == sid && now - cycle.since < LIFE);
        let to = found.map(|(to, _)| to.clone())?;
        self.open.remove(&to);
        Some(to)
    }
}
