//! The console gateway: prints every message to standard output instead of sending it.
//!
//! For development, where the code is wanted on the screen. Owns the form of the line. Never sends
//! anything, and never splits a message over two lines, so a line can be parsed by scripts and tests.

use std::{
    fmt,
    io::{self, Write},
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;

use super::{Accepted, Channel, Gateway, SendClass, SendError, Sms};

/// Prints `[console sms] to +989123456789: <text>`, one line per message, with the channel it would go by.
#[derive(Clone)]
pub struct Console {
    writer: Arc<Mutex<dyn Write + Send>>,
    test_mode: bool,
}

impl Console {
    /// Prints to standard output.
    pub fn stdout() -> Self {
        Self::to_writer(io::stdout())
    }

    /// Prints to `writer`: one `write_all` and one `flush` per message, under one lock.
    pub fn to_writer(writer: impl Write + Send + 'static) -> Self {
        Self { writer: Arc::new(Mutex::new(writer)), test_mode: false }
    }

    /// Whether a code gets a second line, `TEST MODE: OTP 123456 would be sent to +989123456789`, which clients of one
    /// dialect's original look for.
    #[must_use]
    pub fn test_mode(self, test_mode: bool) -> Self {
        Self { test_mode, ..self }
    }
}

impl fmt::Debug for Console {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Console")
    }
}

#[async_trait]
impl Gateway for Console {
    fn name(&self) -> &'static str {
        "console"
    }

    fn channels(&self) -> &[Channel] {
        &Channel::ALL
    }

    fn is_real(&self) -> bool {
        false
    }

    async fn send(&self, sms: &Sms) -> Result<Accepted, SendError> {
        let mut line = line(sms);
        if let (true, Some(code)) = (self.test_mode, &sms.code) {
            line.push_str(&format!("TEST MODE: OTP {} would be sent to {}\n", code.reveal(), sms.to.to_e164()));
        }
        let writer = Arc::clone(&self.writer);
        // A reader that does not keep up blocks the write: that must not hold a runtime thread.
        let written = tokio::task::spawn_blocking(move || print(&writer, &line)).await;
        match written {
            Ok(Ok(())) => Ok(Accepted::default()),
            Ok(Err(error)) => Err(SendError::new(SendClass::ProviderDown, format!("console {}", error.kind()))),
            Err(_) => Err(SendError::new(SendClass::UnknownOutcome, "console writer ended")),
        }
    }
}

/// Writes the whole line at once, so that concurrent messages cannot interleave.
fn print(writer: &Mutex<dyn Write + Send>, line: &str) -> io::Result<()> {
    // A writer that panicked left at worst a torn line behind; the next one still belongs out.
    let mut writer = writer.lock().unwrap_or_else(PoisonError::into_inner);
    writer.write_all(line.as_bytes())?;
    writer.flush()
}

/// The line of a message, with its line feed at the end and no other line break inside.
fn line(sms: &Sms) -> String {
    let mut line = format!("[console {}] to {}: ", sms.channel, sms.to.to_e164());
    for letter in sms.text.chars() {
        if letter.is_control() || matches!(letter, '\u{2028}' | '\u{2029}') {
            line.extend(letter.escape_default());
        } else {
            line.push(letter);
        }
    }
    line.push('\n');
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::PhoneNumber;

    /// What was written, and how often `write` and `flush` were called.
    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<(Vec<u8>, u32, u32)>>);

    impl Write for Page {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let mut page = self.0.lock().unwrap();
            page.0.extend_from_slice(bytes);
            page.1 += 1;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            self.0.lock().unwrap().2 += 1;
            Ok(())
        }
    }

    /// A reader that went away.
    struct Broken;

    impl Write for Broken {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn sms(text: &str) -> Sms {
        Sms::notice(1, PhoneNumber::from_e164("+989123456789").unwrap(), text)
    }

    #[test]
    fn every_text_is_exactly_one_line() {
        let table = [
            ("your code is 000123", "your code is 000123"),
            ("first\nlast", "first\\nlast"),
            ("a\r\nb\tc\u{1b}[2J\u{7}\u{85}d", "a\\r\\nb\\tc\\u{1b}[2J\\u{7}\\u{85}d"),
            ("a\u{2028}b\u{2029}c", "a\\u{2028}b\\u{2029}c"),
            // Persian text and its zero-width non-joiner stay as they are.
            ("کد شما: 4821 می\u{200c}باشد", "کد شما: 4821 می\u{200c}باشد"),
            ("", ""),
        ];
        for (text, printed) in table {
            assert_eq!(line(&sms(text)), format!("[console sms] to +989123456789: {printed}\n"));
        }
    }

    #[test]
    fn the_line_names_the_channel() {
        for channel in Channel::ALL {
            let sms = Sms { channel, ..sms("482913") };
            assert_eq!(line(&sms), format!("[console {channel}] to +989123456789: 482913\n"));
        }
    }

    #[tokio::test]
    async fn one_write_and_one_flush_per_message() {
        let page = Page::default();
        let gateway = Console::to_writer(page.clone());
        assert!(!gateway.is_real());
        gateway.send(&sms("one\ntwo")).await.unwrap();
        let (written, writes, flushes) = page.0.lock().unwrap().clone();
        assert_eq!(String::from_utf8(written).unwrap(), "[console sms] to +989123456789: one\\ntwo\n");
        assert_eq!((writes, flushes), (1, 1));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn concurrent_lines_never_interleave() {
        let page = Page::default();
        let gateway = Console::to_writer(page.clone());
        let sends = (0..200).map(|n| {
            let gateway = gateway.clone();
            tokio::spawn(async move { gateway.send(&sms(&format!("message {n:03}"))).await })
        });
        for send in sends.collect::<Vec<_>>() {
            send.await.unwrap().unwrap();
        }
        let written = String::from_utf8(page.0.lock().unwrap().0.clone()).unwrap();
        let mut lines: Vec<_> = written.lines().collect();
        lines.sort_unstable();
        let expected: Vec<_> = (0..200).map(|n| format!("[console sms] to +989123456789: message {n:03}")).collect();
        assert_eq!(lines, expected);
    }

    /// security 118: the error of a broken pipe names neither number nor text.
    #[tokio::test]
    async fn a_broken_pipe_is_an_error_without_secrets() {
        let error = Console::to_writer(Broken).send(&sms("482913")).await.unwrap_err();
        assert_eq!(error.class, SendClass::ProviderDown);
        assert_eq!(error.detail, "console broken pipe");
    }
}
