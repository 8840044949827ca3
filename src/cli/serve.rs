//! `otpd serve`: run the server until it is told to stop.

use super::Failed;
use crate::{
    app::{App, Ended, World, dialects},
    settings::Settings,
    shutdown::Shutdown,
    telemetry,
};

/// Exit code when the store can no longer be trusted (EX_SOFTWARE of sysexits): a supervisor restarts the process,
/// and what was acknowledged is read back.
const STORE_FAILED: i32 = 70;

pub(super) fn run(settings: &Settings) -> Result<(), Failed> {
    telemetry::install(&settings.log).map_err(Failed::new)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(Failed::new)?;
    runtime.block_on(serve(settings))
}

async fn serve(settings: &Settings) -> Result<(), Failed> {
    for warning in settings.warnings().into_iter().chain(dialects::warnings(settings)) {
        tracing::warn!("{warning}");
    }
    let shutdown = Shutdown::new(settings.server.shutdown_deadline);
    shutdown.on_signals().map_err(Failed::new)?;
    let app = App::start(settings, World::default(), shutdown).await?;
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        listen = %app.address(),
        ops = %app.ops_address(),
        gateway = ?settings.sms.gateway,
        durability = ?settings.store.durability,
        "otpd is ready"
    );
    match app.run().await {
        Ended::Stopped => Ok(()),
        // At once and without clean-up: a second flush could falsely succeed.
        Ended::StoreFailed => std::process::exit(STORE_FAILED),
    }
}
