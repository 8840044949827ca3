//! The `otpd` command.

use std::process::ExitCode;

use clap::Parser as _;

/// Less CPU per request than the system's allocator, and memory that comes back after passivation.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    otpd::cli::run(otpd::cli::Command::parse())
}
