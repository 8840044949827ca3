//! `usr_otp`: Iranian numbers, HS512 tokens, a cookie (`seeds/001`, Django REST framework without final slashes).

use std::borrow::Cow;

use serde_json::json;

use super::{Figures, Framework, Spec, drf};
use crate::{http::docs::Api, service::TokenStyle};

/// Everything about it in one table.
pub(super) const SPEC: Spec = Spec {
    name: "usr_otp",
    base_path: "/api/v1/usr",
    figures: Figures {
        default_region: Cow::Borrowed("IR"),
        code_digits: 6,
        code_ttl_s: 300,
        attempts: 3,
        sends: 3,
        send_window_s: 120,
        ip_per_minute: 5,
        block_s: 0,
        access_ttl_s: 604_800,
        refresh_ttl_s: 1_296_000,
    },
    framework: Framework::Drf,
    routes: &[],
    says: |text| json!({ "detail": text }),
    ip_limited: drf::throttled,
    tokens: TokenStyle::CANONICAL,
    text: Some("کد تایید شما: {code}\n\nاین کد تا {minutes} دقیقه اعتبار دارد."),
    refresh_at_oauth: false,
    docs: Api::default,
};
