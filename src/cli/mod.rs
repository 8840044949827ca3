//! The command line: what an operator can ask of the binary. Each subcommand has its file.
//!
//! Exit codes: 0 done, 1 it failed, 2 the settings or the arguments cannot be used, 70 the store failed while serving.
//! Results go to standard output, everything said to a person to standard error, so that scripts can capture results.

mod check_config;
mod demo;
mod dump;
mod export;
mod import;
mod keys;
mod load;
mod replay;
mod say;
mod sealing_keys;
mod serve;
mod signing_keys;

use std::{path::PathBuf, process::ExitCode};

use crate::{
    app::StartError,
    settings::{self, Settings, SettingsError},
    store::sled_store::OpenError,
};

/// otpd, the phone sign-in server that people run themselves.
#[derive(Debug, clap::Parser)]
#[command(name = "otpd", version, about)]
pub struct Command {
    /// Settings that differ from the defaults (TOML); `otpd check-config` shows what is in force.
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Variables (NAME=value lines) as if they were in the environment, which goes before them. No other .env is read.
    #[arg(long, global = true, value_name = "FILE")]
    env_file: Option<PathBuf>,
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Run the server (the default).
    Serve,
    Demo(demo::Options),
    /// Check the settings, and print what is in force, where it came from and what messages will say.
    CheckConfig,
    /// API keys of back ends: make, list, revoke. A running server follows within a second.
    Keys {
        #[command(subcommand)]
        action: keys::Action,
    },
    /// Keys that sign tokens: list, rotate, remove. A running server follows when it is restarted.
    SigningKeys {
        #[command(subcommand)]
        action: signing_keys::Action,
    },
    /// Keys that codes, ids and refresh tokens hang on: list, rotate, remove. Likewise at a restart.
    SealingKeys {
        #[command(subcommand)]
        action: sealing_keys::Action,
    },
    Export(export::Options),
    Import(import::Options),
    Replay(replay::Options),
    Load(Box<load::Options>),
}

/// Runs a command; errors are told on standard error.
pub fn run(command: Command) -> ExitCode {
    match act(command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failed) => {
            say::note(&format!("otpd: {failed}"));
            ExitCode::from(failed.exit)
        }
    }
}

fn act(command: Command) -> Result<(), Failed> {
    let action = command.action.unwrap_or(Action::Serve);
    if let Action::Demo(options) = &action {
        // A client of some server: our own settings do not matter to it.
        return demo::run(options);
    }
    if let Action::Load(options) = &action {
        // Likewise; the file of settings is for the server that it starts.
        return load::run(options, command.config.as_deref());
    }
    // What the process was started with goes before what a file says.
    let of_file = command.env_file.as_deref().map(settings::environment_file).transpose()?.unwrap_or_default();
    let settings = Settings::load_all(command.config.as_deref(), [of_file, settings::environment().collect()])?;
    match action {
        Action::Serve => serve::run(&settings),
        Action::Demo(options) => demo::run(&options),
        Action::CheckConfig => check_config::run(&settings),
        Action::Keys { action } => keys::run(&settings, action),
        Action::SigningKeys { action } => signing_keys::run(&settings, action),
        Action::SealingKeys { action } => sealing_keys::run(&settings, &action),
        Action::Export(options) => export::run(&settings, &options),
        Action::Import(options) => import::run(&settings, &options),
        Action::Replay(options) => replay::run(&settings, &options),
        Action::Load(options) => load::run(&options, command.config.as_deref()),
    }
}

/// Exit code for settings that cannot be used; clap's for arguments, too.
const UNUSABLE: u8 = 2;

/// Why a command failed: text for the operator.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
struct Failed {
    text: String,
    exit: u8,
}

impl Failed {
    fn new(error: impl std::fmt::Display) -> Self {
        Self { text: error.to_string(), exit: 1 }
    }
}

impl From<SettingsError> for Failed {
    fn from(error: SettingsError) -> Self {
        Self { exit: UNUSABLE, ..Self::new(error) }
    }
}

impl From<StartError> for Failed {
    fn from(error: StartError) -> Self {
        match error {
            StartError::Setting { .. } | StartError::Named(..) | StartError::Collision(_) => {
                Self { exit: UNUSABLE, ..Self::new(error) }
            }
            StartError::Store(OpenError::InUse) => Self::new(
                "store.path: another otpd has this data directory open, and only one at a time may: \
                 stop that one first, or name another directory",
            ),
            StartError::Keys(_)
            | StartError::Store(OpenError::Directory(_) | OpenError::Engine(_))
            | StartError::SealingKeysLost
            | StartError::Listen(..)
            | StartError::Metrics(_)
            | StartError::Thread(_) => Self::new(error),
        }
    }
}

impl From<crate::token::KeyFault> for Failed {
    fn from(fault: crate::token::KeyFault) -> Self {
        Self::new(fault)
    }
}

impl From<crate::store::StoreFault> for Failed {
    fn from(fault: crate::store::StoreFault) -> Self {
        Self::new(fault)
    }
}
