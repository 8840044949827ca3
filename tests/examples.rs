//! Every example of the five source documents, as printed, against the binary with its default configuration.
//!
//! The scripts in `tests/examples/` hold them; each can be run by hand as well. Only the ports, the data directory and
//! the disk space asked for differ from the defaults.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::{
    fs::File,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};

/// A server whose standard output goes to a file. Ended when dropped.
struct Server {
    child: Child,
    directory: tempfile::TempDir,
    address: String,
}

impl Server {
    fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let output = File::create(directory.path().join("output")).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_otpd"));
        command.env_clear().stdout(output).stderr(Stdio::piped());
        command.env("OTPD__STORE__PATH", directory.path().join("data")).env("OTPD__STORE__FREE_MIB_MIN", "0");
        command.env("OTPD__SERVER__LISTEN", "127.0.0.1:0").env("OTPD__OPS__LISTEN", "127.0.0.1:0");
        command.env("OTPD__LOG__FORMAT", "json");
        let mut child = command.spawn().unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
        let ready = log.by_ref().map(Result::unwrap).find(|line| line.contains("otpd is ready"));
        let event: serde_json::Value = serde_json::from_str(&ready.expect("it says that it is ready")).unwrap();
        let address = event["listen"].as_str().unwrap().to_owned();
        // Whoever does not read what is said would stop who says it.
        std::thread::spawn(move || log.for_each(drop));
        Self { child, directory, address }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn run(script: &str) {
    let server = Server::start();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/examples").join(script);
    let ran = Command::new("bash")
        .arg(script)
        .env("OTPD", &server.address)
        .env("OUTPUT", server.directory.path().join("output"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ran.stdout);
    assert!(ran.status.success(), "{said}{}", String::from_utf8_lossy(&ran.stderr));
    assert!(said.lines().filter(|line| line.starts_with("ok ")).count() >= 2, "{said}");
    println!("{said}");
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
