//! `typed_verification`: codes of any type of verification, no users and no tokens (`seeds/004`, Django REST framework).

use std::borrow::Cow;

use serde_json::json;

use super::{Figures, Framework, Spec, desk::TOO_MANY};
use crate::{http::docs::Api, service::TokenStyle};

/// Everything about it in one table.
pub(super) const SPEC: Spec = Spec {
    name: "typed_verification",
    base_path: "/api/users",
    figures: Figures {
        default_region: Cow::Borrowed(""),
        code_digits: 4,
        code_ttl_s: 300,
        attempts: 5,
        sends: 3,
        send_window_s: 600,
        ip_per_minute: 60,
        block_s: 0,
        access_ttl_s: 900,
        refresh_ttl_s: 0,
    },
    framework: Framework::DrfSlashed,
    routes: &[],
    says: |text| json!({ "message": text, "status": "error" }),
    ip_limited: |_| json!({ "message": TOO_MANY }),
    tokens: TokenStyle::CANONICAL,
    text: Some("Welcome To Your App!\nThank you for using our service.\nYour OTP is {code}"),
    refresh_at_oauth: false,
    docs: Api::default,
};
