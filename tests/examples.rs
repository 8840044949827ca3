//! Every example of the five source documents, as printed, against the binary with its default configuration.
//!
//! The scripts in `tests/examples/` hold them; each can be run by hand as well.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "tests")]

#[path = "support/console_server.rs"]
mod console_server;

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
