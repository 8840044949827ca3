//! `otpd import`: reads what `otpd export` wrote (`dump` has the form). Needs the store for itself.
//!
//! ```text
//! check every line ──▶ open the store ──▶ raise the counter of user ids ──▶ write in batches
//!      └─ first bad line: nothing touched   └─ not empty, or a user id taken: nothing written
//! ```

use std::{
    collections::{HashMap, HashSet},
    fs::File,
    io::{BufReader, Seek as _},
    path::PathBuf,
    sync::Arc,
};

use super::{
    Failed,
    dump::{self, Header, Lines},
    export::{bar, decode},
    say,
};
use crate::{
    app::parts::{self, Files},
    record::{PhoneNumber, Record, snapshot},
    settings::Settings,
    store::{Change, Committed, Snapshot, SnapshotStore, StoreFault},
};

/// Records read in one step while the store is looked through.
const PAGE: usize = 500;

/// Read records that `otpd export` wrote into an empty data directory, or with --merge into one that has records.
///
/// The server must be stopped. Every line is checked before anything is written. Codes, session ids and refresh tokens
/// hang on `sealing.keys`: copy that file (with `signing.keys` and `api.keys`) from the old data directory too, and
/// people stay signed in.
#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// What `otpd export` wrote.
    file: PathBuf,
    /// Import into a store that has records: numbers that it has are kept as they are, the others are added.
    #[arg(long)]
    merge: bool,
}

/// What the first look at the file found.
struct Checked {
    header: Header,
    /// Whose accounts they are, and on which line.
    users: HashMap<u64, (PhoneNumber, u64)>,
}

pub(super) fn run(settings: &Settings, options: &Options) -> Result<(), Failed> {
    let files = Files::new(&settings.store.path);
    let unreadable = |error: std::io::Error| Failed::new(format!("the file cannot be read: {}", error.kind()));
    let mut file = File::open(&options.file).map_err(unreadable)?;
    if !file.metadata().map_err(unreadable)?.is_file() {
        return Err(Failed::new("a regular file is needed: it is read twice, to check and to write"));
    }
    let checked = check(&file)?;
    file.rewind().map_err(unreadable)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(Failed::new)?;
    let (written, kept) = runtime.block_on(async {
        let store = parts::open_store(settings, &files).await?;
        let done = import(settings, &store, &file, &checked, options.merge).await;
        store.close().await?;
        done
    })?;
    say::note(&format!("Imported {}.", say::counted(written, "record")));
    if kept > 0 {
        say::note(&format!("Kept {} that the store had: the file's were left out.", say::counted(kept, "record")));
    }
    if !files.sealing.exists() {
        say::note(
            "This directory has no sealing.keys. Before the first start copy it from the old one, and people stay \
             signed in; or run `otpd sealing-keys rotate` to make new ones, and everyone signs in again.",
        );
    }
    Ok(())
}

/// Reads the whole file and touches nothing.
fn check(file: &File) -> Result<Checked, Failed> {
    let mut lines = Lines::new(BufReader::new(file));
    let header = header(&mut lines)?;
    let bar = bar(header.records, "checking");
    let (mut numbers, mut users) = (HashSet::new(), HashMap::new());
    while let Some((at, line)) = lines.next()? {
        let record = dump::read(&line, &header).map_err(|bad| dump::at(at, &bad))?;
        if !numbers.insert(record.phone()) {
            return Err(Failed::new(format!("line {at}: the number stands on an earlier line, too")));
        }
        if let Some(account) = record.account()
            && let Some((_, earlier)) = users.insert(account.user_id, (record.phone(), at))
        {
            return Err(Failed::new(format!("line {at}: the user id stands on line {earlier}, too")));
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    let found = numbers.len() as u64;
    if found != header.records {
        return Err(Failed::new(format!(
            "the file is not whole: its first line promises {}, and {found} follow",
            say::counted(header.records, "record")
        )));
    }
    Ok(Checked { header, users })
}

fn header<R: std::io::BufRead>(lines: &mut Lines<R>) -> Result<Header, Failed> {
    let Some((at, line)) = lines.next()? else { return Err(Failed::new("the file is empty")) };
    Header::read(&line).map_err(|bad| dump::at(at, &bad))
}

/// Answers how many records were written and how many were there already.
async fn import(
    settings: &Settings,
    store: &Arc<dyn SnapshotStore>,
    file: &File,
    checked: &Checked,
    merge: bool,
) -> Result<(u64, u64), Failed> {
    if merge {
        no_user_twice(store, checked).await?;
    } else if !store.scan(None, 1).await?.records.is_empty() {
        return Err(Failed::new(
            "the store has records already; with --merge they are kept, and the numbers it does not have are added",
        ));
    }
    // Before the first record: whatever happens from here on, no id is given to a second person.
    let leased = store.lease_user_ids(0).await?.start.saturating_sub(1);
    if let Some(more) = checked.header.user_ids_leased.checked_sub(leased).filter(|more| *more > 0) {
        store.lease_user_ids(more).await?;
    }
    let mut writer = Writer::new(settings, store);
    let written = write_all(file, checked, &mut writer).await;
    written.map(|()| (writer.written, writer.kept)).map_err(|failed| match writer.written {
        0 => failed,
        some => Failed::new(format!(
            "{failed}\n{} of {} are written; run it again with --merge to go on",
            some,
            say::counted(checked.header.records, "record")
        )),
    })
}

async fn write_all(file: &File, checked: &Checked, writer: &mut Writer<'_>) -> Result<(), Failed> {
    let mut lines = Lines::new(BufReader::new(file));
    let changed = || Failed::new("the file changed while it was read");
    if header(&mut lines)? != checked.header {
        return Err(changed());
    }
    let bar = bar(checked.header.records, "importing");
    while let Some((_, line)) = lines.next()? {
        writer.add(&dump::read(&line, &checked.header).map_err(|_| changed())?).await?;
        bar.inc(1);
    }
    writer.write().await?;
    bar.finish_and_clear();
    Ok(())
}

/// Two stores merge only if no user id means two people: ids stand in tokens and in other systems' tables.
async fn no_user_twice(store: &Arc<dyn SnapshotStore>, checked: &Checked) -> Result<(), Failed> {
    let mut after = None;
    loop {
        let page = store.scan(after, PAGE).await?;
        for (phone, snapshot) in &page.records {
            for id in decode(*phone, &snapshot.bytes)?.user_ids() {
                let Some((other, line)) = checked.users.get(&id) else { continue };
                // A number that the store has keeps its record, and the line is left out.
                if other != phone && store.load(*other).await?.is_none() {
                    return Err(Failed::new(format!(
                        "line {line}: user id {id} is another number's in this store; nothing was written"
                    )));
                }
            }
        }
        after = page.next;
        if after.is_none() {
            return Ok(());
        }
    }
}

/// Collects records and writes them in batches of the size the server uses.
struct Writer<'a> {
    store: &'a Arc<dyn SnapshotStore>,
    batch: Vec<Change>,
    bytes: usize,
    batch_max: usize,
    bytes_max: usize,
    written: u64,
    kept: u64,
}

impl<'a> Writer<'a> {
    fn new(settings: &Settings, store: &'a Arc<dyn SnapshotStore>) -> Self {
        let (batch_max, bytes_max) = (settings.store.batch_max, settings.store.batch_bytes_max);
        Self { store, batch: Vec::new(), bytes: 0, batch_max, bytes_max, written: 0, kept: 0 }
    }

    async fn add(&mut self, record: &Record) -> Result<(), Failed> {
        let bytes = snapshot::encode(record);
        if self.batch.len() >= self.batch_max || self.bytes + bytes.len() > self.bytes_max {
            self.write().await?;
        }
        self.bytes += bytes.len();
        let version = record.expected_version().unwrap_or_default();
        // Only where there is none: what the store has is never overwritten.
        self.batch.push(Change {
            phone: record.phone(),
            expected: None,
            next: Some(Snapshot { version, bytes }),
            events: Vec::new(),
        });
        Ok(())
    }

    async fn write(&mut self) -> Result<(), Failed> {
        let committed = self.store.commit(&self.batch).await.map_err(|fault| match fault {
            StoreFault::Refused(reason) => Failed::new(format!("the store refused: {reason}")),
            StoreFault::Unknown(_) => Failed::new(fault),
        })?;
        for outcome in committed {
            match outcome {
                Committed::Done => self.written += 1,
                Committed::Conflict => self.kept += 1,
            }
        }
        self.batch.clear();
        self.bytes = 0;
        Ok(())
    }
}
