//! From a settings file to a message at the provider: the names of the tables are what operators write.

use std::{fs, os::unix::fs::PermissionsExt as _, time::Instant};

use otpd::{
    app::{World, parts},
    settings::Settings,
    sms::{SendClass, sender::Sender},
};

use crate::{
    kit::{TEXT, TO, assert_hidden, send},
    subject::{Subject, Trouble, all},
};

/// The policy over the gateway of a private file that holds this subject's table.
fn configured(subject: &Subject, more: &str) -> Sender {
    let Subject { name, config, .. } = subject;
    let text =
        format!("[sms]\ngateway = \"{name}\"\n[sms.{name}]\nbase_url = \"{}\"\n{config}{more}", subject.base_url());
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("otpd.toml");
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    let settings = Settings::load(Some(&path), []).unwrap();
    assert!(parts::faults(&settings).is_empty());
    let shown = format!("{settings:?} {}", settings.printable());
    // Settings name the profile and the account, which alone open nothing.
    let harmless = ["AC00000000000000000000000000000f0f", "acme-profile-71"];
    let secrets: Vec<&str> = subject.secrets.iter().copied().filter(|secret| !harmless.contains(secret)).collect();
    assert_hidden(&shown, &secrets);
    parts::sender(&settings, &World::default()).unwrap()
}

#[tokio::test]
async fn a_table_in_the_file_makes_the_gateway() {
    for subject in all().await {
        let sender = configured(&subject, "");
        assert!(sender.gateway(subject.name).is_some() && sender.is_real(), "{}", subject.name);
        assert!(otpd::metrics::SMS_ROUTES.contains(&subject.name), "its metrics have a closed set of routes");
        assert!(send(&sender, TO).await.result.is_ok(), "{}", subject.name);
        assert_eq!(subject.taken(), [(subject.wire_to.to_owned(), subject.heard(TEXT))]);
        assert_eq!(subject.violations(), Vec::<String>::new());
    }
}

/// `timeout_ms` alone is enough to be quick to give up.
#[tokio::test]
async fn the_time_limit_of_the_file_holds() {
    for subject in all().await {
        let sender = configured(&subject, "timeout_ms = 300\n");
        subject.next(Trouble::Silence);
        let begin = Instant::now();
        let report = send(&sender, TO).await;
        assert_eq!(report.result.unwrap_err().class, SendClass::UnknownOutcome, "{}", subject.name);
        let took = begin.elapsed().as_millis();
        assert!((250..5_000).contains(&took), "{}: {took} ms", subject.name);
    }
}
