//! What the README prints: settings that are taken, a signature check that is right, commands that work.

use std::{
    fs,
    io::Write as _,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use otpd::{app::parts, settings::Settings, standard_webhooks::SigningKey};
use serde_json::{Value, json};

use super::console_server::ConsoleServer;

/// The README's blocks of a language, as printed.
pub(crate) fn blocks(language: &str) -> Vec<String> {
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let start = format!("\n```{language}\n");
    let parts = readme.split(&start).skip(1).map(|rest| rest.split("```").next().unwrap());
    parts.map(str::to_owned).collect()
}

/// Credentials of every gateway that the README's settings name: they come by the environment, as it says.
const CREDENTIALS: [(&str, &str); 11] = [
    ("OTPD__SMS__TWILIO__ACCOUNT_SID", "AC0123456789abcdef0123456789abcdef"),
    ("OTPD__SMS__TWILIO__AUTH_TOKEN", "a-token"),
    ("OTPD__SMS__TWILIO__FROM", "+12025550100"),
    ("OTPD__SMS__TWILIO_VOICE__ACCOUNT_SID", "AC0123456789abcdef0123456789abcdef"),
    ("OTPD__SMS__TWILIO_VOICE__AUTH_TOKEN", "a-token"),
    ("OTPD__SMS__TWILIO_VOICE__FROM", "+12025550100"),
    ("OTPD__SMS__KAVENEGAR__API_KEY", "4B61766548616B65792D35663163"),
    ("OTPD__SMS__MSHASTRA__USER", "acme"),
    ("OTPD__SMS__MSHASTRA__PASSWORD", "a-password"),
    ("OTPD__SMS__MSHASTRA__SENDER", "Acme"),
    ("OTPD__SERVER__PUBLIC_URL", "https://id.example"),
];

/// Every block is a settings file by itself, and all together are one.
#[test]
fn settings_are_taken() {
    let blocks = blocks("toml");
    assert!(blocks.len() >= 4, "the search is blind");
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("otpd.toml");
    for text in blocks.iter().chain([&blocks.concat()]) {
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        // Whoever has credentials says whose gateway is to be used.
        let needed = CREDENTIALS.iter().filter(|_| text.contains("\ngateway = "));
        let variables = needed.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let settings = Settings::load(Some(&path), variables).unwrap_or_else(|error| panic!("{error} in\n{text}"));
        let faults = parts::faults(&settings);
        assert!(faults.is_empty(), "{faults:?} in\n{text}");
    }
}

/// The check of signatures, against what we sign, and against what somebody else might.
#[test]
fn signatures_are_checked() {
    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const OTHER: &str = "whsec_d3Jvbmctc2VjcmV0LTVmMWMtd3Jvbmctc2VjcmV0";
    let printed = blocks("python").pop().expect("the README has it");
    let now = u64::try_from(jiff::Timestamp::now().as_second()).unwrap();
    let body = r#"{"type":"user.created"}"#;
    let sign = |secret: &str, at: u64| SigningKey::parse(&secret.into()).unwrap().sign("evt_1", at, body.as_bytes());
    let case = |at: u64, signature: String, body: &str, expected: bool| {
        let headers =
            json!({ "webhook-id": "evt_1", "webhook-timestamp": at.to_string(), "webhook-signature": signature });
        json!([headers, body, expected])
    };
    let (good, other) = (sign(SECRET, now), sign(OTHER, now));
    let cases = json!([
        case(now, good.clone(), body, true),
        case(now, format!("{other} {good}"), body, true),
        case(now, other, body, false),
        case(now, String::new(), body, false),
        case(now + 1, good.clone(), body, false),
        case(now, good, "{}", false),
        case(now - 400, sign(SECRET, now - 400), body, false),
        case(now + 400, sign(SECRET, now + 400), body, false),
    ]);
    let call = "\nimport json, sys\nfor headers, body, expected in json.load(sys.stdin):\n    assert \
                is_ours(sys.argv[1], headers, body.encode()) == expected, (headers, body)\nprint('ok')\n";
    let mut python = Command::new("python3")
        .args(["-c", &format!("{printed}{call}"), SECRET])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("python3 is installed: ./test does it");
    python.stdin.take().unwrap().write_all(cases.to_string().as_bytes()).unwrap();
    let ran = python.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&ran.stdout), "ok\n", "{}", String::from_utf8_lossy(&ran.stderr));
}

/// The commands for dead letters: look, post again, throw away.
#[test]
fn dead_letters_are_seen_to() {
    let directory = tempfile::tempdir().unwrap();
    let nobody = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap();
    let url = format!("http://{nobody}");
    let key = admin_key(directory.path());
    let server = ConsoleServer::start_with(
        directory.path(),
        &[
            ("OTPD__WEBHOOKS__URL", &url),
            ("OTPD__WEBHOOKS__SECRET", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
            ("OTPD__WEBHOOKS__EVENTS", "verification.created"),
            ("OTPD__WEBHOOKS__RETRY_AFTER_S", "1"),
        ],
    );
    let printed = blocks("sh").into_iter().find(|block| block.contains("/events/dead")).expect("the README has it");
    let [look, retry, discard] = printed.lines().collect::<Vec<_>>()[..] else { panic!("{printed}") };
    let shell = |line: &str, id: &str| {
        let line = line.replace("127.0.0.1:8080", &server.address).replace("evt_41", id);
        let mut command = Command::new("sh");
        command.env("KEY", &key).args(["-c", &line]);
        String::from_utf8(command.output().unwrap().stdout).unwrap()
    };
    let start = format!(
        "curl -s http://{}/v1/verifications -H 'Content-Type: application/json' -d '{{\"to\": \"+14155550123\"}}'",
        server.address
    );
    assert!(shell(&start, "").contains("ver_"));
    let id = dead(|| shell(look, ""));
    assert_eq!(shell(retry, &id), "");
    // Nobody listens still: after its two tries it is dead again.
    assert_eq!(dead(|| shell(look, "")), id);
    assert_eq!(shell(discard, &id), "");
    assert_eq!(shell(look, ""), r#"{"events":[],"next":null}"#);
}

/// The one dead letter's id, as soon as there is one.
#[expect(clippy::disallowed_methods, reason = "a thread of its own, beside a server that is another process")]
fn dead(look: impl Fn() -> String) -> String {
    let end = Instant::now() + Duration::from_secs(60);
    loop {
        let said = look();
        let list: Value = serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}"));
        if let Some(event) = list["events"].as_array().unwrap_or_else(|| panic!("{said}")).first() {
            assert_eq!(event["type"], "verification.created");
            return event["id"].as_str().unwrap().to_owned();
        }
        assert!(Instant::now() < end, "no dead letter");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// An administrator's key, made by the command that the README prints.
fn admin_key(directory: &Path) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_otpd"));
    command.env_clear().env("OTPD__STORE__PATH", directory.join("data"));
    let ran = command.args(["keys", "create", "--name", "ops", "--scope", "admin"]).output().unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    String::from_utf8(ran.stdout).unwrap().trim().to_owned()
}
