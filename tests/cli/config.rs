//! Settings on the command line: `check-config`, exit codes, help.

use std::fs;

use super::harness::Place;

/// What is in force and what messages will say, as TOML.
#[tokio::test]
async fn what_is_in_force_can_be_read() {
    let place = Place::new();
    let said = place.run_with(&["check-config"], &[("OTPD__SMS__APP_NAME", "چای")]).await;
    let shown = said.well();
    let parsed: toml::Table = shown.parse().unwrap_or_else(|error| panic!("{error}: {shown}"));
    assert_eq!(parsed["sms"]["app_name"].as_str(), Some("چای"));
    assert_eq!(row(&shown, "en"), r#"UCS-2 47 1 "135790 is your چای code. It is valid for 5 min.""#);
    assert_eq!(row(&shown, "ru"), r#"UCS-2 32 1 "Код چای: 135790\nДействует 5 мин.""#);
    assert!(!place.data().exists(), "nothing is made");
}

/// The first row of the tables of texts that has this name, with single spaces.
fn row(shown: &str, name: &str) -> String {
    let rest = |line: &str| Some(line.strip_prefix(&format!("#   {name} "))?.to_owned());
    let words = shown.lines().find_map(rest).unwrap_or_else(|| panic!("no {name}: {shown}"));
    words.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What every text costs, the dialects' own ones too, and which cost more than one part or cannot be used.
#[tokio::test]
async fn the_cost_of_every_text_is_shown() {
    let place = Place::new();
    let settings = [
        ("OTPD__SMS__APP_NAME", "Acme"),
        ("OTPD__SMS__WEBOTP_HOSTS", "accounts.login.example.com"),
        ("OTPD__SMS__PARTS_MAX", "2"),
        ("OTPD__CODES__TTL_S", "120"),
    ];
    let shown = place.run_with(&["check-config"], &settings).await.well();
    let es = r#"GSM-7 79 1 "135790 es tu clave de Acme. Vence en 2 min.\n@accounts.login.example.com #135790""#;
    assert_eq!(row(&shown, "es"), es);
    // The line for the page is the part too many.
    assert!(row(&shown, "hi").starts_with("UCS-2 68 1 "), "{shown}");
    assert!(row(&shown, "pt").starts_with("UCS-2 72 2* "), "{shown}");
    let notices = shown.split_once("# The notice").unwrap().1;
    assert!(row(notices, "de").starts_with("GSM-7 108 1 "), "{shown}");
    assert!(row(notices, "tr").starts_with("UCS-2 66 1 "), "{shown}");
    // With the dialect's own digits, minutes and lines.
    let own = r#"UCS-2 52 1 "کد تایید شما: 135790\n\nاین کد تا 5 دقیقه اعتبار دارد.""#;
    assert_eq!(row(&shown, "usr_otp"), own);
    assert!(row(&shown, "signup_login").starts_with(r#"GSM-7 74 1 "Your Loopin"#), "{shown}");
    assert!(row(&shown, "typed_verification").ends_with(r#"Your OTP is 1357""#), "{shown}");
    // What nobody wrote and does not fit is told and left out.
    let few = [settings[0], settings[1], ("OTPD__SMS__PARTS_MAX", "1")];
    let said = place.run_with(&["check-config"], &few).await;
    let told = "warning: sms.templates.pt: the built-in text is not used: it is longer than parts_max allows";
    assert!(said.err.contains(told), "{said:#?}");
    assert!(said.well().lines().all(|line| !line.starts_with("#   pt ") || line.contains("GSM-7")));
}

/// What is wrong is named by its key in config.toml, all of it at once, and the exit code is 2, for `serve` too.
#[tokio::test]
async fn bad_settings_are_named() {
    let place = Place::new();
    fs::write(place.path("otpd.toml"), "[codes]\nttl_s = 5\n[sever]\nlisten = \"x\"\n").unwrap();
    for action in ["check-config", "serve", "export"] {
        let said = place.run(&[action, "--config", "otpd.toml"]).await;
        said.failed(2, "codes.ttl_s: ");
        assert!(said.err.contains("sever"), "{said:#?}");
    }
    // What only the parts can judge.
    fs::write(place.path("otpd.toml"), "[phone]\ndefault_region = \"QQ\"\n[sms.templates]\nfa = \"no place for it\"\n")
        .unwrap();
    let said = place.run(&["check-config", "--config", "otpd.toml"]).await;
    said.failed(2, "sms.templates.fa: must have the placeholder {code} exactly once");
    assert!(said.err.contains("phone.default_region: has no numbering plan"), "{said:#?}");
    assert_eq!(said.out, "");
    place.run(&["serve", "--config", "otpd.toml"]).await.failed(2, "otpd: ");
    place.run(&["--config", "missing.toml"]).await.failed(2, "missing.toml");
}

/// security 7: codes are never shown beside a gateway that really sends.
#[tokio::test]
async fn shown_codes_and_a_real_gateway_exclude_each_other() {
    let place = Place::new();
    let settings = [
        ("OTPD__DEV__SHOW_CODES", "true"),
        ("OTPD__SMS__GATEWAY", "twilio"),
        ("OTPD__SMS__TWILIO__ACCOUNT_SID", "AC00000000000000000000000000000000"),
        ("OTPD__SMS__TWILIO__AUTH_TOKEN", "not-a-secret-of-anybody"),
        ("OTPD__SMS__TWILIO__FROM", "+14155550199"),
    ];
    for action in ["serve", "check-config"] {
        let said = place.run_with(&[action], &settings).await;
        said.failed(2, "OTPD__DEV__SHOW_CODES: must be false beside a gateway that really sends");
        assert!(!said.err.contains("not-a-secret-of-anybody"));
    }
    place.run_with(&["check-config"], &settings[1..]).await.well();
    let warned = place.run_with(&["check-config"], &settings[..1]).await;
    assert!(warned.err.contains("warning: dev.show_codes"), "{warned:#?}");
    warned.well();
    assert!(!place.data().exists());
}

/// Every subcommand explains itself.
#[tokio::test]
async fn every_command_has_help() {
    let place = Place::new();
    let table: [(&[&str], &[&str]); 13] = [
        (
            &[],
            &["serve", "demo", "export", "import", "check-config", "keys", "signing-keys", "sealing-keys", "--config"],
        ),
        (&["serve"], &["Run the server"]),
        (&["demo"], &["--url", "--to", "--code-from", "http://127.0.0.1:8080", "+14155550100"]),
        (&["export"], &["--out", "server must be stopped", "sealing.keys"]),
        (&["import"], &["--merge", "server must be stopped", "sealing.keys"]),
        (&["check-config"], &["Check the settings"]),
        (&["keys"], &["create", "list", "revoke"]),
        (&["keys", "create"], &["--name", "--scope", "standard output"]),
        (&["keys", "revoke"], &["within a second"]),
        (&["signing-keys"], &["list", "rotate", "remove"]),
        (&["signing-keys", "rotate"], &["--algorithm", "EdDSA"]),
        (&["signing-keys", "remove"], &["--yes", "refused"]),
        (&["sealing-keys", "remove"], &["--yes", "every session"]),
    ];
    for (command, words) in table {
        let help = place.run(&[command, &["--help"]].concat()).await.well();
        for word in words {
            assert!(help.contains(word), "{command:?} says nothing of {word}:\n{help}");
        }
    }
    assert!(place.run(&["--version"]).await.well().starts_with("otpd "));
    place.run(&["dance"]).await.failed(2, "dance");
}
