//! `otpd demo`: a whole sign-in against a running server, with every request and answer on the screen.
//!
//! A client like any other: it knows the canonical API and nothing of the server's inside. Credentials are shown
//! shortened, so that none of them lands in a scrollback whole.

mod code;
mod screen;
mod wire;

use std::path::PathBuf;

use reqwest::Url;
use serde_json::{Value, json};

use self::{
    code::Codes,
    screen::Screen,
    wire::{Call, Client},
};
use super::Failed;
use crate::{
    entropy::{Entropy as _, OsEntropy},
    record::{NotE164, PhoneNumber},
};

/// Walk through a whole sign-in against a running server, and show every request and answer.
///
/// Asks for a code, checks it, exchanges the receipt for tokens, reads and changes the profile, refreshes, lists the
/// sessions, signs out, and shows that the token is refused from then on. Ends with an error if any answer is not what
/// it should be.
#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// Where the server is.
    #[arg(long, default_value = "http://127.0.0.1:8080", value_parser = url)]
    url: Url,
    /// Number to sign in, with country code. The default is one of those kept for films (415 555 0100 to 0199).
    #[arg(long, default_value = "+14155550100", value_parser = number)]
    to: PhoneNumber,
    /// The server's captured output: the code is taken from the number's newest `[console sms]` line in it. Without
    /// it you are asked for the code.
    #[arg(long, value_name = "FILE")]
    code_from: Option<PathBuf>,
}

fn url(text: &str) -> Result<Url, &'static str> {
    const FORM: &str = "must be http://host:port or https://host";
    let url = Url::parse(text).map_err(|_| FORM)?;
    let plain = matches!(url.scheme(), "http" | "https") && url.has_host() && url.query().is_none();
    if plain && url.username().is_empty() && url.fragment().is_none() { Ok(url) } else { Err(FORM) }
}

fn number(text: &str) -> Result<PhoneNumber, NotE164> {
    PhoneNumber::from_e164(&text.replace([' ', '-', '(', ')', '.'], ""))
}

pub(super) fn run(options: &Options) -> Result<(), Failed> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failed::new)?;
    runtime.block_on(walk(options))
}

async fn walk(options: &Options) -> Result<(), Failed> {
    let mut codes = Codes::new(options.to, options.code_from.as_deref())?;
    let mut demo = Demo { client: Client::new(&options.url)?, screen: Screen::new(), steps: 0 };
    let address = options.url.as_str().trim_end_matches('/');
    demo.screen.line(&format!("otpd demo: {} signs in at {address}", options.to.to_e164()))?;

    let receipt = demo.prove_the_number(options.to, &mut codes).await?;
    let (access, refresh) = demo.take_tokens(&receipt).await?;
    demo.use_the_profile(&access).await?;
    let (access, refresh) = demo.refresh(&access, &refresh).await?;
    demo.sign_out(&access, &refresh).await?;

    let steps = demo.steps;
    demo.screen.title(&format!("Done: {steps} requests, and every answer was as it should be."))
}

/// The walk, in chapters.
struct Demo {
    client: Client,
    screen: Screen,
    steps: u32,
}

impl Demo {
    /// Shows and makes a request; the answer must have the status.
    async fn step(&mut self, title: &str, call: Call<'_>, status: u16) -> Result<Value, Failed> {
        self.show(title, call).await?.expect(status)
    }

    async fn show(&mut self, title: &str, call: Call<'_>) -> Result<wire::Answer, Failed> {
        self.steps += 1;
        self.screen.title(&format!("{}. {title}", self.steps))?;
        self.screen.request(&call)?;
        let answer = self.client.send(call).await?;
        self.screen.answer(&answer)?;
        Ok(answer)
    }

    /// Start and check; the receipt.
    async fn prove_the_number(&mut self, to: PhoneNumber, codes: &mut Codes) -> Result<String, Failed> {
        let key = format!("demo-{:016x}", OsEntropy.draw());
        let call = Call::post("/v1/verifications").json(json!({ "to": to.to_e164() })).idempotency_key(key);
        let started = self.step("Ask for a code", call, 201).await?;
        let path = format!("/v1/verifications/{}/check", text(&started, "id")?);
        if let Some(code) = started.get("code").and_then(Value::as_str) {
            self.screen.line("The server shows codes (dev.show_codes), so nobody needs to read the message.")?;
            codes.know(code);
        }
        loop {
            let code = codes.next().await?;
            let call = Call::post(&path).json(json!({ "code": code }));
            let answer = self.show("Give the code", call).await?;
            if answer.is_a_typo() && codes.can_ask_again() {
                self.screen.line("Not this one. Try again.")?;
                continue;
            }
            return text(&answer.expect(200)?, "receipt");
        }
    }

    /// The receipt becomes an access token and a refresh token.
    async fn take_tokens(&mut self, receipt: &str) -> Result<(String, String), Failed> {
        let grant = "urn:ietf:params:oauth:grant-type:jwt-bearer";
        let call = Call::post("/oauth/token").form([("grant_type", grant), ("assertion", receipt)]);
        tokens(&self.step("Exchange the receipt for tokens", call, 200).await?)
    }

    async fn use_the_profile(&mut self, access: &str) -> Result<(), Failed> {
        self.step("Who am I?", Call::get("/v1/me").bearer(access), 200).await?;
        let profile = json!({ "first_name": "Demo", "locale": "en" });
        let call = Call::patch("/v1/me").bearer(access).json(profile);
        let changed = self.step("Tell my name", call, 200).await?;
        if text(&changed, "first_name")? != "Demo" {
            return Err(Failed::new("the profile did not take the change"));
        }
        Ok(())
    }

    async fn refresh(&mut self, access: &str, refresh: &str) -> Result<(String, String), Failed> {
        let call = Call::post("/oauth/token").form([("grant_type", "refresh_token"), ("refresh_token", refresh)]);
        let (fresh, next) = tokens(&self.step("Refresh: a new access token, a new refresh token", call, 200).await?)?;
        if next == refresh || fresh == access {
            return Err(Failed::new("the refresh gave the same tokens again"));
        }
        Ok((fresh, next))
    }

    async fn sign_out(&mut self, access: &str, refresh: &str) -> Result<(), Failed> {
        self.step("Where am I signed in?", Call::get("/v1/me/sessions").bearer(access), 200).await?;
        self.step("Sign out", Call::post("/oauth/revoke").form([("token", refresh)]), 200).await?;
        let call = Call::get("/v1/me").bearer(access);
        self.step("The access token is refused from now on", call, 401).await?;
        Ok(())
    }
}

fn tokens(answer: &Value) -> Result<(String, String), Failed> {
    Ok((text(answer, "access_token")?, text(answer, "refresh_token")?))
}

fn text(answer: &Value, field: &str) -> Result<String, Failed> {
    let found = answer.get(field).and_then(Value::as_str);
    found.map(str::to_owned).ok_or_else(|| Failed::new(format!("the answer has no {field}: is this an otpd?")))
}
