//! Every example of the five source documents, as printed, against the binary with its default configuration.
//!
//! The scripts in `tests/examples/` hold them; each can be run by hand as well. And what the README prints itself (`readme`).

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

#[path = "support/console_server.rs"]
mod console_server;
#[path = "examples/readme.rs"]
mod readme;

use std::{path::Path, process::Command};

use console_server::ConsoleServer;

fn run(script: &str) {
    let directory = tempfile::tempdir().unwrap();
    let server = ConsoleServer::start(directory.path());
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/examples").join(script);
    let mut command = Command::new("bash");
    let ran = command.arg(script).env("OTPD", &server.address).env("OUTPUT", server.output()).output().unwrap();
    let said = String::from_utf8_lossy(&ran.stdout);
    assert!(ran.status.success(), "{said}{}", String::from_utf8_lossy(&ran.stderr));
    assert!(said.lines().filter(|line| line.starts_with("ok ")).count() >= 2, "{said}");
}

#[test]
fn auth_otp() {
    run("auth_otp.sh");
}

#[test]
fn usr_otp() {
    run("usr_otp.sh");
}

#[test]
fn signup_login() {
    run("signup_login.sh");
}

#[test]
fn phone_password() {
    run("phone_password.sh");
}

#[test]
fn typed_verification() {
    run("typed_verification.sh");
}

/// The README's answer to proof of work, as printed there, where there is a node to run it.
#[test]
fn proof_of_work() {
    let directory = tempfile::tempdir().unwrap();
    let asked = [("OTPD__PROOF_OF_WORK__MODE", "always"), ("OTPD__PROOF_OF_WORK__BITS", "10")];
    let server = ConsoleServer::start_with(directory.path(), &asked);
    let printed = readme::blocks("js").pop().expect("the README has it");
    let url = format!("http://{}/v1/verifications", server.address);
    let call = format!(
        "const call = (send) => send('{url}', {{ method: 'POST', headers: {{ 'Content-Type': 'application/json' }}, \
         body: '{{\"to\":\"+14155550123\"}}' }});\n\
         console.log((await call(fetch)).status, (await call(fetchWithProof)).status);\n"
    );
    let script = directory.path().join("example.mjs");
    std::fs::write(&script, format!("{printed}{call}")).unwrap();
    match Command::new("node").arg(&script).output() {
        Ok(ran) => {
            let said = String::from_utf8_lossy(&ran.stdout);
            assert_eq!(said, "428 201\n", "{}", String::from_utf8_lossy(&ran.stderr));
        }
        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::NotFound, "skipped only without node"),
    }
}
