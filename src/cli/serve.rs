//! `otpd serve`: run the server until it is told to stop.

use super::Failed;
use crate::{
    app::{App, Ended, World, dialects},
    settings::Settings,
    shutdown::Shutdown,
    telemetry::{self, LogThread},
};

/// Exit code when the store can no longer be trusted (EX_SOFTWARE of sysexits): a supervisor restarts the process,
/// and what was acknowledged is read back.
const STORE_FAILED: i32 = 70;

pub(super) fn run(settings: &Settings) -> Result<(), Failed> {
    let log = telemetry::install(&settings.log).map_err(Failed::new)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(Failed::new)?;
    match runtime.block_on(serve(settings, &log))? {
        Ended::Stopped => Ok(()),
        // At once and without clean-up: a second flush could falsely succeed.
        Ended::StoreFailed => {
            drop(log); // why is still to be read
            std::process::exit(STORE_FAILED)
        }
    }
}

async fn serve(settings: &Settings, log: &LogThread) -> Result<Ended, Failed> {
    for warning in settings.warnings().into_iter().chain(dialects::warnings(settings)) {
        tracing::warn!("{warning}");
    }
    let shutdown = Shutdown::new(settings.server.shutdown_deadline);
    shutdown.on_signals().map_err(Failed::new)?;
    let app = App::start(settings, World::default(), shutdown).await?;
    tokio::spawn(log.count_dropped());
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        listen = %app.address(),
        ops = %app.ops_address(),
        gateway = ?settings.sms.gateway,
        durability = ?settings.store.durability,
        "otpd is ready"
    );
    Ok(app.run().await)
}
