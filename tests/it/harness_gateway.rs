//! The gateway of a test: keeps what it was given and does what it was told.

use std::{
    collections::VecDeque,
    fmt,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use async_trait::async_trait;
use otpd::sms::{
    Accepted, Channel, Gateway, SendClass, SendError, Sms,
    receipt::{Receipt, ReceiptOf, ReceiptRefused, ReceiptRequest, ReceiptState},
};
use serde_json::{Value, json};
use tokio::sync::Notify;

/// What the gateway does with a message.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Script {
    Accept,
    Fail(SendClass),
    /// Waits until [`ScriptedGateway::release`].
    Hold,
}

/// A gateway that keeps what it was given and does what it was told.
#[derive(Default)]
pub(crate) struct ScriptedGateway {
    /// What it can send by; none: text messages.
    channels: &'static [Channel],
    sent: Mutex<Vec<(String, String)>>,
    ids: Mutex<Vec<u128>>,
    locales: Mutex<Vec<String>>,
    references: Mutex<Vec<String>>,
    /// Receipts name an id of the provider's own, `msg-` and the message's number.
    by_provider_id: AtomicBool,
    urls: Mutex<Vec<String>>,
    script: Mutex<VecDeque<Script>>,
    arrived: Notify,
    released: Notify,
}

impl fmt::Debug for ScriptedGateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ScriptedGateway")
    }
}

impl ScriptedGateway {
    /// One that can send by these.
    pub(crate) fn with(channels: &'static [Channel]) -> Self {
        Self { channels, ..Self::default() }
    }

    /// The next sends do this, in order; then all are accepted again.
    pub(crate) fn next(&self, scripts: impl IntoIterator<Item = Script>) {
        self.script.lock().unwrap().extend(scripts);
    }

    /// Lets held messages go.
    pub(crate) fn release(&self) {
        self.released.notify_waiters();
    }

    /// Returns when `count` messages have come in all.
    pub(crate) async fn arrived(&self, count: usize) {
        loop {
            let next = self.arrived.notified();
            if self.sent().len() >= count {
                return;
            }
            next.await;
        }
    }

    /// All messages so far: number and text.
    pub(crate) fn sent(&self) -> Vec<(String, String)> {
        self.sent.lock().unwrap().clone()
    }

    /// The ids of all messages so far.
    pub(crate) fn ids(&self) -> Vec<u128> {
        self.ids.lock().unwrap().clone()
    }

    /// The languages that all messages so far said they are in.
    pub(crate) fn locales(&self) -> Vec<String> {
        self.locales.lock().unwrap().clone()
    }

    /// What receipts are to name all messages so far by.
    pub(crate) fn references(&self) -> Vec<String> {
        self.references.lock().unwrap().clone()
    }

    /// From now on receipts name the provider's own ids.
    pub(crate) fn names_own_ids(&self) {
        self.by_provider_id.store(true, Ordering::SeqCst);
    }

    /// The URLs that signatures of receipts were to be checked against.
    pub(crate) fn receipt_urls(&self) -> Vec<String> {
        self.urls.lock().unwrap().clone()
    }

    /// Messages to one number.
    pub(crate) fn sent_to(&self, to: &str) -> Vec<String> {
        let sent = self.sent.lock().unwrap();
        sent.iter().filter(|(number, _)| number == to).map(|(_, text)| text.clone()).collect()
    }

    /// The code of the newest message to a number.
    pub(crate) fn code(&self, to: &str) -> String {
        let text = self.sent_to(to).pop().unwrap_or_else(|| panic!("no message to {to}"));
        code_of(&text).unwrap_or_else(|| panic!("no code in the message"))
    }

    /// Every code that was handed over so far.
    pub(crate) fn codes(&self) -> Vec<String> {
        self.sent.lock().unwrap().iter().filter_map(|(_, text)| code_of(text)).collect()
    }
}

/// The code in a message: its first four digits or more in a row.
fn code_of(text: &str) -> Option<String> {
    text.split(|c: char| !c.is_ascii_digit()).find(|part| part.len() >= 4).map(str::to_owned)
}

/// A code of the same length that is not `code`, a different one for each `n` up to 9.
pub(crate) fn wrong(code: &str, n: u8) -> String {
    assert!((1..=9).contains(&n));
    let rotated = (code.as_bytes()[0] - b'0' + n) % 10;
    format!("{rotated}{}", &code[1..])
}

#[async_trait]
impl Gateway for ScriptedGateway {
    fn name(&self) -> &'static str {
        "simulated"
    }

    fn channels(&self) -> &[Channel] {
        if self.channels.is_empty() { &[Channel::Sms] } else { self.channels }
    }

    fn is_real(&self) -> bool {
        false
    }

    async fn send(&self, sms: &Sms) -> Result<Accepted, SendError> {
        let script = self.script.lock().unwrap().pop_front().unwrap_or(Script::Accept);
        let released = self.released.notified();
        self.ids.lock().unwrap().push(sms.id);
        self.locales.lock().unwrap().push(sms.locale.clone());
        self.references.lock().unwrap().push(sms.reference.clone());
        let number = {
            let mut sent = self.sent.lock().unwrap();
            sent.push((sms.to.to_e164(), sms.text.clone()));
            sent.len()
        };
        self.arrived.notify_waiters();
        match script {
            Script::Accept => Ok(Accepted { provider_id: Some(format!("msg-{number}")) }),
            Script::Fail(class) => Err(SendError::new(class, "scripted")),
            Script::Hold => {
                released.await;
                Ok(Accepted::default())
            }
        }
    }

    fn receipts_by_provider_id(&self) -> bool {
        self.by_provider_id.load(Ordering::SeqCst)
    }

    /// `{"reference" or "id", "state"}` or a list of such, by the provider's key as a token or in the path.
    async fn read_receipts(&self, request: &ReceiptRequest<'_>) -> Result<Vec<Receipt>, ReceiptRefused> {
        self.urls.lock().unwrap().push(request.url.to_owned());
        let token = request.headers.get("authorization").and_then(|value| value.to_str().ok());
        if token != Some(&format!("Bearer {RECEIPTS_KEY}")) && request.secret != Some(RECEIPTS_KEY) {
            return Err(ReceiptRefused::Unsigned);
        }
        let query = (!request.query.is_empty()).then(|| json!({ "query": request.query }));
        let form = !request.body.starts_with(b"{") && !request.body.starts_with(b"[");
        let body = if form { query } else { serde_json::from_slice(request.body).ok() };
        let entries = match body {
            Some(Value::Array(entries)) => entries,
            Some(entry) => vec![entry],
            None if form => return Ok(Vec::new()),
            None => return Err(ReceiptRefused::Unreadable),
        };
        let receipt = |entry: &Value| {
            let text = |name: &str| entry[name].as_str().map(str::to_owned);
            let of = text("reference").map(ReceiptOf::Reference).or_else(|| text("id").map(ReceiptOf::ProviderId))?;
            let state = match entry["state"].as_str()? {
                "sent" => ReceiptState::Sent,
                "delivered" => ReceiptState::Delivered,
                "undelivered" => ReceiptState::Undelivered,
                _ => return None,
            };
            Some(Receipt { of, state, price_micros: None })
        };
        let read: Option<Vec<Receipt>> = entries.iter().filter(|entry| entry["query"].is_null()).map(receipt).collect();
        read.ok_or(ReceiptRefused::Unreadable)
    }
}

/// What the scripted provider signs its receipts with.
pub(crate) const RECEIPTS_KEY: &str = "receipts_key-0123456789abcdef";
