//! Settings by the names that the originals of the dialects read from the environment, and their `.env` files.

use std::{fs, path::Path, time::Duration};

use otpd::settings::{self, GatewayKind, Settings};
use secrecy::ExposeSecret as _;

fn from_env(variables: &[(&str, &str)]) -> Result<Settings, String> {
    let owned = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Settings::load(None, owned).map_err(|error| error.to_string())
}

/// The problems' lines of a load that must fail.
fn problems(result: Result<Settings, String>) -> Vec<String> {
    let text = result.err().unwrap_or_else(|| "(loaded)".to_owned());
    text.lines().skip(1).map(|line| line.trim().to_owned()).collect()
}

/// The sample `.env` of `signup_login`'s original, as far as it names what we know, and of the others.
#[test]
fn names_of_the_originals_are_taken() {
    let s = from_env(&[
        ("TWILIO_ACCOUNT_SID", "your-twilio-account-sid"),
        ("TWILIO_AUTH_TOKEN", "your-twilio-auth-token"),
        ("TWILIO_VERIFY_SID", "your-twilio-verify-sid"),
        ("TWILIO_PHONE_NUMBER", "+15005550006"),
        ("TWILIO_TEST_MODE", "true"),
        ("JWT_SECRET_KEY", "django-insecure-rq1k3nfrru@$ds6bwf$t&3hk*s7bg5ef3it&o@s*6_jbbbfp(j"),
        ("JWT_ALGORITHM", "HS384"),
        ("JWT_ACCESS_TOKEN_EXPIRE_MINUTES", "30"),
        ("CORS_ALLOWED_ORIGINS", "http://localhost:3000,http://127.0.0.1:3000"),
        ("OTP_EXPIRY_TIME", "240"),
        ("OTP_MAX_ATTEMPTS", "4"),
        ("OTP_EXPIRY_MINUTES", "7"),
        ("OTP_CODE_LENGTH", "8"),
        ("KAVENEGAR_SENDER", "10008663"),
        ("SMS_SENDER", "YourApp"),
        ("SMS_USERNAME", ""),
    ])
    .unwrap();
    assert_eq!((s.sms.gateway, s.sms.console_test_mode), (GatewayKind::Console, true));
    assert_eq!(s.sms.twilio.from.as_deref(), Some("+15005550006"));
    assert_eq!((s.token.algorithm, s.token.access_ttl), ("HS384", Duration::from_secs(900)));
    assert!(s.token.secret.unwrap().expose_secret().starts_with("django-insecure-"));
    assert_eq!(s.api.cors_origins, ["http://localhost:3000", "http://127.0.0.1:3000"]);
    let (usr, auth) = (&s.dialects["usr_otp"], &s.dialects["auth_otp"]);
    assert_eq!((usr.code_ttl_s, usr.attempts), (Some(240), Some(4)));
    assert_eq!((auth.code_ttl_s, auth.code_digits), (Some(420), Some(8)));
}

#[test]
fn credentials_of_one_provider_choose_its_gateway() {
    let gateway = |variables: &[(&str, &str)]| from_env(variables).map(|s| s.sms.gateway);
    let twilio = [("TWILIO_ACCOUNT_SID", "AC1"), ("TWILIO_AUTH_TOKEN", "t"), ("TWILIO_PHONE_NUMBER", "+15005550006")];
    assert_eq!(gateway(&twilio), Ok(GatewayKind::Twilio));
    assert_eq!(gateway(&[("KAVENEGAR_API_KEY", "k"), ("KAVENEGAR_SENDER", "1")]), Ok(GatewayKind::Kavenegar));
    let mshastra = [("SMS_USERNAME", "u"), ("SMS_PASSWORD", "p"), ("SMS_SENDER", "App")];
    assert_eq!(gateway(&mshastra), Ok(GatewayKind::Mshastra));
    assert_eq!(gateway(&[("TWILIO_PHONE_NUMBER", "+15005550006")]), Ok(GatewayKind::Console), "no credentials");
    let chosen = [mshastra.as_slice(), &[("OTPD__SMS__GATEWAY", "simulated")]].concat();
    assert_eq!(gateway(&chosen), Ok(GatewayKind::Simulated), "what is set is set");
    let tested = [twilio.as_slice(), &[("OTPD__SMS__GATEWAY", "twilio"), ("TWILIO_TEST_MODE", "True")]].concat();
    assert_eq!(gateway(&tested), Ok(GatewayKind::Console));
    let both = [twilio.as_slice(), &mshastra].concat();
    assert_eq!(
        problems(from_env(&both)),
        ["sms.gateway: must be set: there are credentials of more than one provider"]
    );
}

/// A value that makes no sense stops the start and names the variable; the value is not shown.
#[test]
fn senseless_values_of_originals_are_refused_by_name() {
    let found = problems(from_env(&[
        ("OTP_EXPIRY_TIME", "soon"),
        ("OTP_EXPIRY_MINUTES", "-5"),
        ("OTP_CODE_LENGTH", "3"),
        ("TWILIO_TEST_MODE", "perhaps"),
        ("JWT_ACCESS_TOKEN_EXPIRE_MINUTES", "half an hour"),
        ("JWT_ALGORITHM", "none"),
        ("CORS_ALLOWED_ORIGINS", "*"),
    ]));
    let names: Vec<&str> = found.iter().filter_map(|line| line.split(':').next()).collect();
    assert_eq!(
        names,
        [
            "OTP_EXPIRY_TIME",
            "OTP_EXPIRY_MINUTES",
            "TWILIO_TEST_MODE",
            "JWT_ACCESS_TOKEN_EXPIRE_MINUTES",
            "JWT_ALGORITHM",
            "CORS_ALLOWED_ORIGINS",
            "OTP_CODE_LENGTH",
        ]
    );
    assert!(found.iter().all(|line| !line.contains("soon") && !line.contains("perhaps")), "{found:?}");
}

/// A `.env` file is read as the originals' loaders read it, and only what is known is taken.
#[test]
fn environment_files_are_read() {
    let text = "# a comment\nDEBUG=True\nOTP_EXPIRY_TIME=300      # 5 minutes\nexport SMS_SENDER='Your App'\n\
        JWT_SECRET_KEY=\"django-insecure-a\\$b\"\nOTPD__LOG__FORMAT=json\n";
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(".env");
    fs::write(&path, text).unwrap();
    let found = settings::environment_file(&path).unwrap();
    let found: Vec<(&str, &str)> = found.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(
        found,
        [
            ("OTP_EXPIRY_TIME", "300"),
            ("SMS_SENDER", "Your App"),
            ("JWT_SECRET_KEY", "django-insecure-a$b"),
            ("OTPD__LOG__FORMAT", "json"),
        ]
    );
    fs::write(&path, "no line\nSMS_SENDER='abc\n").unwrap();
    let broken = settings::environment_file(&path).unwrap_err().to_string();
    assert!(broken.contains(".env: line 2: a quote that does not end") && !broken.contains("abc"), "{broken}");
    assert!(settings::environment_file(Path::new("/nowhere/.env")).is_err());
}

/// What the process was started with goes before a file, whichever names they use.
#[test]
fn a_later_environment_goes_before_an_earlier_one() {
    let pairs = |pairs: &[(&str, &str)]| pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
    let file: Vec<(String, String)> = pairs(&[("OTP_EXPIRY_TIME", "240"), ("TWILIO_TEST_MODE", "true")]);
    let process = pairs(&[("OTPD__DIALECTS__USR_OTP__CODE_TTL_S", "120"), ("TWILIO_TEST_MODE", "false")]);
    let s = Settings::load_all(None, [file, process]).unwrap();
    assert_eq!((s.dialects["usr_otp"].code_ttl_s, s.sms.console_test_mode), (Some(120), false));
}

/// A test mode beside a gateway that really sends is a contradiction, not a choice.
#[test]
fn a_test_mode_that_cannot_be_kept_is_refused() {
    let found = problems(from_env(&[
        ("TWILIO_TEST_MODE", "true"),
        ("OTPD__SMS__GATEWAY", "kavenegar"),
        ("KAVENEGAR_API_KEY", "k"),
        ("KAVENEGAR_SENDER", "1"),
    ]));
    assert_eq!(found, ["TWILIO_TEST_MODE: contradicts sms.gateway, which really sends"]);
}

/// What is half given is refused by the name it was given by; whatever is wrong with it later, too.
#[test]
fn half_given_credentials_are_refused_by_name() {
    let found = problems(from_env(&[("TWILIO_ACCOUNT_SID", "AC1"), ("TWILIO_PHONE_NUMBER", "+15005550006")]));
    assert_eq!(found, ["TWILIO_ACCOUNT_SID: is of no use without sms.twilio.auth_token"]);
    let found = problems(from_env(&[("SMS_PASSWORD", "p")]));
    assert_eq!(found, ["SMS_PASSWORD: is of no use without sms.mshastra.user"]);
}
