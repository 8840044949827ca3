//! Twilio's own helper library drives the fake Twilio, so that the fake is held to a real client: what our gateways send
//! to it and what it answers would otherwise be checked by the same hands that wrote both.
//!
//! The library comes from PyPI, pinned by content (`tests/twilio_helper.txt`), into `target/`. Without it the test fails:
//! it is never skipped.
#![expect(clippy::unwrap_used, clippy::panic, clippy::expect_used, reason = "a test fails by panicking")]

#[path = "support/fake_twilio.rs"]
mod fake_twilio;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Output, Stdio},
};

use serde_json::{Value, json};
use tokio::{io::AsyncWriteExt as _, process::Command};

use crate::fake_twilio::{
    ACCOUNT_SID, AUTH_TOKEN, Behaviour, CONTENT_SID, FakeTwilio, Kind, Message, SENDER, VERIFY_SID,
};

/// Who gets everything, and who is throttled.
const TO: &str = "+989123456789";
const THROTTLED: &str = "+12025550142";

/// The Python in whose environment the library is. Installs it where this list of packages is not installed yet.
async fn python() -> PathBuf {
    let requirements = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/twilio_helper.txt");
    let wanted = fs::read_to_string(&requirements).unwrap();
    let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join("twilio_helper");
    let (python, installed) = (place.join("bin/python"), place.join("installed.txt"));
    if fs::read_to_string(&installed).is_ok_and(|installed| installed == wanted) {
        return python;
    }
    let _ = fs::remove_dir_all(&place);
    run(Command::new("python3").args(["-m", "venv"]).arg(&place), "make an environment for Twilio's library").await;
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--require-hashes", "-r"];
    run(Command::new(&python).args(pip).arg(&requirements), "install Twilio's library from PyPI").await;
    fs::write(&installed, wanted).unwrap();
    python
}

async fn run(command: &mut Command, what: &str) {
    match command.output().await {
        Ok(Output { status, .. }) if status.success() => {}
        Ok(Output { stdout, stderr, .. }) => {
            panic!("cannot {what}:\n{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr))
        }
        Err(error) => panic!("cannot {what}: {error}"),
    }
}

/// A receipt as the fake would post it.
fn receipt() -> Value {
    let url = "https://otp.example.com/v1/receipts/twilio?ref=00112233445566778899aabbccddeeff-0";
    let fields = [
        ("MessageSid", "SM0123456789abcdef0123456789abcdef"),
        ("MessageStatus", "delivered"),
        ("To", TO),
        ("From", SENDER),
        ("AccountSid", ACCOUNT_SID),
        ("ApiVersion", "2010-04-01"),
        ("RawDlrDoneDate", "2611201700"),
    ];
    json!({ "url": url, "fields": fields, "signature": fake_twilio::signature::sign(AUTH_TOKEN, url, &fields) })
}

#[tokio::test]
async fn twilios_own_library_understands_the_fake() {
    let python = python().await;
    let fake = FakeTwilio::start().await;
    fake.next_for(THROTTLED, Behaviour::Throttle(1));
    let given = json!({
        "base_url": fake.base_url(), "account_sid": ACCOUNT_SID, "auth_token": AUTH_TOKEN, "service_sid": VERIFY_SID,
        "content_sid": CONTENT_SID, "from": SENDER, "to": TO, "throttled": THROTTLED, "receipt": receipt(),
    });
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/twilio_helper.py");
    let mut child = Command::new(python)
        .arg(script)
        .env_clear()
        .kill_on_drop(true)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(given.to_string().as_bytes()).await.unwrap();
    let output = child.wait_with_output().await.unwrap();
    let (said, complained) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && said.ends_with("ok\n"), "{said}{complained}");

    let of = |kind: Kind| fake.messages().into_iter().filter(move |message| message.kind == kind).collect::<Vec<_>>();
    let bodies = |kind| of(kind).into_iter().map(|message: Message| message.body).collect::<Vec<_>>();
    assert_eq!(bodies(Kind::Message), ["482913 is your Acme code.", "482913 is your verification code."]);
    let said = "Your code is 4 8 2 9 1 3 Your code is 4 8 2 9 1 3. Tom & Jerry <say> so.";
    assert_eq!(bodies(Kind::Call), [said]);
    assert_eq!(bodies(Kind::Verification), ["482913"; 6]);
    let ended = of(Kind::Verification).first().unwrap().sid.clone();
    assert_eq!(fake.feedback(), [(ended, "approved".to_owned())]);
    // Each of these was meant.
    assert_eq!(fake.violations(), ["To", "sender", "Twiml", "CustomCode", "credentials"]);
}
