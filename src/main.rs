//! The `otpd` command.

use std::process::ExitCode;

use clap::Parser as _;

/// 12 % less CPU per request than the system's allocator, and memory that comes back after passivation.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    otpd::cli::run(otpd::cli::Command::parse())
}
