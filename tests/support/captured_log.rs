//! What a test's own thread logs, in memory.

use std::{
    io::{self, Write},
    sync::{Arc, Mutex, Once},
};

use tracing::{Subscriber, subscriber::DefaultGuard};
use tracing_subscriber::fmt::MakeWriter;

/// What was written so far; clones write to the same place.
#[derive(Debug, Clone, Default)]
pub(crate) struct CapturedLog(Arc<Mutex<Vec<u8>>>);

impl CapturedLog {
    /// From here on, this thread's events go to `subscriber`. The runtime of a plain `#[tokio::test]` is this thread.
    pub(crate) fn begin(subscriber: impl Subscriber + Send + Sync + 'static) -> DefaultGuard {
        // With a single subscriber tracing asks the thread that comes to an event first whether anybody wants it, and
        // keeps the answer for all: if that is another test's thread, nobody does. One for all threads ends that.
        static FOR_ALL: Once = Once::new();
        // There may be one already: that is as good.
        FOR_ALL.call_once(|| drop(tracing::subscriber::set_global_default(tracing_subscriber::registry())));
        tracing::subscriber::set_default(subscriber)
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for CapturedLog {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'w> MakeWriter<'w> for CapturedLog {
    type Writer = Self;

    fn make_writer(&'w self) -> Self {
        self.clone()
    }
}
