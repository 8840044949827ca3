//! The text files of this repository: what git tracks or would track, so that a developer's own files do not count.

use std::{fs, path::Path, process::Command};

/// A file by its path from the top, with `/` between.
#[derive(Debug, Clone)]
pub(crate) struct File {
    /// Path from the top.
    pub(crate) path: String,
    /// Whole text.
    pub(crate) text: String,
}

/// Every text file; what is not UTF-8 (images) is left out.
pub(crate) fn files() -> impl Iterator<Item = File> {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let paths = tracked(top).unwrap_or_else(|| walked(top, ""));
    assert!(paths.iter().any(|path| path == "src/lib.rs"), "the repository was not found");
    paths.into_iter().filter_map(|path| Some(File { text: fs::read_to_string(top.join(&path)).ok()?, path }))
}

fn tracked(top: &Path) -> Option<Vec<String>> {
    let list = ["ls-files", "-z", "--cached", "--others", "--exclude-standard"];
    let output =
        Command::new("git").args(list).current_dir(top).output().ok().filter(|output| output.status.success())?;
    let text = String::from_utf8(output.stdout).ok()?;
    Some(text.split('\0').filter(|path| !path.is_empty()).map(str::to_owned).collect())
}

/// Without git (an unpacked archive, a container): everything but what is built or run.
fn walked(top: &Path, folder: &str) -> Vec<String> {
    let entries = fs::read_dir(top.join(folder)).unwrap().map(|entry| entry.unwrap());
    let named = entries.map(|entry| (entry.path().is_dir(), entry.file_name().to_string_lossy().into_owned()));
    let kept = named.filter(|(_, name)| !["target", "data", ".git"].contains(&name.as_str()));
    let joined = kept.map(|(is_dir, name)| (is_dir, if folder.is_empty() { name } else { format!("{folder}/{name}") }));
    joined.flat_map(|(is_dir, path)| if is_dir { walked(top, &path) } else { vec![path] }).collect()
}
