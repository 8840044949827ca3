//! Secret files: read whole, replaced whole, never open to anyone but their owner.
//!
//! Owns: mode 0600 and 0700, the refusal of files others can read, replacing by rename after fsync, and
//! the lock that makes a first start of two processes, or a start beside an edit, come out as one file.
//! Never knows what a file is about; its errors name places in it, never its content.

use std::{
    fmt,
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de, de::DeserializeOwned};
use zeroize::Zeroizing;

use super::KeyFault;

/// Most bytes of a secret file: far above 1,000 API keys, small enough to read at once.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// Only the owner reads and writes.
const FILE_MODE: u32 = 0o600;

/// Only the owner enters.
const DIRECTORY_MODE: u32 = 0o700;

/// The rights of group and others.
const OTHERS: u32 = 0o077;

/// The lock beside the files. Held for one read and one write, so nobody waits long.
const LOCK_NAME: &str = ".keys.lock";

/// One secret file. `Debug` and errors show its bare name only.
pub(super) struct KeyFile {
    path: PathBuf,
}

/// What tells one state of a file from the next without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    place: (u64, u64),
    bytes: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// What an edit came to.
pub(super) enum Edit<R> {
    /// Replace the file, then answer.
    Write(R),
    /// Leave the file alone and answer.
    Keep(R),
}

impl KeyFile {
    pub(super) fn new(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    /// The file's bare name, for errors and logs.
    pub(super) fn name(&self) -> String {
        self.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// The file as it stands; `None` if there is none.
    pub(super) fn read<T: DeserializeOwned>(&self) -> Result<Option<(T, Stamp)>, KeyFault> {
        let file = match File::open(&self.path) {
            Ok(file) => file,
            Err(source) if source.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(self.io("open", source)),
        };
        let metadata = file.metadata().map_err(|source| self.io("stat", source))?;
        let mode = metadata.permissions().mode() & 0o7777;
        if !metadata.is_file() {
            return Err(self.malformed("not a regular file"));
        }
        if mode & OTHERS != 0 {
            return Err(KeyFault::Exposed { file: self.name(), mode });
        }
        // Room for all of it at once: a buffer that grew would leave unwiped copies behind.
        let room = usize::try_from(metadata.len().min(FILE_BYTES_MAX)).unwrap_or_default();
        let mut bytes = Zeroizing::new(Vec::with_capacity(room.saturating_add(1)));
        file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(|source| self.io("read", source))?;
        if bytes.len() as u64 > FILE_BYTES_MAX {
            return Err(self.malformed("larger than 1 MiB"));
        }
        let content = serde_json::from_slice(&bytes).map_err(|fault| self.unreadable(&fault))?;
        Ok(Some((content, Stamp::of(&metadata))))
    }

    /// The stamp of the file now; `None` if there is none.
    pub(super) fn stamp(&self) -> Result<Option<Stamp>, KeyFault> {
        match fs::metadata(&self.path) {
            Ok(metadata) => Ok(Some(Stamp::of(&metadata))),
            Err(source) if source.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(self.io("stat", source)),
        }
    }

    /// Reads the file (or its default if there is none), lets `change` edit it, and replaces it durably if
    /// `change` says so. One editor at a time across processes; makes the directory if it is missing.
    pub(super) fn edit<T, R>(&self, change: impl FnOnce(&mut T) -> Result<Edit<R>, KeyFault>) -> Result<R, KeyFault>
    where
        T: Serialize + DeserializeOwned + Default,
    {
        let directory =
            self.path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
        DirBuilder::new()
            .recursive(true)
            .mode(DIRECTORY_MODE)
            .create(directory)
            .map_err(|source| self.io("make the directory of", source))?;
        let lock = owner_only().create(true).open(directory.join(LOCK_NAME));
        // The lock ends with the file handle, so a killed process leaves none behind.
        let lock = lock.map_err(|source| self.io("open the lock of", source))?;
        lock.lock().map_err(|source| self.io("lock", source))?;

        let mut content = self.read()?.map(|(content, _)| content).unwrap_or_default();
        match change(&mut content)? {
            Edit::Keep(answer) => Ok(answer),
            Edit::Write(answer) => {
                self.replace(directory, &content)?;
                Ok(answer)
            }
        }
    }

    /// A fault about the content; `detail` must not quote it.
    pub(super) fn malformed(&self, detail: impl Into<String>) -> KeyFault {
        KeyFault::Malformed { file: self.name(), detail: detail.into() }
    }

    /// The file holds all it may.
    pub(super) fn full(&self, max: usize) -> KeyFault {
        KeyFault::Full { file: self.name(), max }
    }

    /// Writes beside, makes it durable, renames over, makes the name durable. A reader sees the old file or
    /// the new one. Only called under the lock, so a leftover of the temporary name belongs to a dead process.
    fn replace(&self, directory: &Path, content: &impl Serialize) -> Result<(), KeyFault> {
        let room = usize::try_from(FILE_BYTES_MAX).unwrap_or_default();
        let mut bytes = Zeroizing::new(Vec::with_capacity(room));
        serde_json::to_writer_pretty(&mut *bytes, content).map_err(|fault| self.unreadable(&fault))?;
        bytes.push(b'\n');
        if bytes.len() > room {
            return Err(self.malformed("would be larger than 1 MiB"));
        }
        let beside = directory.join(format!(".{}.tmp", self.name()));
        match fs::remove_file(&beside) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => return Err(self.io("clear", source)),
            Ok(()) | Err(_) => {}
        }
        let mut file = owner_only().create_new(true).open(&beside).map_err(|source| self.io("make", source))?;
        file.write_all(&bytes).and_then(|()| file.sync_all()).map_err(|source| self.io("write", source))?;
        fs::rename(&beside, &self.path).map_err(|source| self.io("replace", source))?;
        let directory = File::open(directory).and_then(|directory| directory.sync_all());
        directory.map_err(|source| self.io("make durable the directory of", source))
    }

    fn io(&self, action: &'static str, source: io::Error) -> KeyFault {
        KeyFault::Io { file: self.name(), action, source }
    }

    /// Place only: serde's own text quotes values.
    fn unreadable(&self, fault: &serde_json::Error) -> KeyFault {
        self.malformed(format!("line {} column {}", fault.line(), fault.column()))
    }
}

fn owner_only() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).truncate(false).mode(FILE_MODE);
    options
}

impl Stamp {
    fn of(metadata: &fs::Metadata) -> Self {
        Self {
            place: (metadata.dev(), metadata.ino()),
            bytes: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

impl fmt::Debug for KeyFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyFile({})", self.name())
    }
}

/// Secret bytes of a key file: base64url text there, wiped here, `***` in `Debug`. The only secret type
/// with `Serialize`, and private to the files' own formats.
pub(super) struct SecretBytes(pub(super) Zeroizing<Vec<u8>>);

impl fmt::Debug for SecretBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl Serialize for SecretBytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Zeroizing::new(URL_SAFE_NO_PAD.encode(&*self.0)).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for SecretBytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Zeroizing::new(String::deserialize(deserializer)?);
        let bytes = URL_SAFE_NO_PAD.decode(text.as_bytes()).map_err(|_| de::Error::custom("not base64url"))?;
        Ok(Self(Zeroizing::new(bytes)))
    }
}

/// `#[serde(with)]` for points in time: RFC 3339 in UTC, for the people who read these files.
pub(super) mod rfc3339 {
    use jiff::Timestamp;
    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer, de, ser};

    use crate::record::UnixMillis;

    pub(in crate::token) fn serialize<S: Serializer>(at: &UnixMillis, serializer: S) -> Result<S::Ok, S::Error> {
        let millis = i64::try_from(at.0).map_err(ser::Error::custom)?;
        Timestamp::from_millisecond(millis).map_err(ser::Error::custom)?.serialize(serializer)
    }

    pub(in crate::token) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<UnixMillis, D::Error> {
        let millis = Timestamp::deserialize(deserializer)?.as_millisecond();
        u64::try_from(millis).map(UnixMillis).map_err(|_| de::Error::custom("before 1970"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(path: &Path, text: &str, mode: u32) {
        fs::write(path, text).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    fn add(file: &KeyFile, value: u32) -> Result<usize, KeyFault> {
        file.edit::<Vec<u32>, _>(|values| {
            values.push(value);
            Ok(Edit::Write(values.len()))
        })
    }

    /// security 124: the file is 0600 and a directory made for it 0700, before and after a replacement.
    #[test]
    fn made_files_and_directories_are_the_owners_alone() {
        let home = tempfile::tempdir().unwrap();
        let file = KeyFile::new(&home.path().join("new/deeper/some.keys"));
        for count in 1..=2 {
            assert_eq!(add(&file, 7).unwrap(), count);
            let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
            assert_eq!(mode(&file.path), 0o600);
            assert_eq!(mode(file.path.parent().unwrap()), 0o700);
            assert_eq!(mode(&home.path().join("new")), 0o700);
        }
        let mut names: Vec<_> =
            fs::read_dir(file.path.parent().unwrap()).unwrap().map(|e| e.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, [LOCK_NAME, "some.keys"], "no temporary file stays");
    }

    /// security 123: a file that group or others can touch is refused, whatever it holds.
    #[test]
    fn exposed_files_are_refused_by_name_and_mode() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("some.keys");
        let file = KeyFile::new(&path);
        for mode in [0o604, 0o640, 0o644, 0o660, 0o601, 0o620] {
            put(&path, "[1]", mode);
            let fault = file.read::<Vec<u32>>().unwrap_err();
            assert!(matches!(fault, KeyFault::Exposed { mode: found, .. } if found == mode));
            assert!(fault.to_string().starts_with(&format!("some.keys: mode {mode:04o} ")), "{fault}");
            assert!(add(&file, 2).is_err(), "and no edit goes over it");
        }
        for mode in [0o600, 0o400] {
            put(&path, "[1]", mode);
            assert!(file.read::<Vec<u32>>().unwrap().is_some());
            fs::remove_file(&path).unwrap();
        }
    }

    /// security 118: an unreadable file is told by place, never by content or path.
    #[test]
    fn faults_quote_neither_content_nor_path() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("some.keys");
        put(&path, "[\"hunter2-secret\"]", 0o600);
        let fault = KeyFile::new(&path).read::<Vec<u32>>().unwrap_err();
        assert_eq!(fault.to_string(), "some.keys: malformed: line 1 column 17");
        assert!(!format!("{fault:?}").contains("hunter2"));
        let fault = KeyFile::new(&home.path().join("some.keys/under")).read::<Vec<u32>>().unwrap_err();
        assert!(!format!("{fault} {fault:?}").contains(home.path().to_str().unwrap()), "{fault:?}");
    }

    #[test]
    fn missing_is_none_and_oversized_or_odd_is_refused() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("some.keys");
        assert!(KeyFile::new(&path).read::<Vec<u32>>().unwrap().is_none());
        put(&path, &format!("[1{}]", " ".repeat(1024 * 1024)), 0o600);
        assert!(KeyFile::new(&path).read::<Vec<u32>>().is_err());
        assert!(KeyFile::new(home.path()).read::<Vec<u32>>().is_err(), "a directory");
    }

    #[test]
    fn edits_of_many_threads_and_a_dead_writers_leftover_lose_nothing() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("some.keys");
        put(&home.path().join(".some.keys.tmp"), "half a fi", 0o600);
        std::thread::scope(|scope| {
            for value in 0..8 {
                let path = &path;
                scope.spawn(move || add(&KeyFile::new(path), value).unwrap());
            }
        });
        let (mut values, _) = KeyFile::new(&path).read::<Vec<u32>>().unwrap().unwrap();
        values.sort_unstable();
        assert_eq!(values, [0, 1, 2, 3, 4, 5, 6, 7]);
    }

    #[test]
    fn a_kept_edit_writes_nothing() {
        let home = tempfile::tempdir().unwrap();
        let file = KeyFile::new(&home.path().join("some.keys"));
        add(&file, 1).unwrap();
        let before = file.stamp().unwrap();
        assert_eq!(file.edit::<Vec<u32>, _>(|values| Ok(Edit::Keep(values.len()))).unwrap(), 1);
        assert_eq!(file.stamp().unwrap(), before);
        add(&file, 2).unwrap();
        assert_ne!(file.stamp().unwrap(), before);
    }

    /// security 120.
    #[test]
    fn secret_bytes_hide() {
        let secret = SecretBytes(Zeroizing::new(b"topsecret".to_vec()));
        assert_eq!(format!("{secret:?}"), "***");
        let text = serde_json::to_string(&secret).unwrap();
        assert_eq!(*serde_json::from_str::<SecretBytes>(&text).unwrap().0, b"topsecret");
    }
}
