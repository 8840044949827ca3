//! The generic webhook: one signed JSON post per message to a URL of the operator's, for providers without an adapter
//! of their own (`providers.md` section 10).
//!
//! Owns the request. How it is signed is `standard_webhooks`', what stands in it is `template`'s, what an answer means is
//! `verdict`'s, what a setting may be is `settings`'s, and receipts are `receipt`'s.
//! Never repeats a request and never follows a redirect.

mod receipt;
mod settings;
mod template;
mod verdict;

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use reqwest::{
    Url,
    header::{self, HeaderName, HeaderValue},
};

pub use self::settings::WebhookSettings;
use self::{
    settings::Checked,
    template::{Facts, Template},
    verdict::Rule,
};
use super::{
    Accepted, Channel, Gateway, SendError, SettingError, Sms,
    outbound::Outbound,
    receipt::{Receipt, ReceiptRefused, ReceiptRequest},
};
use crate::{
    clock::Clock,
    standard_webhooks::{self, SigningKey},
};

/// Its name in configuration, metrics and errors.
const NAME: &str = "webhook";

/// Posts messages to the operator's own URL.
pub struct Webhook {
    outbound: Outbound,
    url: Url,
    /// Newest first; the receiver takes any.
    keys: Vec<SigningKey>,
    auth: Option<(HeaderName, HeaderValue)>,
    template: Template,
    rule: Rule,
    clock: Arc<dyn Clock>,
}

impl Webhook {
    /// Checks the settings and builds the client. Does not connect. Signatures tell the time by `clock`.
    pub fn new(settings: &WebhookSettings, clock: Arc<dyn Clock>) -> Result<Self, SettingError> {
        let Checked { url, keys, auth, template, rule, limits } = settings::check(settings)?;
        let outbound = Outbound::new(NAME, &url, &limits)?;
        Ok(Self { outbound, url, keys, auth, template, rule, clock })
    }
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Webhook").field("host", &self.url.host_str()).finish_non_exhaustive()
    }
}

#[async_trait]
impl Gateway for Webhook {
    fn name(&self) -> &'static str {
        NAME
    }

    fn channels(&self) -> &[Channel] {
        if self.template.has_channel() { &Channel::ALL } else { &[Channel::Sms] }
    }

    fn is_real(&self) -> bool {
        true
    }

    async fn send(&self, sms: &Sms) -> Result<Accepted, SendError> {
        let now = self.clock.now();
        let id = format!("msg_{:032x}", sms.id);
        let body = self.template.fill(&Facts { id: &id, sms, now })?;
        let seconds = now.0 / 1_000;
        let signatures: Vec<String> = self.keys.iter().map(|key| key.sign(&id, seconds, &body)).collect();
        let mut request = self
            .outbound
            .post(self.url.clone())
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::ACCEPT, "application/json")
            .header(standard_webhooks::ID, &id)
            .header(standard_webhooks::TIMESTAMP, seconds)
            .header(standard_webhooks::SIGNATURE, signatures.join(" "));
        if let Some((name, value)) = &self.auth {
            request = request.header(name, value);
        }
        let given = self.outbound.ask(request.body(body), |status, body| self.rule.judge(status, body)).await?;
        // Where the receiver has no id of its own, the one in the request is known to both sides.
        Ok(Accepted { provider_id: given.or(Some(id)) })
    }

    async fn read_receipts(&self, request: &ReceiptRequest<'_>) -> Result<Vec<Receipt>, ReceiptRefused> {
        receipt::read(&self.keys, request)
    }
}
