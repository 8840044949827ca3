//! Providers: what each asks of an account, their time limits, and their secrets.

use std::time::Duration;

use otpd::settings::Settings;
use secrecy::ExposeSecret as _;

use super::{file, from_env, from_file, load, problems};

/// The base URL of a real provider, and what it asks of an account.
#[test]
fn a_gateway_needs_its_credentials() {
    let table: [(&str, &str, &[&str]); 5] = [
        ("twilio", "https://api.twilio.com", &["account_sid", "auth_token", "from"]),
        ("kavenegar", "https://api.kavenegar.com", &["api_key"]),
        ("mshastra", "https://mshastra.com", &["user", "password", "sender"]),
        ("vonage", "https://rest.nexmo.com", &["api_key", "api_secret", "from"]),
        ("telegram", "https://gatewayapi.telegram.org", &["access_token"]),
    ];
    for (gateway, base_url, wanted) in table {
        let bare = format!("[sms]\ngateway = \"{gateway}\"\n[sms.{gateway}]\n");
        let unset =
            |key: &str| format!("sms.{gateway}.{key}: must be set where sms.gateway or a route names \"{gateway}\"");
        assert_eq!(problems(from_file(&bare)), wanted.iter().map(|key| unset(key)).collect::<Vec<_>>());

        let given: String = wanted.iter().map(|key| format!("{key} = \"x1\"\n")).collect();
        let s = from_file(&format!("{bare}{given}")).unwrap();
        assert!(s.sms.gateway.is_real() && s.printable().contains(&format!("\"{base_url}\"  # default")));
        assert_eq!(problems(from_file(&format!("{bare}{given}base_url = \"\"\n"))), [unset("base_url")]);
    }
    let service = [
        ("OTPD__SMS__GATEWAY", "twilio"),
        ("OTPD__SMS__TWILIO__ACCOUNT_SID", "AC1"),
        ("OTPD__SMS__TWILIO__AUTH_TOKEN", "t"),
        ("OTPD__SMS__TWILIO__MESSAGING_SERVICE_SID", "MG1"),
    ];
    assert!(from_env(&service).is_ok(), "a messaging service stands in for the sender");
}

/// A time-out of the provider's that is shorter than the default for connecting needs nothing else; one that the
/// safety net would cut off is refused for the gateway that is used.
#[test]
fn a_providers_time_limit_can_be_set_alone() {
    let account = "[sms]\ngateway = \"kavenegar\"\n[sms.kavenegar]\napi_key = \"x1\"\n";
    let s = from_file(&format!("{account}timeout_ms = 500\n")).unwrap();
    assert_eq!(s.sms.kavenegar.limits.timeout, Duration::from_millis(500));
    let found = problems(from_file(&format!("{account}timeout_ms = 10001\n")));
    assert_eq!(found.len(), 1);
    assert!(found[0].starts_with("sms.attempt_timeout_ms: must not be shorter than timeout_ms"), "{found:?}");
    assert!(from_file("sms.kavenegar.timeout_ms = 10001\n").is_ok(), "it is not used");
}

/// security 123: `*_FILE`, its mode, and that it is not given twice.
#[test]
fn secrets_come_from_private_files() {
    const DIRECT: &str = "OTPD__SMS__TWILIO__AUTH_TOKEN";
    const BY_FILE: &str = "OTPD__SMS__TWILIO__AUTH_TOKEN_FILE";
    let token = |s: &Settings| s.sms.twilio.auth_token.as_ref().unwrap().expose_secret().to_owned();

    let private = file("token", "hush-hush\n", 0o600);
    let path = private.path.to_str().unwrap();
    assert_eq!(token(&from_env(&[(BY_FILE, path)]).unwrap()), "hush-hush");

    let both = problems(from_env(&[(BY_FILE, path), (DIRECT, "x")]));
    assert_eq!(both, [format!("{BY_FILE}: set either this or {DIRECT}, not both (sms.twilio.auth_token)")]);

    for mode in [0o640, 0o604, 0o620] {
        let open = file("token", "hush-hush\n", mode);
        let found = problems(from_env(&[(BY_FILE, open.path.to_str().unwrap())]));
        assert_eq!(found, [format!("{BY_FILE}: group or others may read the file it names: use mode 0600")]);
    }
    let found = problems(from_env(&[(BY_FILE, "/nonexistent")]));
    assert!(found[0].starts_with(&format!("{BY_FILE}: the file it names cannot be read")), "{found:?}");

    let text = "sms.twilio.auth_token = \"hush-hush\"\n";
    let open = problems(load(Some(&file("otpd.toml", text, 0o644).path), &[]));
    assert!(open[0].contains("is a secret in a file that group or others may read"), "{open:?}");
    assert_eq!(token(&from_file(text).unwrap()), "hush-hush");
}

/// security 120, 123: neither `Debug` nor the printout nor an error shows a secret.
#[test]
fn secrets_are_never_shown() {
    for (key, variable) in [
        ("sms.twilio.auth_token", "OTPD__SMS__TWILIO__AUTH_TOKEN"),
        ("sms.kavenegar.api_key", "OTPD__SMS__KAVENEGAR__API_KEY"),
        ("sms.mshastra.password", "OTPD__SMS__MSHASTRA__PASSWORD"),
        ("sms.vonage.api_secret", "OTPD__SMS__VONAGE__API_SECRET"),
        ("sms.sns.secret_access_key", "OTPD__SMS__SNS__SECRET_ACCESS_KEY"),
        ("sms.telegram.access_token", "OTPD__SMS__TELEGRAM__ACCESS_TOKEN"),
        ("sms.twilio.receipts_auth_token", "OTPD__SMS__TWILIO__RECEIPTS_AUTH_TOKEN"),
        ("sms.twilio_voice.receipts_auth_token", "OTPD__SMS__TWILIO_VOICE__RECEIPTS_AUTH_TOKEN"),
        ("sms.vonage_messages.signature_secret", "OTPD__SMS__VONAGE_MESSAGES__SIGNATURE_SECRET"),
        ("sms.webhook.secret", "OTPD__SMS__WEBHOOK__SECRET"),
        ("sms.webhook.secret_previous", "OTPD__SMS__WEBHOOK__SECRET_PREVIOUS"),
        ("sms.webhook.auth_value", "OTPD__SMS__WEBHOOK__AUTH_VALUE"),
    ] {
        let s = from_env(&[(variable, "hush-hush")]).unwrap();
        assert!(!format!("{s:?} {s:#?}").contains("hush-hush"));
        assert!(!s.printable().contains("hush-hush"));
        assert!(s.printable().contains(&format!("# {key} is set ({variable})\n")));
        let open = problems(load(Some(&file("otpd.toml", &format!("{key} = \"hush-hush\"\n"), 0o644).path), &[]));
        assert!(open[0].contains("is a secret in a file that group or others may read"), "{open:?}");
        let secret = file("secret", "hush-hush\n", 0o600);
        let named = from_env(&[(&format!("{variable}_FILE"), secret.path.to_str().unwrap())]).unwrap();
        assert!(named.printable().contains(&format!("# {key} is set ({variable}_FILE)\n")));
    }
    let misplaced = from_env(&[("OTPD__SERVER__LISTEN", "hush-hush"), ("OTPD__CODES__DIGITS", "hush-hush")]);
    assert!(!misplaced.unwrap_err().contains("hush-hush"));
}

/// The webhook is the operator's own: it has no URL by default, and its rule is whole.
#[test]
fn a_webhook_needs_its_url_and_secret() {
    let bare = "[sms]\ngateway = \"webhook\"\n[sms.webhook]\n";
    let unset = |key: &str| format!("sms.webhook.{key}: must be set where sms.gateway or a route names \"webhook\"");
    assert_eq!(problems(from_file(bare)), [unset("base_url"), unset("secret")]);
    let rule = "success_pointer = \"/ok\"\nsuccess_equals = \"true\"\nerror_classes = [\"E1=landline\", \"a=b=c\"]\n";
    let s = from_file(&format!("{bare}base_url = \"https://relay.example/sms\"\nsecret = \"x1\"\n{rule}")).unwrap();
    let webhook = &s.sms.webhook;
    assert!(s.sms.gateway.is_real() && webhook.secret_previous.is_none() && webhook.auth_value.is_none());
    assert_eq!(webhook.success_statuses, [200, 201, 202, 204]);
    assert_eq!((webhook.success_pointer.as_deref(), webhook.success_equals.as_str()), (Some("/ok"), "true"));
    let pair = |word: &str, class: &str| (word.to_owned(), class.to_owned());
    assert_eq!(webhook.error_classes, [pair("E1", "landline"), pair("a", "b=c")]);
}

/// The region says where SNS is, so a URL is no must.
#[test]
fn sns_needs_a_region_and_a_key() {
    let bare = "[sms]\ngateway = \"sns\"\n[sms.sns]\n";
    let unset = |key: &str| format!("sms.sns.{key}: must be set where sms.gateway or a route names \"sns\"");
    let wanted = ["region", "access_key_id", "secret_access_key"];
    assert_eq!(problems(from_file(bare)), wanted.map(unset));
    let given: String = wanted.map(|key| format!("{key} = \"x1\"\n")).concat();
    let s = from_file(&format!("{bare}{given}")).unwrap();
    assert!(s.sms.gateway.is_real() && s.sms.sns.base_url.is_none() && s.sms.sns.sender_id.is_none());
}
