//! The command line: what an operator can ask of the binary. Each subcommand has its file.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line talks on its standard streams")]

mod serve;

use std::{path::PathBuf, process::ExitCode};

use crate::settings::{self, Settings};

/// otpd, the phone sign-in server that people run themselves.
#[derive(Debug, clap::Parser)]
#[command(name = "otpd", version, about)]
pub struct Command {
    /// Settings that differ from the defaults (TOML); `otpd check-config` shows what is in force.
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Run the server (the default).
    Serve,
    /// Check the settings and print what is in force and where it came from.
    CheckConfig,
}

/// Runs a command; errors are told on standard error.
pub fn run(command: Command) -> ExitCode {
    let settings = match Settings::load(command.config.as_deref(), settings::environment()) {
        Ok(settings) => settings,
        Err(error) => {
            eprintln!("otpd: {error}");
            return ExitCode::from(2);
        }
    };
    let done = match command.action.unwrap_or(Action::Serve) {
        Action::Serve => serve::run(&settings),
        Action::CheckConfig => {
            print!("{}", settings.printable());
            Ok(())
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("otpd: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Why a command failed: text for the operator.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Failed(String);

impl Failed {
    fn new(error: impl std::fmt::Display) -> Self {
        Self(error.to_string())
    }
}
