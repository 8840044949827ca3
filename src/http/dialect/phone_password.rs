//! `phone_password`: a code to register, then a password (`seeds/003`, Django REST framework).

use std::borrow::Cow;

use serde_json::json;

use super::{Figures, Framework, Spec, desk::TOO_MANY};
use crate::{http::docs::Api, service::TokenStyle};

/// Everything about it in one table.
pub(super) const SPEC: Spec = Spec {
    name: "phone_password",
    base_path: "/auth",
    figures: Figures {
        default_region: Cow::Borrowed("IR"),
        code_digits: 4,
        code_ttl_s: 600,
        attempts: 3,
        sends: 3,
        send_window_s: 120,
        ip_per_minute: 60,
        block_s: 3_600,
        access_ttl_s: 300,
        refresh_ttl_s: 86_400,
    },
    framework: Framework::DrfSlashed,
    routes: &[],
    says: |text| json!({ "error": text }),
    ip_limited: |_| json!({ "error": TOO_MANY }),
    tokens: TokenStyle::CANONICAL,
    text: None,
    refresh_at_oauth: false,
    docs: Api::default,
};
