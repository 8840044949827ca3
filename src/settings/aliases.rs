//! The names that the originals of the dialects read from the environment, so that a `.env` of theirs keeps working.
//!
//! Each stands for a key of ours and goes before it ([`ALIASES`]); an empty one says nothing, as in their `.env.example`.
//! Credentials of one provider choose its gateway when `sms.gateway` is not set.

use std::collections::BTreeMap;

use super::layers::Layers;

/// What a name of an original means.
#[derive(Debug, Clone, Copy)]
enum Means {
    /// This key, in the same words.
    Key(&'static str),
    /// This key, which counts seconds, in minutes.
    Minutes(&'static str),
    /// Messages go to the console, with a line in the original's words.
    TestMode,
    /// A whole number that changes nothing, as in the original.
    NoNumber,
    /// Nothing here.
    Nothing,
}

/// Every name and what it means.
const ALIASES: [(&str, Means); 18] = [
    ("KAVENEGAR_API_KEY", Means::Key("sms.kavenegar.api_key")),
    ("KAVENEGAR_SENDER", Means::Key("sms.kavenegar.sender")),
    ("OTP_EXPIRY_TIME", Means::Key("dialects.usr_otp.code_ttl_s")),
    ("OTP_MAX_ATTEMPTS", Means::Key("dialects.usr_otp.attempts")),
    ("OTP_EXPIRY_MINUTES", Means::Minutes("dialects.auth_otp.code_ttl_s")),
    ("OTP_CODE_LENGTH", Means::Key("dialects.auth_otp.code_digits")),
    ("TWILIO_ACCOUNT_SID", Means::Key("sms.twilio.account_sid")),
    ("TWILIO_AUTH_TOKEN", Means::Key("sms.twilio.auth_token")),
    ("TWILIO_PHONE_NUMBER", Means::Key("sms.twilio.from")),
    // Codes are ours; Twilio's own verification service is not used.
    ("TWILIO_VERIFY_SID", Means::Nothing),
    ("TWILIO_TEST_MODE", Means::TestMode),
    ("JWT_SECRET_KEY", Means::Key("token.secret")),
    ("JWT_ALGORITHM", Means::Key("token.algorithm")),
    ("JWT_ACCESS_TOKEN_EXPIRE_MINUTES", Means::NoNumber),
    ("CORS_ALLOWED_ORIGINS", Means::Key("api.cors_origins")),
    ("SMS_USERNAME", Means::Key("sms.mshastra.user")),
    ("SMS_PASSWORD", Means::Key("sms.mshastra.password")),
    ("SMS_SENDER", Means::Key("sms.mshastra.sender")),
];

/// Gateways that credentials choose, and the keys that must be set for it.
const CHOSEN_BY: [(&str, &[&str]); 3] = [
    ("twilio", &["sms.twilio.account_sid", "sms.twilio.auth_token"]),
    ("kavenegar", &["sms.kavenegar.api_key"]),
    ("mshastra", &["sms.mshastra.user", "sms.mshastra.password"]),
];

const GATEWAY: &str = "sms.gateway";

/// Is this a name of an original?
pub(super) fn is_alias(name: &str) -> bool {
    ALIASES.iter().any(|(alias, _)| *alias == name)
}

/// Puts what the originals' names say above the layers there are, and chooses the gateway in the end.
#[derive(Debug, Default)]
pub(super) struct Chooser {
    /// The variable that has asked for the test mode.
    test_mode: Option<&'static str>,
}

impl Chooser {
    /// Adds what these variables say.
    pub(super) fn apply(&mut self, layers: &mut Layers, variables: &BTreeMap<String, String>) {
        for (name, means) in ALIASES {
            let Some(text) = variables.get(name).filter(|text| !text.is_empty()) else { continue };
            match means {
                Means::Key(key) => layers.set_by(name, key, text),
                Means::Minutes(key) => match text.trim().parse::<u32>() {
                    Ok(minutes) => layers.set_by(name, key, &(u64::from(minutes) * 60).to_string()),
                    Err(_) => layers.problem(name.to_owned(), "must be a whole number of minutes".to_owned()),
                },
                Means::TestMode => match text.trim().to_ascii_lowercase().as_str() {
                    "true" | "1" | "yes" | "on" => self.test_mode = Some(name),
                    "false" | "0" | "no" | "off" => self.test_mode = None,
                    _ => layers.problem(name.to_owned(), "must be true or false".to_owned()),
                },
                Means::NoNumber if text.trim().parse::<u32>().is_err() => {
                    layers.problem(name.to_owned(), "must be a whole number".to_owned());
                }
                Means::NoNumber | Means::Nothing => {}
            }
        }
    }

    /// Chooses the gateway, if nobody has.
    pub(super) fn choose_gateway(&self, layers: &mut Layers) {
        let test_mode = self.test_mode;
        let is_open = !layers.is_written(GATEWAY);
        if let Some(name) = test_mode
            && (is_open || layers.text(GATEWAY) == "twilio")
        {
            layers.set_by(name, GATEWAY, "console");
            layers.set_by(name, "sms.console.test_mode", "true");
            return;
        }
        if let Some(name) = test_mode
            && !["console", "simulated"].contains(&layers.text(GATEWAY))
        {
            layers.problem(name.to_owned(), "contradicts sms.gateway, which really sends".to_owned());
        }
        if !is_open {
            return;
        }
        let with_credentials: Vec<(&str, String)> = CHOSEN_BY
            .into_iter()
            .filter(|(_, keys)| keys.iter().all(|key| !layers.text(key).is_empty()))
            .filter_map(|(gateway, keys)| Some((gateway, layers.place(keys.first()?))))
            .collect();
        for (_, keys) in CHOSEN_BY {
            let given = keys.iter().find(|key| !layers.text(key).is_empty());
            let missing = keys.iter().find(|key| layers.text(key).is_empty());
            if let (Some(given), Some(missing)) = (given, missing)
                && is_alias(&layers.place(given))
            {
                layers.problem(layers.place(given), format!("is of no use without {missing}"));
            }
        }
        match with_credentials.as_slice() {
            [] => {}
            [(gateway, place)] => layers.set_by(place, GATEWAY, gateway),
            _ => layers
                .problem(GATEWAY.to_owned(), "must be set: there are credentials of more than one provider".to_owned()),
        }
    }
}
