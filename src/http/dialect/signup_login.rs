//! `signup_login`: signing up, completing a profile, logging in; every business answer is an envelope (`seeds/002`, FastAPI).

use std::borrow::Cow;

use serde_json::{Value, json};

use super::{Figures, Framework, Spec, desk::TOO_MANY};
use crate::{http::docs::Api, service::TokenStyle};

/// Everything about it in one table.
pub(super) const SPEC: Spec = Spec {
    name: "signup_login",
    base_path: "/auth",
    figures: Figures {
        default_region: Cow::Borrowed(""),
        code_digits: 6,
        code_ttl_s: 600,
        attempts: 3,
        sends: 3,
        send_window_s: 120,
        ip_per_minute: 60,
        block_s: 0,
        access_ttl_s: 2_592_000,
        refresh_ttl_s: 0,
    },
    framework: Framework::FastApi,
    routes: &[],
    says: envelope,
    ip_limited: |_| envelope(TOO_MANY),
    tokens: TokenStyle::CANONICAL,
    text: Some("Your Loopin verification code is: {code}. This code expires in {minutes} minutes."),
    refresh_at_oauth: false,
    docs: Api::default,
};

/// The four keys that every business answer has, of a failure.
fn envelope(message: &str) -> Value {
    json!({ "success": false, "message": message, "data": null, "token": null })
}
