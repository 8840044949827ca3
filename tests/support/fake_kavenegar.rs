//! A stand-in for Kavenegar's REST API: its rules (`providers.md` section 3) over [`FakeHttp`].
//!
//! Owns what a request must look like, how the provider words its answers and how far each message has come; like the real
//! one it repeats the text, code included. Never decides what happens to a good request: that is the script's.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses its own part of it")]

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use hyper::{Method, header, http::request::Parts};
use serde_json::json;

use super::fake_http::{FakeHttp, Refusal, Reply, Rules, Taken, decode_form};

/// The one account's key, its line and its template.
pub const API_KEY: &str = "4B61766548616B65792D35663163";
pub const LINE: &str = "10008663";
pub const TEMPLATE: &str = "sign-in";

/// Longest text, in characters.
const MESSAGE_MAX: usize = 900;

/// Most messages that `sms/status` is asked after at once.
const STATUS_MAX: usize = 500;

/// What `sms/status` says of messages that were sent: queued, delivered, undelivered; and of an id that is none.
pub const QUEUED: u16 = 1;
pub const DELIVERED: u16 = 10;
pub const UNDELIVERED: u16 = 11;
const INVALID: u16 = 100;

/// Starts the fake.
pub async fn start() -> FakeHttp {
    start_with_statuses().await.0
}

/// The same, with a hand on how far its messages have come.
pub async fn start_with_statuses() -> (FakeHttp, Statuses) {
    let statuses = Statuses::default();
    (FakeHttp::start(KavenegarRules { statuses: statuses.clone() }).await, statuses)
}

/// How far each message has come, by its id. A new one is queued.
#[derive(Debug, Clone, Default)]
pub struct Statuses(Arc<Mutex<BTreeMap<String, u16>>>);

impl Statuses {
    /// The message has come so far.
    pub fn set(&self, id: &str, status: u16) {
        let known = self.look(|statuses| statuses.insert(id.to_owned(), status));
        assert!(known.is_some(), "no message has the id {id}");
    }

    /// The ids of all messages, oldest first.
    pub fn ids(&self) -> Vec<String> {
        self.look(|statuses| statuses.keys().cloned().collect())
    }

    fn look<T>(&self, look: impl FnOnce(&mut BTreeMap<String, u16>) -> T) -> T {
        look(&mut self.0.lock().expect("no test panics under the lock"))
    }

    /// The answer about these messages, those that are none included.
    fn told(&self, ids: &str) -> Reply {
        let entry = |id: &str| {
            let status = self.look(|statuses| statuses.get(id).copied().unwrap_or(INVALID));
            json!({ "messageid": id.parse::<u64>().unwrap_or_default(), "status": status, "statustext": "وضعیت" })
        };
        let entries: Vec<_> = ids.split(',').map(entry).collect();
        Reply::new(200, json!({ "return": { "status": 200, "message": "تایید شد" }, "entries": entries }).to_string())
    }
}

/// An error as the provider sends it: the same code in HTTP and in the body where HTTP has such a status.
pub fn error(code: u16) -> Reply {
    let status = if (400..=599).contains(&code) { code } else { 400 };
    Reply::new(status, body(code))
}

/// The lie: HTTP says 200, the body does not.
pub fn error_in_success(code: u16) -> Reply {
    Reply::new(200, body(code))
}

fn body(code: u16) -> String {
    json!({ "return": { "status": code, "message": "خطا" }, "entries": null }).to_string()
}

struct KavenegarRules {
    statuses: Statuses,
}

impl Rules for KavenegarRules {
    fn read(&self, head: &Parts, body: &[u8]) -> Result<Taken, Refusal> {
        let path: Vec<&str> = head.uri.path().split('/').collect();
        let (key, method) = match path.as_slice() {
            ["", "v1", key, "sms", "send.json"] => (*key, "sms/send"),
            ["", "v1", key, "verify", "lookup.json"] => (*key, "verify/lookup"),
            ["", "v1", key, "sms", "status.json"] => (*key, "sms/status"),
            _ => return refuse("path", 404),
        };
        if key != API_KEY {
            return refuse("credentials", 403);
        }
        if head.method != Method::POST || head.uri.query().is_some() {
            return refuse("method", 405);
        }
        let text = |name| head.headers.get(name).and_then(|value| value.to_str().ok());
        if text(header::CONTENT_TYPE) != Some("application/x-www-form-urlencoded") {
            return refuse("content type", 415);
        }
        if text(header::ACCEPT) != Some("application/json") {
            return refuse("accept", 400);
        }
        let Some(mut fields) = decode_form(body) else { return refuse("form", 400) };
        if method == "sms/status" {
            return status(fields);
        }
        let Some(at) = fields.iter().position(|(name, _)| name == "receptor") else { return refuse("receptor", 400) };
        let (_, to) = fields.remove(at);
        if !is_receptor(&to) {
            return refuse("receptor", 411);
        }
        let taken = Taken { to, fields };
        if method == "sms/send" { send(&taken) } else { lookup(&taken) }?;
        Ok(taken)
    }

    /// A list for a send, one object for a lookup: clients have seen both.
    fn accepted(&self, message: &Taken, number: usize) -> Reply {
        if let Some(ids) = message.field("messageid") {
            return self.statuses.told(ids);
        }
        let id = 8_792_342 + number;
        self.statuses.look(|statuses| statuses.insert(id.to_string(), QUEUED));
        let text = message.field("message").or_else(|| message.field("token")).unwrap_or_default();
        let entry = json!({
            "messageid": id, "message": text, "status": 1, "statustext": "در صف ارسال",
            "sender": LINE, "receptor": message.to, "date": 1_356_619_709, "cost": 120,
        });
        let entries = if message.field("token").is_some() { entry } else { json!([entry]) };
        Reply::new(200, json!({ "return": { "status": 200, "message": "تایید شد" }, "entries": entries }).to_string())
    }
}

fn refuse<T>(rule: &'static str, code: u16) -> Result<T, Refusal> {
    Err(Refusal { rule, reply: error(code) })
}

/// One recipient: `09…` or zeros before a country code; a comma would be a list, which nobody means here.
fn is_receptor(to: &str) -> bool {
    let digits = to.bytes().all(|byte| byte.is_ascii_digit());
    let local = to.starts_with("09") && to.len() == 11;
    let international =
        to.strip_prefix("00").is_some_and(|rest| !rest.starts_with('0') && (7..=15).contains(&rest.len()));
    digits && (local || international)
}

fn send(message: &Taken) -> Result<(), Refusal> {
    known(message, &["message", "sender", "localid"])?;
    if message.field("localid").is_some_and(|id| id.parse::<i64>().is_err()) {
        return refuse("localid", 400);
    }
    match message.field("message").map(|text| text.chars().count()) {
        Some(1..=MESSAGE_MAX) => {}
        Some(_) | None => return refuse("message", 413),
    }
    match message.field("sender") {
        Some(LINE) | None => Ok(()),
        Some(_) => refuse("sender", 412),
    }
}

fn lookup(message: &Taken) -> Result<(), Refusal> {
    known(message, &["template", "token", "type"])?;
    if message.field("type").is_some_and(|kind| !["sms", "call"].contains(&kind)) {
        return refuse("type", 400);
    }
    if message.field("template") != Some(TEMPLATE) {
        return refuse("template", 424);
    }
    match message.field("token") {
        Some(token) if !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_alphanumeric()) => Ok(()),
        Some(_) => refuse("token", 431),
        None => refuse("token", 400),
    }
}

/// A question after messages: it has no recipient.
fn status(fields: Vec<(String, String)>) -> Result<Taken, Refusal> {
    let asked = Taken { to: String::new(), fields };
    known(&asked, &["messageid"])?;
    let ids: Vec<&str> = asked.field("messageid").unwrap_or_default().split(',').collect();
    if ids.len() > STATUS_MAX {
        return refuse("messageid", 414);
    }
    let is_id = |id: &&str| !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_digit());
    if ids.iter().all(is_id) { Ok(asked) } else { refuse("messageid", 400) }
}

fn known(message: &Taken, names: &[&str]) -> Result<(), Refusal> {
    let strange = message.fields.iter().any(|(name, _)| !names.contains(&name.as_str()));
    if strange { refuse("unknown parameter", 400) } else { Ok(()) }
}
