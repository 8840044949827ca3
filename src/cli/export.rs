//! `otpd export`: all records as JSON lines (`dump` has the form). Reads only; needs the store for itself.

use std::{
    fs::{self, OpenOptions},
    io::{self, BufWriter, Write},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use indicatif::{ProgressBar, ProgressStyle};

use super::{
    Failed,
    dump::{self, Header},
    say,
};
use crate::{
    app::parts::{self, Files},
    record::{PhoneNumber, Record, snapshot},
    settings::Settings,
    store::SnapshotStore,
};

/// Records read in one step: a few hundred KiB.
const PAGE: usize = 500;

/// Write all records as JSON lines: one line that says what follows, then one line per number.
///
/// The server must be stopped. The output holds phone numbers and profiles: keep it as you keep the data directory.
/// Codes, session ids and refresh tokens hang on `sealing.keys`, which is not exported: back it up beside (with
/// `signing.keys` and `api.keys`). Without it accounts, profiles and limits are kept, and everyone signs in again.
#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// Where to; a new file, readable by its owner only. Without it: standard output.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

pub(super) fn run(settings: &Settings, options: &Options) -> Result<(), Failed> {
    let files = Files::new(&settings.store.path);
    if !files.db.exists() {
        return Err(Failed::new("store.path: there is no data yet; `otpd check-config` shows where that is"));
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(Failed::new)?;
    let written = runtime.block_on(async {
        // A nearly full disk is a reason to export, not against it.
        let mut settings = settings.clone();
        settings.store.free_mib_min = 0;
        let store = parts::open_store(&settings, &files).await?;
        let written = match &options.out {
            None => export(&store, &mut BufWriter::new(io::stdout().lock())).await,
            Some(path) => export_to(&store, path).await,
        };
        store.close().await?;
        written
    })?;
    say::note(&format!("Exported {}.", say::counted(written, "record")));
    say::note("Keep sealing.keys beside it: sessions and open codes are of no use without.");
    Ok(())
}

/// Writes a new file. What could not be finished is taken away again.
async fn export_to(store: &Arc<dyn SnapshotStore>, path: &Path) -> Result<u64, Failed> {
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let file = file.map_err(|error| {
        if error.kind() == io::ErrorKind::AlreadyExists {
            return Failed::new("--out: the file exists already, and is not overwritten");
        }
        Failed::new(format!("--out: cannot be made: {}", error.kind()))
    })?;
    let mut out = BufWriter::new(file);
    let written = match export(store, &mut out).await {
        Ok(written) => out.get_ref().sync_all().map(|()| written).map_err(|error| cannot_write(&error)),
        Err(failed) => Err(failed),
    };
    if written.is_err() && fs::remove_file(path).is_err() {
        say::note("warning: the unfinished file could not be removed");
    }
    written
}

fn cannot_write(error: &io::Error) -> Failed {
    Failed::new(format!("cannot write: {}", error.kind()))
}

async fn export(store: &Arc<dyn SnapshotStore>, out: &mut impl Write) -> Result<u64, Failed> {
    let records = count(store).await?;
    // A lease of nothing tells where the counter stands.
    let user_ids_leased = store.lease_user_ids(0).await?.start.saturating_sub(1);
    let header = Header::new(records, user_ids_leased).write().map_err(Failed::new)?;
    writeln!(out, "{header}").map_err(|error| cannot_write(&error))?;
    let bar = bar(records, "exporting");
    let mut after = None;
    loop {
        let page = store.scan(after, PAGE).await?;
        for (phone, snapshot) in &page.records {
            let record = decode(*phone, &snapshot.bytes)?;
            let line = dump::write(&record).map_err(|bad| Failed::new(format!("the record of {phone} {bad}")))?;
            writeln!(out, "{line}").map_err(|error| cannot_write(&error))?;
            bar.inc(1);
        }
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    out.flush().map_err(|error| cannot_write(&error))?;
    bar.finish_and_clear();
    Ok(records)
}

/// The store is ours alone, so what is counted stays so.
async fn count(store: &Arc<dyn SnapshotStore>) -> Result<u64, Failed> {
    let bar = ProgressBar::new_spinner().with_message("counting");
    let mut after = None;
    loop {
        let page = store.scan(after, PAGE).await?;
        bar.inc(page.records.len() as u64);
        after = page.next;
        if after.is_none() {
            bar.finish_and_clear();
            return Ok(bar.position());
        }
    }
}

pub(super) fn decode(phone: PhoneNumber, bytes: &[u8]) -> Result<Record, Failed> {
    snapshot::decode(phone, bytes)
        .map_err(|error| Failed::new(format!("the record of {phone} cannot be read: {error}")))
}

/// A bar on standard error; indicatif shows none where that is no terminal.
pub(super) fn bar(length: u64, doing: &'static str) -> ProgressBar {
    let template = "{msg:9} [{wide_bar}] {human_pos}/{human_len}  {per_sec}  {eta} left";
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(length).with_style(style.progress_chars("=> ")).with_message(doing)
}
