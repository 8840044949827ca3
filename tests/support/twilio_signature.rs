//! How Twilio signs what it posts: HMAC-SHA1 by the account's token over the URL and the form's fields in the order of their
//! names. Written from Twilio's description, apart from the code that checks it.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses its own part of it")]

use std::collections::BTreeMap;

use aws_lc_rs::hmac;
use base64::{Engine as _, prelude::BASE64_STANDARD};

/// The value of `X-Twilio-Signature`. No name may stand twice in `fields`.
pub fn sign(token: &str, url: &str, fields: &[(&str, &str)]) -> String {
    let sorted: BTreeMap<&str, &str> = fields.iter().copied().collect();
    assert_eq!(sorted.len(), fields.len(), "a name stands twice");
    let mut text = url.to_owned();
    for (name, value) in sorted {
        text.push_str(name);
        text.push_str(value);
    }
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, token.as_bytes());
    BASE64_STANDARD.encode(hmac::sign(&key, text.as_bytes()))
}
