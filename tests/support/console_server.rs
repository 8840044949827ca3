//! The binary with its default configuration (console gateway), its standard output in a file. Only the ports, the data
//! directory and the disk space asked for differ from the defaults.

#![allow(dead_code, reason = "each test binary uses its own part of it")]

use std::{
    fs::OpenOptions,
    io::{BufRead as _, BufReader, Lines},
    path::{Path, PathBuf},
    process::{Child, ChildStderr, Command, Stdio},
};

/// A running server. Killed (SIGKILL) when dropped.
pub(crate) struct ConsoleServer {
    child: Child,
    output: PathBuf,
    pub(crate) address: String,
    pub(crate) ops: String,
}

impl ConsoleServer {
    /// Starts over a directory, which may be one that an earlier server was killed over.
    pub(crate) fn start(directory: &Path) -> Self {
        Self::start_with(directory, &[])
    }

    /// The same with some variables more.
    pub(crate) fn start_with(directory: &Path, variables: &[(&str, &str)]) -> Self {
        let (server, log) = Self::start_unread(directory, variables);
        // Whoever does not read what is said misses some of it.
        std::thread::spawn(move || log.for_each(drop));
        server
    }

    /// The same, and its log, read up to the line that tells that it is ready.
    pub(crate) fn start_unread(directory: &Path, variables: &[(&str, &str)]) -> (Self, Lines<BufReader<ChildStderr>>) {
        let output = directory.join("output");
        let file = OpenOptions::new().create(true).append(true).open(&output).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_otpd"));
        command.env_clear().stdout(file).stderr(Stdio::piped());
        command.env("OTPD__STORE__PATH", directory.join("data")).env("OTPD__STORE__FREE_MIB_MIN", "0");
        command.env("OTPD__SERVER__LISTEN", "127.0.0.1:0").env("OTPD__OPS__LISTEN", "127.0.0.1:0");
        // By default it has the port in it, and tokens are good for the server that they name.
        command.env("OTPD__SERVER__PUBLIC_URL", "https://id.example").env("OTPD__LOG__FORMAT", "json");
        command.envs(variables.iter().copied());
        let mut child = command.spawn().unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
        let ready = log.by_ref().map(Result::unwrap).find(|line| line.contains("otpd is ready"));
        let event: serde_json::Value = serde_json::from_str(&ready.expect("it says that it is ready")).unwrap();
        let told = |name: &str| event[name].as_str().unwrap().to_owned();
        (Self { child, output, address: told("listen"), ops: told("ops") }, log)
    }

    /// The file that its standard output goes to.
    pub(crate) fn output(&self) -> &Path {
        &self.output
    }
}

impl ConsoleServer {
    /// SIGKILL; returns when it is gone.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for ConsoleServer {
    fn drop(&mut self) {
        self.kill();
    }
}
