//! A stand-in for mShastra's JSON API: its rules (`providers.md` section 4) over [`FakeHttp`].
//!
//! Owns what a request must look like and how the provider words its answers: always HTTP 200, the verdict inside.
//! Never decides what happens to a good request: that is the script's.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses its own part of it")]

use hyper::{Method, header, http::request::Parts};
use serde_json::{Map, Value, json};

use super::fake_http::{FakeHttp, Refusal, Reply, Rules, Taken};

/// The one profile and its approved sender.
pub const USER: &str = "acme-profile-71";
pub const PASSWORD: &str = "mshastra-pass,5f1c";
pub const SENDER: &str = "Acme";

/// Starts the fake.
pub async fn start() -> FakeHttp {
    FakeHttp::start(MshastraRules).await
}

/// A verdict by code, as it comes when codes were asked for.
pub fn verdict(code: &str) -> Reply {
    Reply::new(200, json!([{ "msg_id": "", "number": "", "str_response": code }]).to_string())
}

/// A verdict in words, as it comes otherwise.
pub fn in_words(words: &str) -> Reply {
    Reply::new(200, json!([{ "msg_id": "71", "number": "", "response": words }]).to_string())
}

struct MshastraRules;

impl Rules for MshastraRules {
    fn read(&self, head: &Parts, body: &[u8]) -> Result<Taken, Refusal> {
        if head.uri.path() != "/sendsms_api_json.aspx" || head.uri.query().is_some() || head.method != Method::POST {
            return Err(Refusal { rule: "path", reply: Reply::new(404, "<html>404</html>") });
        }
        let kind = head.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        if kind != Some("application/json") {
            return Err(Refusal { rule: "content type", reply: Reply::new(415, "") });
        }
        let Some(mut fields) = only_object(body) else { return refuse("list of one", "013") };
        let mut take = |name: &str| fields.shift_remove(name).and_then(|value| value.as_str().map(str::to_owned));
        let (user, password) = (take("user"), take("pwd"));
        if (user.as_deref(), password.as_deref()) != (Some(USER), Some(PASSWORD)) {
            return refuse("credentials", "005");
        }
        let to = take("number").unwrap_or_default();
        let texts = fields.into_iter().map(|(name, value)| Some((name, value.as_str()?.to_owned())));
        let Some(fields) = texts.collect::<Option<Vec<_>>>() else { return refuse("texts only", "013") };
        let taken = Taken { to, fields };
        judge(&taken)?;
        Ok(taken)
    }

    /// In words by turns with codes: the real one answers either.
    fn accepted(&self, message: &Taken, number: usize) -> Reply {
        let in_words = number.is_multiple_of(2);
        let (name, verdict) = if in_words { ("response", "send success") } else { ("str_response", "000") };
        let id = format!("71{number:06}");
        Reply::new(200, json!([{ "msg_id": id, "number": message.to, name: verdict }]).to_string())
    }
}

fn refuse<T>(rule: &'static str, code: &str) -> Result<T, Refusal> {
    Err(Refusal { rule, reply: verdict(code) })
}

fn only_object(body: &[u8]) -> Option<Map<String, Value>> {
    let mut list: Vec<Map<String, Value>> = serde_json::from_slice(body).ok()?;
    if list.len() == 1 { list.pop() } else { None }
}

fn judge(message: &Taken) -> Result<(), Refusal> {
    let to = message.to.as_str();
    if to.is_empty() {
        return refuse("number", "008");
    }
    // A plus is not refused by the real one everywhere, a comma is a list: neither is asked for here.
    if !(7..=15).contains(&to.len()) || !to.bytes().all(|byte| byte.is_ascii_digit()) || to.starts_with('0') {
        return refuse("number", "001");
    }
    let field = |name| message.field(name).unwrap_or_default();
    if field("msg").is_empty() {
        return refuse("msg", "003");
    }
    match field("language") {
        "Unicode" => {}
        // What is not in its alphabet would arrive as question marks.
        "English" if field("msg").is_ascii() => {}
        _ => return refuse("language", "003"),
    }
    if field("sender") != SENDER {
        return refuse("sender", "012");
    }
    let known = ["msg", "sender", "language"];
    if message.fields.iter().any(|(name, _)| !known.contains(&name.as_str())) {
        return refuse("unknown parameter", "013");
    }
    Ok(())
}
