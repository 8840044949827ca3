//! Log lines: one per event, on standard error, for eyes or as JSON. Standard output belongs to the console gateway.
//!
//! A thread of its own writes them: a reader that is slow, or a disk that is busy, holds up no request. What it cannot take
//! waits, and beyond `log.queue_lines` is dropped and counted. (The audit journal is another matter, and a file of its own.)
//! A file it writes to goes to the disk as it grows, so that no commit waits behind half a minute of lines.
//!
//! Owns: the filter, and two promises that hold whatever an event carries: nobody's text can begin a line of its own or
//! steer a terminal, and libraries that would log what travels on the wire are kept from it. (Formats are in `line`.)
//! Knows nothing of what is logged; codes, tokens and numbers are masked by their own types.

mod line;

use std::{
    fmt::Write as _,
    io::{self, BufWriter, Write},
    os::fd::{AsFd, BorrowedFd},
    panic::{self, PanicHookInfo},
    thread,
    time::Duration,
};

use metrics::counter;
use tracing::{Level, Metadata, Subscriber};
use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::{
    EnvFilter, Layer as _,
    filter::FilterFn,
    fmt::{
        MakeWriter,
        format::{self, JsonFields},
    },
    layer::SubscriberExt as _,
    util::SubscriberInitExt as _,
};

use self::line::{JsonLine, PlainLine};
use crate::settings::{Log, LogFormat};

/// Libraries whose debug and trace events show headers, bodies or keys; no filter turns those on (security 118).
/// Sled's show whole records as they are written.
const WIRE_TARGETS: [&str; 8] =
    ["h2", "hyper", "hyper_util", "reqwest", "rustls", "sled", "tokio_rustls", "tower_http"];

/// Libraries that log what people typed, phone numbers at that, at any level (security 119).
const SILENT_TARGETS: [&str; 1] = ["rlibphonenumber"];

/// Logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter is not one.
    #[error("log.filter: {0}")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    /// Another subscriber is installed in this process.
    #[error("logging is set up already")]
    Installed(#[from] tracing_subscriber::util::TryInitError),
}

/// How often dropped lines are looked for.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The thread that writes the lines. Dropped, it writes what waits, for a second at most.
#[derive(Debug)]
#[must_use = "nothing is written after its end"]
pub struct LogThread {
    _writes: WorkerGuard,
    dropped: ErrorCounter,
}

impl LogThread {
    /// Counts the lines that were dropped, as `otpd_log_lines_dropped_total`; spawn it beside the server.
    pub fn count_dropped(&self) -> impl Future<Output = ()> + Send + use<> {
        let dropped = self.dropped.clone();
        async move {
            let total = counter!("otpd_log_lines_dropped_total");
            let mut looks = tokio::time::interval(LOOK_EVERY);
            loop {
                looks.tick().await;
                total.absolute(dropped.dropped_lines() as u64);
            }
        }
    }
}

/// Sends all events of the process, panics included, to standard error.
///
/// # Errors
/// When the filter does not parse or a subscriber is installed already.
pub fn install(log: &Log) -> Result<LogThread, TelemetryError> {
    let thread = NonBlockingBuilder::default().lossy(true).buffered_lines_limit(log.queue_lines).thread_name("log");
    // Buffered: the thread flushes whenever nothing more waits.
    let (lines, writes) = thread.finish(BufWriter::new(WrittenBack { file: io::stderr(), since: 0 }));
    let dropped = lines.error_counter();
    subscriber(log, lines)?.try_init()?;
    panic::set_hook(Box::new(log_panic));
    Ok(LogThread { _writes: writes, dropped })
}

/// So many bytes of lines go to the disk at a time.
const WRITE_BACK_BYTES: usize = 1024 * 1024;

/// How long the thread rests once nothing more waits: lines that come meanwhile are written together, and none of them has to
/// wake it.
const REST: Duration = Duration::from_millis(5);

/// Has what it writes to write its lines back early, if it is a file. Left to itself the system does so after half a minute,
/// all at once: at 12,000 lines a second each commit then waited 50 ms.
struct WrittenBack<F> {
    file: F,
    since: usize,
}

impl<F: Write + AsFd> Write for WrittenBack<F> {
    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        let written = self.file.write(lines)?;
        self.since += written;
        if self.since >= WRITE_BACK_BYTES {
            self.since = 0;
            write_back(self.file.as_fd());
        }
        Ok(written)
    }

    /// The thread asks for it whenever nothing more waits, and rests then.
    fn flush(&mut self) -> io::Result<()> {
        let flushed = self.file.flush();
        #[expect(clippy::disallowed_methods, reason = "no runtime thread, but its own")]
        thread::sleep(REST);
        flushed
    }
}

/// Begins to write the end of a file back, without waiting, and gives up its memory once that is done. What is no file has
/// nothing to write back.
fn write_back(file: BorrowedFd<'_>) {
    #[cfg(target_os = "linux")]
    let _ = rustix::fs::fstat(file).and_then(|stat| {
        let end = u64::try_from(stat.st_size).unwrap_or_default();
        let from = end.saturating_sub(2 * WRITE_BACK_BYTES as u64);
        rustix::fs::fadvise(file, from, None, rustix::fs::Advice::DontNeed)
    });
    #[cfg(not(target_os = "linux"))]
    let _ = file;
}

/// The subscriber that [`install`] installs, writing elsewhere.
///
/// # Errors
/// When the filter does not parse.
pub fn subscriber<W>(log: &Log, writer: W) -> Result<Box<dyn Subscriber + Send + Sync>, TelemetryError>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let writer = OneLine { inner: writer };
    // Colours would need escape sequences, which `OneLine` takes out.
    let lines = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(writer);
    let fields = format::debug_fn(|out, field, value| match field.name() {
        _ if line::says_where_it_was_logged(field) => Ok(()),
        "message" => write!(out, " {value:?}"),
        name => write!(out, " {name}={value:?}"),
    });
    let lines = match log.format {
        LogFormat::Human => lines.fmt_fields(fields).event_format(PlainLine).boxed(),
        LogFormat::Json => lines.fmt_fields(JsonFields::new()).event_format(JsonLine).boxed(),
    };
    let registry = tracing_subscriber::registry();
    Ok(Box::new(
        registry.with(EnvFilter::try_new(&log.filter)?).with(FilterFn::new(keeps_the_wire_private)).with(lines),
    ))
}

fn keeps_the_wire_private(metadata: &Metadata<'_>) -> bool {
    let library = metadata.target().split("::").next().unwrap_or_default();
    let shows_the_wire = *metadata.level() > Level::INFO && WIRE_TARGETS.contains(&library);
    !shows_the_wire && !SILENT_TARGETS.contains(&library)
}

/// A panic as a log event. Its text is shown only if it is a literal: a formatted one may hold anything.
fn log_panic(info: &PanicHookInfo<'_>) {
    let text = info.payload().downcast_ref::<&'static str>().copied().unwrap_or("(formatted)");
    let (file, line) = info.location().map_or(("?", 0), |place| (place.file(), place.line()));
    tracing::error!(target: "otpd::panic", file, line, text, "panicked");
}

/// Makes writers that let an event end its line and nothing else do so.
struct OneLine<W> {
    inner: W,
}

impl<'w, W: MakeWriter<'w>> MakeWriter<'w> for OneLine<W> {
    type Writer = OneLineWriter<W::Writer>;

    fn make_writer(&'w self) -> Self::Writer {
        OneLineWriter { inner: self.inner.make_writer() }
    }

    fn make_writer_for(&'w self, metadata: &Metadata<'_>) -> Self::Writer {
        OneLineWriter { inner: self.inner.make_writer_for(metadata) }
    }
}

/// Takes one whole event per write, as tracing's formatter gives it, and passes it on as one line in one write.
struct OneLineWriter<W> {
    inner: W,
}

impl<W: Write> Write for OneLineWriter<W> {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let (line, end) = event.split_at(event.len().saturating_sub(1));
        // Nearly every line: nothing in it steers anything. All of it is looked at, which many bytes at a time can be.
        if end == b"\n" && line.iter().fold(true, |plain, byte| plain & (b' '..=b'~').contains(byte)) {
            return self.inner.write_all(event).map(|()| event.len());
        }
        let text = String::from_utf8_lossy(event);
        let body = text.strip_suffix('\n').unwrap_or(&text);
        if body.contains(steers_a_terminal) {
            self.inner.write_all(escaped(body).as_bytes())?;
        } else {
            self.inner.write_all(event)?;
        }
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// The body with `\uXXXX` for what steers a terminal, and the line's end. In JSON such characters stand inside strings
/// only, where this spelling means the same.
fn escaped(body: &str) -> String {
    let mut line = String::with_capacity(body.len() + 16);
    for character in body.chars() {
        if steers_a_terminal(character) {
            let mut units = [0; 2];
            for unit in character.encode_utf16(&mut units) {
                // Writing to a String does not fail.
                let _ = write!(line, "\\u{unit:04x}");
            }
        } else {
            line.push(character);
        }
    }
    line.push('\n');
    line
}

/// Control characters (line breaks and escapes among them), other line ends, and marks that reorder what is shown.
fn steers_a_terminal(character: char) -> bool {
    let reorders = matches!(character,
        '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    character.is_control() || reorders
}
