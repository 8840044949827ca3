//! Every gateway over HTTP with its fake, behind one face: what the contract is run over. A new gateway is one more
//! entry in [`all`], made where its own rows stand, and its words for each [`Trouble`].

use std::{net::SocketAddr, sync::Arc};

use otpd::sms::{
    Gateway, SendClass,
    kavenegar::{Kavenegar, KavenegarSettings},
    mshastra::{Mshastra, MshastraSettings},
    outbound::HttpLimits,
    receipt::secret_path::UnsignedReceipts,
    twilio::{Twilio, TwilioSettings},
};

use crate::{
    fake_http::{FakeHttp, Reply, Step},
    fake_kavenegar, fake_mshastra,
    fake_twilio::{self, Behaviour, FakeTwilio, Kind},
    kit::CODE,
};

/// Why a provider refuses for certain.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Reason {
    Number,
    Settings,
    Credentials,
    Credit,
}

impl Reason {
    /// What the gateway must make of it.
    pub(crate) fn class(self) -> SendClass {
        match self {
            Self::Number => SendClass::InvalidNumber,
            Self::Settings => SendClass::BadConfig,
            Self::Credentials => SendClass::AuthFailed,
            Self::Credit => SendClass::InsufficientCredit,
        }
    }
}

/// What a provider can do to a good request; each says it in its own words.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Trouble {
    /// Refuses in its usual way.
    Refuse(Reason),
    /// The same with a success of HTTP around it.
    Lie(Reason),
    /// Throttles and asks to wait, in seconds.
    Throttle(u64),
    /// An HTML page with this status.
    Html(u16),
    /// A success with an empty body.
    Empty,
    /// A success whose JSON breaks off.
    CutJson,
    /// Takes the message and never answers.
    Silence,
    /// Takes the message and stops in the middle of its answer.
    HalfBody,
    /// Answers one byte every 20 ms.
    Drip,
    /// Answers one gibibyte.
    Huge,
    /// Takes the message and closes the connection.
    Drop,
    /// Sends elsewhere.
    Redirect(SocketAddr),
}

/// A gateway and its fake.
pub(crate) struct Subject {
    pub(crate) name: &'static str,
    /// Its table in the settings file, but for `base_url`.
    pub(crate) config: String,
    /// `+989123456789` as this provider wants it.
    pub(crate) wire_to: &'static str,
    /// What must be shown nowhere.
    pub(crate) secrets: &'static [&'static str],
    pub(crate) make: fn(&str, Account, HttpLimits) -> Arc<dyn Gateway>,
    pub(crate) fake: Fake,
}

/// Whose credentials a gateway is given.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Account {
    Good,
    Wrong,
}

pub(crate) enum Fake {
    Twilio(FakeTwilio),
    /// With the provider's words for a refusal: usual, or as a lie.
    Http(FakeHttp, fn(Reason, bool) -> Reply),
}

/// One of each, its fake running.
pub(crate) async fn all() -> Vec<Subject> {
    vec![
        Subject {
            name: "twilio",
            config: format!(
                "account_sid = \"{}\"\nauth_token = \"{}\"\nfrom = \"{}\"\n",
                fake_twilio::ACCOUNT_SID,
                fake_twilio::AUTH_TOKEN,
                fake_twilio::SENDER
            ),
            wire_to: "+989123456789",
            secrets: &[fake_twilio::AUTH_TOKEN, fake_twilio::ACCOUNT_SID, "wrong-token", "Basic "],
            make: twilio,
            fake: Fake::Twilio(FakeTwilio::start().await),
        },
        Subject {
            name: "kavenegar",
            config: format!(
                "api_key = \"{}\"\nsender = \"{}\"\ntemplate = \"\"\n",
                fake_kavenegar::API_KEY,
                fake_kavenegar::LINE
            ),
            wire_to: "09123456789",
            secrets: &[fake_kavenegar::API_KEY, "WrongKey5f1c", "/verify/lookup", "/sms/send"],
            make: kavenegar,
            fake: Fake::Http(fake_kavenegar::start().await, kavenegar_refusal),
        },
        Subject {
            name: "mshastra",
            config: format!(
                "user = \"{}\"\npassword = \"{}\"\nsender = \"{}\"\n",
                fake_mshastra::USER,
                fake_mshastra::PASSWORD,
                fake_mshastra::SENDER
            ),
            wire_to: "989123456789",
            secrets: &[fake_mshastra::USER, fake_mshastra::PASSWORD, "wrong-pass-5f1c"],
            make: mshastra,
            fake: Fake::Http(fake_mshastra::start().await, mshastra_refusal),
        },
        crate::vonage::subject().await,
        crate::webhook::subject().await,
        crate::sns::subject().await,
        crate::telegram::subject().await,
        crate::twilio_voice::subject().await,
        crate::twilio_verify::subject().await,
        crate::vonage_messages::subject().await,
    ]
}

fn twilio(base_url: &str, account: Account, limits: HttpLimits) -> Arc<dyn Gateway> {
    let token = if account == Account::Good { fake_twilio::AUTH_TOKEN } else { "wrong-token" };
    let settings = TwilioSettings {
        base_url: base_url.to_owned(),
        account_sid: fake_twilio::ACCOUNT_SID.to_owned(),
        auth_token: token.into(),
        from: Some(fake_twilio::SENDER.to_owned()),
        limits,
        ..TwilioSettings::default()
    };
    Arc::new(Twilio::new(settings).unwrap())
}

fn kavenegar(base_url: &str, account: Account, limits: HttpLimits) -> Arc<dyn Gateway> {
    let key = if account == Account::Good { fake_kavenegar::API_KEY } else { "WrongKey5f1c" };
    let sender = Some(fake_kavenegar::LINE.to_owned());
    let settings = KavenegarSettings {
        base_url: base_url.to_owned(),
        api_key: key.into(),
        sender,
        template: None,
        receipts: UnsignedReceipts::default(),
        limits,
    };
    Arc::new(Kavenegar::new(&settings).unwrap())
}

fn mshastra(base_url: &str, account: Account, limits: HttpLimits) -> Arc<dyn Gateway> {
    let password = if account == Account::Good { fake_mshastra::PASSWORD } else { "wrong-pass-5f1c" };
    let settings = MshastraSettings {
        base_url: base_url.to_owned(),
        user: fake_mshastra::USER.to_owned(),
        password: password.into(),
        sender: fake_mshastra::SENDER.to_owned(),
        receipts: UnsignedReceipts::default(),
        limits,
    };
    Arc::new(Mshastra::new(settings).unwrap())
}

fn kavenegar_refusal(reason: Reason, lie: bool) -> Reply {
    let code = match reason {
        Reason::Number => 411,
        Reason::Settings => 412,
        Reason::Credentials => 403,
        Reason::Credit => 418,
    };
    if lie { fake_kavenegar::error_in_success(code) } else { fake_kavenegar::error(code) }
}

/// It always lies.
fn mshastra_refusal(reason: Reason, _: bool) -> Reply {
    match reason {
        Reason::Number => fake_mshastra::verdict("001"),
        Reason::Settings => fake_mshastra::verdict("012"),
        Reason::Credentials => fake_mshastra::verdict("005"),
        Reason::Credit => fake_mshastra::in_words("Insufficient credit"),
    }
}

impl Subject {
    /// The gateway with its own credentials, pointed at its fake.
    pub(crate) fn gateway(&self, limits: HttpLimits) -> Arc<dyn Gateway> {
        self.gateway_at(&self.base_url(), Account::Good, limits)
    }

    pub(crate) fn gateway_at(&self, base_url: &str, account: Account, limits: HttpLimits) -> Arc<dyn Gateway> {
        (self.make)(base_url, account, limits)
    }

    pub(crate) fn base_url(&self) -> String {
        match &self.fake {
            Fake::Twilio(fake) => fake.base_url(),
            Fake::Http(fake, _) => fake.base_url(),
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        match &self.fake {
            Fake::Twilio(fake) => fake.address(),
            Fake::Http(fake, _) => fake.address(),
        }
    }

    pub(crate) fn requests(&self) -> usize {
        match &self.fake {
            Fake::Twilio(fake) => fake.requests(),
            Fake::Http(fake, _) => fake.requests(),
        }
    }

    pub(crate) fn violations(&self) -> Vec<String> {
        match &self.fake {
            Fake::Twilio(fake) => fake.violations(),
            Fake::Http(fake, _) => fake.violations().into_iter().map(str::to_owned).collect(),
        }
    }

    /// What of a message with this text is to come over the wire: some providers write the text themselves, and a call
    /// says the code twice.
    pub(crate) fn heard(&self, text: &str) -> String {
        match self.name {
            "telegram" | "twilio_verify" => CODE.to_owned(),
            "twilio_voice" => format!("{CODE}{CODE}"),
            _ => text.to_owned(),
        }
    }

    /// Recipient and text of every message taken, as they came over the wire.
    pub(crate) fn taken(&self) -> Vec<(String, String)> {
        match &self.fake {
            Fake::Twilio(fake) => {
                let body = |message: fake_twilio::Message| match message.kind {
                    Kind::Call => (message.to, message.body.chars().filter(char::is_ascii_digit).collect()),
                    Kind::Message | Kind::Verification | Kind::Feedback => (message.to, message.body),
                };
                fake.messages().into_iter().map(body).collect()
            }
            Fake::Http(fake, _) => {
                let text = |message: &crate::fake_http::Taken| {
                    let names = ["message", "msg", "text", "Message", "code"];
                    names.iter().find_map(|name| message.field(name)).unwrap_or_default().to_owned()
                };
                fake.taken().into_iter().map(|message| (message.to.clone(), text(&message))).collect()
            }
        }
    }

    /// What happens to the next request.
    pub(crate) fn next(&self, trouble: Trouble) {
        match &self.fake {
            Fake::Twilio(fake) => fake.next(behaviour(trouble)),
            Fake::Http(fake, refusal) => fake.next(step(trouble, *refusal)),
        }
    }
}

fn behaviour(trouble: Trouble) -> Behaviour {
    let code = |reason| match reason {
        Reason::Number => (400, 21211),
        Reason::Settings => (400, 21606),
        Reason::Credentials => (401, 20003),
        Reason::Credit => (402, 99_999),
    };
    match trouble {
        Trouble::Refuse(reason) => Behaviour::Refuse(code(reason).0, code(reason).1),
        Trouble::Lie(reason) => Behaviour::Embedded(code(reason).1),
        Trouble::Throttle(seconds) => Behaviour::Throttle(seconds),
        Trouble::Html(status) => Behaviour::Html(status),
        Trouble::Empty => Behaviour::AcceptWithoutBody,
        Trouble::CutJson => Behaviour::MalformedJson,
        Trouble::Silence => Behaviour::HangBeforeHead,
        Trouble::HalfBody => Behaviour::AcceptThenHangMidBody,
        Trouble::Drip => Behaviour::Drip,
        Trouble::Huge => Behaviour::Huge,
        Trouble::Drop => Behaviour::Drop,
        Trouble::Redirect(address) => Behaviour::Redirect(address),
    }
}

fn step(trouble: Trouble, refusal: fn(Reason, bool) -> Reply) -> Step {
    match trouble {
        Trouble::Refuse(reason) => Step::Answer(refusal(reason, false)),
        Trouble::Lie(reason) => Step::Answer(refusal(reason, true)),
        Trouble::Throttle(seconds) => {
            Step::Answer(Reply { retry_after_s: Some(seconds), ..Reply::new(429, r#"{"error":"too fast"}"#) })
        }
        Trouble::Html(status) => Step::Answer(Reply::new(status, "<!doctype html><title>success 000</title>")),
        Trouble::Empty => Step::Answer(Reply::new(200, "")),
        Trouble::CutJson => Step::Answer(Reply::new(200, r#"{"return":{"status":200"#)),
        Trouble::Silence => Step::Silence,
        Trouble::HalfBody => Step::HalfBody,
        Trouble::Drip => Step::Drip,
        Trouble::Huge => Step::Huge,
        Trouble::Drop => Step::Drop,
        Trouble::Redirect(address) => Step::Redirect(address),
    }
}
