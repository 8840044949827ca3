//! Where the demo gets the code: from the person at the terminal, or from the server's captured output.

use std::{
    fs::File,
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::time::Instant;

use crate::{
    cli::Failed,
    record::{CODE_DIGITS, PhoneNumber},
};

/// How long the line may take to come into the file; the server prints it before it answers.
const WAIT: Duration = Duration::from_secs(10);

/// Pause between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Most bytes of the file's end that are looked at.
const TAIL_BYTES_MAX: u64 = 1024 * 1024;

/// Where codes come from.
#[derive(Debug)]
pub(super) struct Codes {
    number: String,
    file: Option<Tail>,
    known: Option<String>,
}

/// The part of a file that came after the demo began: an older line of the number would hold a dead code.
#[derive(Debug)]
struct Tail {
    path: PathBuf,
    from: u64,
}

impl Codes {
    /// To be called before the code is asked for.
    pub(super) fn new(number: PhoneNumber, file: Option<&Path>) -> Result<Self, Failed> {
        let file = file.map(Tail::begin).transpose()?;
        Ok(Self { number: number.to_e164(), file, known: None })
    }

    /// The server itself has shown the code.
    pub(super) fn know(&mut self, code: &str) {
        self.known = Some(code.to_owned());
    }

    /// True if a person types the codes.
    pub(super) fn can_ask_again(&self) -> bool {
        self.file.is_none()
    }

    /// The code to give next.
    pub(super) async fn next(&mut self) -> Result<String, Failed> {
        match (self.known.take(), &self.file) {
            (Some(code), _) => Ok(code),
            (None, Some(file)) => file.newest(&self.number).await,
            (None, None) => ask(&self.number),
        }
    }
}

fn ask(number: &str) -> Result<String, Failed> {
    let mut err = io::stderr().lock();
    // If the question cannot be written, the answer can still be read.
    let _ = write!(err, "\nThe server printed \"[console sms] to {number}: …\". Which code is in it? ")
        .and_then(|()| err.flush());
    let mut line = String::new();
    let read = io::stdin().read_line(&mut line).map_err(|error| Failed::new(format!("no code: {}", error.kind())))?;
    if read == 0 {
        return Err(Failed::new(
            "no code was given: type it, or name the server's captured output with --code-from FILE",
        ));
    }
    Ok(line.trim().to_owned())
}

impl Tail {
    fn begin(path: &Path) -> Result<Self, Failed> {
        let from = match path.metadata() {
            Ok(metadata) if metadata.is_dir() => return Err(Failed::new("--code-from: is a directory")),
            Ok(metadata) => metadata.len(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
            Err(error) => return Err(Failed::new(format!("--code-from: cannot be read: {}", error.kind()))),
        };
        Ok(Self { path: path.to_owned(), from })
    }

    async fn newest(&self, number: &str) -> Result<String, Failed> {
        let give_up = Instant::now() + WAIT;
        loop {
            let looked = self.read();
            if let Ok(text) = &looked
                && let Some(code) = newest_code(text, number)
            {
                return Ok(code.to_owned());
            }
            if Instant::now() >= give_up {
                return Err(match looked {
                    Ok(_) => Failed::new(format!(
                        "--code-from: no new line \"[console sms] to {number}: …\" came within {} s: does the file hold \
                         the server's standard output, and is sms.gateway \"console\"?",
                        WAIT.as_secs()
                    )),
                    Err(error) => Failed::new(format!("--code-from: cannot be read: {}", error.kind())),
                });
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    fn read(&self) -> io::Result<String> {
        let mut file = File::open(&self.path)?;
        let length = file.metadata()?.len();
        // A file that became shorter was begun anew.
        let from = if length < self.from { 0 } else { self.from };
        file.seek(SeekFrom::Start(from.max(length.saturating_sub(TAIL_BYTES_MAX))))?;
        let mut bytes = Vec::new();
        file.take(TAIL_BYTES_MAX).read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}

/// The code in the last whole line of this number. Other programs may have put something before the line's begin.
fn newest_code<'a>(text: &'a str, number: &str) -> Option<&'a str> {
    let mark = format!("[console sms] to {number}: ");
    let whole = text.get(..=text.rfind('\n')?)?;
    whole.lines().rev().find_map(|line| code_in(line.split_once(&mark)?.1))
}

/// No other number of a message is as long: templates are checked for that, and lines for phones come after the code.
fn code_in(message: &str) -> Option<&str> {
    let runs = message.split(|letter: char| !letter.is_ascii_digit());
    runs.into_iter().find(|run| u8::try_from(run.len()).is_ok_and(|length| CODE_DIGITS.contains(&length)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_whole_line_of_the_number_counts() {
        let text = "[console sms] to +14155550100: 111111 is your otpd code. It is valid for 5 min.\n\
                    web-1  | [console sms] to +14155550100: 222222 is your code\n\
                    [console sms] to +14155550101: 333333 is your code\n\
                    [console sms] to +14155550100: 4444";
        assert_eq!(newest_code(text, "+14155550100"), Some("222222"));
        assert_eq!(newest_code(text, "+14155550101"), Some("333333"));
        assert_eq!(newest_code(text, "+1415555010"), None);
        assert_eq!(newest_code("", "+14155550100"), None);
    }

    #[test]
    fn the_code_is_found_in_any_text() {
        for (message, code) in [
            ("کد تایید otpd: 012345\\nاعتبار 5 دقیقه", Some("012345")),
            ("In 5 min: 4821\\nFA+9qCX9VSu\\n@login.example.com #4821", Some("4821")),
            ("Your otpd account was moved to another phone number.", None),
        ] {
            assert_eq!(code_in(message), code, "{message}");
        }
    }

    #[tokio::test]
    async fn what_stood_in_the_file_before_is_not_looked_at() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("out");
        std::fs::write(&path, "[console sms] to +14155550100: 111111 old\n").unwrap();
        let number = PhoneNumber::from_e164("+14155550100").unwrap();
        let mut codes = Codes::new(number, Some(&path)).unwrap();
        let mut file = std::fs::OpenOptions::new().append(true).open(&path).unwrap();
        writeln!(file, "[console sms] to +14155550100: 222222 new").unwrap();
        assert_eq!(codes.next().await.unwrap(), "222222");
        std::fs::write(&path, "[console sms] to +14155550100: 333333\n").unwrap();
        assert_eq!(codes.next().await.unwrap(), "333333", "the file was begun anew");
    }

    #[tokio::test(start_paused = true)]
    async fn the_wait_has_an_end() {
        let number = PhoneNumber::from_e164("+14155550100").unwrap();
        let directory = tempfile::tempdir().unwrap();
        let mut codes = Codes::new(number, Some(&directory.path().join("missing"))).unwrap();
        let error = codes.next().await.unwrap_err().to_string();
        assert!(error.contains("cannot be read"), "{error}");
    }
}
