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
    let line = |locale: &str| shown.lines().find(|line| line.starts_with(&format!("#   {locale} "))).unwrap();
    assert!(line("en").contains("1 part ") && line("en").contains("135790 is your چای code"), "{shown}");
    assert!(line("fa").contains("1 part "), "{shown}");
    assert!(!place.data().exists(), "nothing is made");
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
