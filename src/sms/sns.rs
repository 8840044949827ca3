//! AWS SNS `Publish` to a number: one signed form post per message (`providers.md` section 6).
//!
//! Owns the request. How it is signed is `sigv4`'s, what an answer means is `verdict`'s, what a setting may be is
//! `settings`'s. Never repeats a request: for SMS there is no key to drop duplicates by.

mod settings;
mod sigv4;
mod verdict;

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use reqwest::{Url, header};

pub use self::settings::SnsSettings;
use self::{settings::Checked, sigv4::Signer};
use super::{Accepted, Gateway, SendError, SettingError, Sms, outbound::Outbound};
use crate::clock::Clock;

/// Its name in configuration, metrics and errors.
const NAME: &str = "sns";
/// The service in the signature's scope.
const SERVICE: &str = "sns";
/// How a form says what it is.
const FORM: &str = "application/x-www-form-urlencoded; charset=utf-8";

/// Publishes through Amazon SNS.
pub struct Sns {
    outbound: Outbound,
    url: Url,
    /// As the client writes it: with the port, if it is not the scheme's own.
    host: String,
    signer: Signer,
    /// Attributes of every message, in their order.
    attributes: Vec<(&'static str, String)>,
    clock: Arc<dyn Clock>,
}

impl Sns {
    /// Checks the settings and builds the client. Does not connect. Signatures tell the time by `clock`: AWS refuses one
    /// that is some minutes off.
    pub fn new(settings: SnsSettings, clock: Arc<dyn Clock>) -> Result<Self, SettingError> {
        let Checked { url, host, signer, attributes, limits } = settings::check(settings)?;
        Ok(Self { outbound: Outbound::new(NAME, &url, &limits)?, url, host, signer, attributes, clock })
    }

    /// The parameters of the query protocol. `MaxPrice` is not here: what a message may cost is for otpd's own budget.
    fn form(&self, sms: &Sms) -> String {
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("Action", "Publish")
            .append_pair("Version", "2010-03-31")
            .append_pair("PhoneNumber", &sms.to.to_e164())
            .append_pair("Message", &sms.text);
        for (at, (name, value)) in self.attributes.iter().enumerate() {
            let entry = |rest: &str| format!("MessageAttributes.entry.{}.{rest}", at + 1);
            form.append_pair(&entry("Name"), name)
                .append_pair(&entry("Value.DataType"), "String")
                .append_pair(&entry("Value.StringValue"), value);
        }
        form.finish()
    }
}

impl fmt::Debug for Sns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sns").field("host", &self.url.host_str()).finish_non_exhaustive()
    }
}

#[async_trait]
impl Gateway for Sns {
    fn name(&self) -> &'static str {
        NAME
    }

    fn is_real(&self) -> bool {
        true
    }

    async fn send(&self, sms: &Sms) -> Result<Accepted, SendError> {
        let body = self.form(sms);
        let date = sigv4::date(self.clock.now());
        let headers = [("content-type", FORM), ("host", self.host.as_str()), ("x-amz-date", date.as_str())];
        let mut authorization = header::HeaderValue::from_str(&self.signer.authorization(&headers, body.as_bytes()))
            .map_err(|_| SendError::new(super::SendClass::BadConfig, "sns request cannot be built"))?;
        authorization.set_sensitive(true);
        let request = self
            .outbound
            .post(self.url.clone())
            .header(header::CONTENT_TYPE, FORM)
            .header("x-amz-date", &date)
            .header(header::AUTHORIZATION, authorization);
        self.outbound.ask(request.body(body), verdict::judge).await
    }
}
