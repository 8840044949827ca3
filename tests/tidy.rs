//! House rules that a machine can check; each names its reason, so that whoever breaks one knows what it guards.
//!
//! To change a rule, change its table here. Rules of settings stand in `settings.rs`, of metric names in
//! `metrics_promtool.rs`. The last tests show each rule finding what it is for.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod tidy {
    //! What the rules are made from.
    pub(crate) mod repo;
    pub(crate) mod rust;
}

use tidy::{
    repo::{File, files},
    rust::{Rust, rust},
};

/// Longest file, in lines: one noun per file.
const FILE_LINES_MAX: usize = 500;
/// Longest function, in lines from `fn` to its closing brace: it fits a screen.
const FUNCTION_LINES_MAX: usize = 70;
/// Widest line, in columns, of sources and settings (rustfmt leaves long comments and texts alone).
const COLUMNS_MAX: usize = 140;

/// The modules of src by layer. A module imports from layers below its own, never beside or above.
const LAYERS: [(&str, u8); 25] = [
    ("record", 0),
    ("guard", 1),
    ("clock", 1),
    ("entropy", 1),
    ("events", 1),
    ("standard_webhooks", 1),
    ("settings", 1),
    ("metrics", 2),
    ("shutdown", 2),
    ("telemetry", 2),
    ("sms", 3),
    ("store", 3),
    ("journal", 3),
    ("password", 4),
    ("phone", 4),
    ("spending", 4),
    ("token", 4),
    ("webhooks", 4),
    ("service", 5),
    ("http", 6),
    ("app", 7),
    ("load", 7),
    ("cli", 8),
    ("lib", 9),
    ("main", 9),
];

/// What only some modules may name: path, who may, why.
const ONLY: [(&str, &[&str], &str); 17] = [
    ("ractor", &["phone"], "actors are how numbers are run, and nothing else knows"),
    ("axum", &["http"], "use cases know no HTTP"),
    ("hyper", &["http", "load"], "use cases know no HTTP; the load generator is a client, and a provider"),
    ("hyper_util", &["http", "load"], "use cases know no HTTP; the load generator is a client, and a provider"),
    ("tower", &["http"], "use cases know no HTTP"),
    ("tower_http", &["http"], "use cases know no HTTP"),
    ("tokio_rustls", &["http"], "TLS ends at the door"),
    ("utoipa", &["http"], "the API's description belongs to the API"),
    ("utoipa_swagger_ui", &["http"], "the API's description belongs to the API"),
    ("governor", &["http"], "addresses are the door's business; numbers have records"),
    ("sled", &["store"], "bytes on disk have one owner"),
    (
        "reqwest",
        &["sms", "webhooks", "cli"],
        "only providers and the operator are called out to, and by the demo a server",
    ),
    ("jsonwebtoken", &["token", "sms"], "our tokens have one maker; a provider wants one to sign in with"),
    ("metrics_exporter_prometheus", &["metrics"], "one exporter"),
    ("tracing_subscriber", &["telemetry", "settings"], "one place logs; settings check its filter"),
    ("std::env", &["settings"], "behaviour comes from settings, not from ambient variables"),
    ("crate::settings", &["telemetry", "app", "cli", "main"], "raw settings never travel inward"),
];

/// What the pure core and the guard never name: they decide, and nothing else.
const NOT_IN_RECORD: [&str; 19] = [
    "tokio",
    "axum",
    "hyper",
    "ractor",
    "sled",
    "tracing",
    "metrics",
    "rand",
    "reqwest",
    "dashmap",
    "toml",
    "clap",
    "std::time::SystemTime",
    "std::time::Instant",
    "std::fs",
    "std::thread",
    "std::process",
    "async",
    "await",
];

#[test]
fn files_are_short_and_say_what_they_are_for() {
    let long = rust_files().filter_map(|file| too_long(&file));
    let undocumented = rust_files().filter(|file| !file.text.starts_with("//!")).map(|file| file.path);
    report("at most 500 lines", "one noun per file", long);
    report("open with //!", "a file says what it owns and never does", undocumented);
}

#[test]
fn functions_fit_a_screen() {
    let long = rust_files().flat_map(|file| long_functions(&rust(&file)));
    report("functions of at most 70 lines", "branches in the parent, leaves straight", long);
}

#[test]
fn lines_fit_the_page() {
    let ends = ["rs", "toml", "sh", "yml", "yaml", "test", ".ci/run"];
    let wide =
        files().filter(|file| ends.iter().any(|end| file.path.ends_with(end))).flat_map(|file| wide_lines(&file));
    report("lines of at most 140 columns", "two files fit beside each other", wide);
}

#[test]
fn modules_import_downward() {
    let upward = sources().flat_map(|file| upward_edges(&rust(&file)));
    report("imports from lower layers only", "a lower layer can be read and tested without the upper ones", upward);
}

#[test]
fn each_crate_has_its_place() {
    let misplaced = sources().flat_map(|file| misplaced_names(&rust(&file)));
    report("named only where they belong", "what a module knows can be read off its place", misplaced);
}

#[test]
fn the_core_is_pure() {
    let impure = sources().flat_map(|file| impurities(&rust(&file)));
    report("a core without clock, chance, threads and I/O", "any history can be replayed in a test", impure);
}

#[test]
fn exceptions_have_reasons() {
    let bare = rust_files().flat_map(|file| bare_exceptions(&rust(&file)));
    report("allow and expect with a reason", "the next reader can tell whether it still holds", bare);
}

#[test]
fn nothing_is_left_over() {
    let left = rust_files().flat_map(|file| left_overs(&rust(&file)));
    let noted = files().filter(|file| file.path != "Cargo.lock").flat_map(|file| notes_to_self(&file));
    report("nothing half done", "what is not done is an issue, not a comment", left.chain(noted));
}

#[test]
fn no_machine_is_named() {
    let named = files().flat_map(|file| machine_paths(&file));
    report("no path of a developer's machine", "it is true on one machine only, and tells about it", named);
}

#[test]
fn the_manifest_explains_itself() {
    let all: Vec<File> = files().collect();
    let text = |path: &str| all.iter().find(|file| file.path == path).unwrap().text.clone();
    report("a reason for each dependency and lint", "or nobody dares to remove one", unexplained(&text("Cargo.toml")));
    report("no panic = \"abort\"", "a panic in one actor must not end the others", aborting(&text("Cargo.toml")));
    report("a reason for each ban", "or it is worked around", unexplained_bans(&text(".clippy.toml")));
}

fn rust_files() -> impl Iterator<Item = File> {
    files().filter(|file| file.path.ends_with(".rs"))
}

fn sources() -> impl Iterator<Item = File> {
    rust_files().filter(|file| file.path.starts_with("src/"))
}

#[track_caller]
fn report(rule: &str, why: &str, broken: impl IntoIterator<Item = String>) {
    let broken: Vec<String> = broken.into_iter().collect();
    assert!(broken.is_empty(), "house rule: {rule} ({why})\n  {}\n", broken.join("\n  "));
}

fn too_long(file: &File) -> Option<String> {
    let lines = file.text.lines().count();
    (lines > FILE_LINES_MAX).then(|| format!("{}: {lines} lines", file.path))
}

fn long_functions(rust: &Rust) -> Vec<String> {
    let long = rust.functions.iter().filter(|function| function.lines > FUNCTION_LINES_MAX);
    long.map(|function| format!("{}:{} fn {}: {} lines", rust.path, function.line, function.name, function.lines))
        .collect()
}

/// An expected answer stands as it is on the wire, one line of JSON, and a step of a script of the core as one line.
fn is_expected_text(line: &str) -> bool {
    let line = line.trim_start();
    line.starts_with("{\"") || line.contains("expect![[r#\"{\"") || (line.starts_with("t=") && line.contains('→'))
}

fn wide_lines(file: &File) -> Vec<String> {
    let columns = |line: &str| if is_expected_text(line) { 0 } else { line.chars().count() };
    let lines = file.text.lines().map(columns).enumerate();
    lines
        .filter(|(_, columns)| *columns > COLUMNS_MAX)
        .map(|(at, n)| format!("{}:{}: {n}", file.path, at + 1))
        .collect()
}

fn layer(module: &str) -> Option<u8> {
    LAYERS.iter().find(|(name, _)| *name == module).map(|(_, layer)| *layer)
}

fn upward_edges(rust: &Rust) -> Vec<String> {
    let Some(own) = layer(&rust.module) else {
        return vec![format!("{}: give module `{}` a layer in tests/tidy.rs", rust.path, rust.module)];
    };
    let inner = rust.paths.iter().filter(|path| path.segments[0] == "crate" && path.segments.len() > 1);
    // Names that are no module are items of lib.rs.
    let upward =
        inner.filter(|path| path.segments[1] != rust.module && layer(&path.segments[1]).is_some_and(|to| to >= own));
    upward.map(|path| format!("{}:{}: {}", rust.path, path.line, path.text())).collect()
}

fn misplaced_names(rust: &Rust) -> Vec<String> {
    let found =
        ONLY.iter().filter(|(_, homes, _)| !homes.contains(&rust.module.as_str())).flat_map(|(name, _, why)| {
            let own = *name == format!("crate::{}", rust.module);
            let named = rust.paths.iter().filter(move |path| !own && path.is_under(name));
            named.map(move |path| format!("{}:{}: {} ({why})", rust.path, path.line, path.text()))
        });
    found.filter(|_| rust.module != "lib").collect()
}

fn impurities(rust: &Rust) -> Vec<String> {
    let names = |path: &tidy::rust::Named| NOT_IN_RECORD.iter().any(|name| path.is_under(name));
    let found = rust.paths.iter().filter(|path| ["record", "guard"].contains(&rust.module.as_str()) && names(path));
    found.map(|path| format!("{}:{}: {}", rust.path, path.line, path.text())).collect()
}

fn bare_exceptions(rust: &Rust) -> Vec<String> {
    let excepts = |words: &[String]| words.iter().any(|word| word == "allow" || word == "expect");
    let bare = rust.attributes.iter().filter(|it| excepts(&it.words) && !it.words.iter().any(|word| word == "reason"));
    bare.map(|attribute| format!("{}:{}: {}", rust.path, attribute.line, attribute.words.join(" "))).collect()
}

fn left_overs(rust: &Rust) -> Vec<String> {
    let ignored = rust.attributes.iter().filter(|attribute| attribute.words[0] == "ignore");
    let unfinished = rust.macros.iter().filter(|(name, _)| ["todo", "unimplemented", "dbg"].contains(&name.as_str()));
    let ignored = ignored.map(|attribute| format!("{}:{}: ignored test", rust.path, attribute.line));
    ignored.chain(unfinished.map(|(name, line)| format!("{}:{line}: {name}!", rust.path))).collect()
}

/// Words that mark unfinished work, spelled so that this file is not found itself.
fn notes_to_self(file: &File) -> Vec<String> {
    let marks = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X")];
    let words = |line: &str| -> Vec<String> {
        line.split(|c: char| !c.is_alphanumeric()).filter(|word| marks.contains(word)).map(str::to_owned).collect()
    };
    let lines = file.text.lines().enumerate();
    lines
        .flat_map(|(at, line)| words(line).into_iter().map(move |word| format!("{}:{}: {word}", file.path, at + 1)))
        .collect()
}

fn machine_paths(file: &File) -> Vec<String> {
    let prefixes = [concat!("/ro", "ot/"), concat!("/wo", "rk/"), concat!("/ho", "me/"), concat!("/Us", "ers/")];
    let lines = file.text.lines().enumerate();
    let named = lines.filter(|(_, line)| prefixes.iter().any(|prefix| line.contains(prefix)));
    named.map(|(at, line)| format!("{}:{}: {}", file.path, at + 1, line.trim())).collect()
}

/// Lines `name = …` of dependencies and lints with a comment neither above nor behind.
fn unexplained(manifest: &str) -> Vec<String> {
    let (mut section, mut above, mut found) = ("", "", Vec::new());
    for line in manifest.lines() {
        if line.starts_with('[') {
            section = line;
        }
        let entry = line.contains(" = ") && (section.contains("dependencies]") || section.starts_with("[lints"));
        if entry && !line.contains(" # ") && !above.starts_with('#') {
            found.push(format!("Cargo.toml: {line}"));
        }
        above = line;
    }
    found
}

fn aborting(manifest: &str) -> Vec<String> {
    let manifest: toml::Table = manifest.parse().unwrap();
    let profiles = manifest.get("profile").and_then(toml::Value::as_table).cloned().unwrap_or_default();
    let aborts = |profile: &toml::Value| profile.get("panic").and_then(toml::Value::as_str) == Some("abort");
    profiles.into_iter().filter(|(_, profile)| aborts(profile)).map(|(name, _)| format!("profile {name}")).collect()
}

fn unexplained_bans(clippy: &str) -> Vec<String> {
    let settings: toml::Table = clippy.parse().unwrap();
    let bans = settings.values().filter_map(toml::Value::as_array).flatten();
    bans.filter(|ban| ban.get("reason").is_none()).map(ToString::to_string).collect()
}

/// A rule that finds nothing may be blind: here each finds what it is for, and nothing else.
mod each_rule_sees {
    use super::*;

    fn sample(path: &str, text: &str) -> Rust {
        rust(&File { path: path.to_owned(), text: text.to_owned() })
    }

    #[test]
    fn edges() {
        let core = "use crate::{record::{Code, Number}, store};\nfn f() { crate::http::serve(); super::phone::x() }";
        assert_eq!(
            upward_edges(&sample("src/record/code.rs", core)),
            ["src/record/code.rs:1: crate::store", "src/record/code.rs:2: crate::http::serve",]
        );
        assert_eq!(
            upward_edges(&sample("src/store/mod.rs", "use super::phone::Handle;")).len(),
            1,
            "super is the root there"
        );
        assert_eq!(upward_edges(&sample("src/store/a/b.rs", "use super::super::super::http::X;")).len(), 1);
        let sound = "use crate::record::X; // crate::http\nfn f() { g(\"crate::app\") }\n\
                     #[cfg(test)] mod tests { use crate::http::Y; }";
        assert_eq!(upward_edges(&sample("src/store/mod.rs", sound)), [""; 0]);
        assert_eq!(upward_edges(&sample("src/novel.rs", "")).len(), 1, "a new module needs a layer");
        assert_eq!(upward_edges(&sample("src/sms/mod.rs", "use crate::store::X;")).len(), 1, "beside is not below");
    }

    #[test]
    fn places() {
        let text = "use {ractor::Actor, std::env};\nfn f() { ::axum::serve(); tracing::info!(x = std::env::var(\"A\")) }\n\
                    use otpd::settings::S;";
        assert_eq!(misplaced_names(&sample("src/service/mod.rs", text)).len(), 5);
        assert_eq!(misplaced_names(&sample("src/phone/actor.rs", "use ractor::Actor;")), [""; 0]);
        assert_eq!(
            misplaced_names(&sample("src/service/mod.rs", "use crate::http::axum; fn f() { env!(\"X\") }")),
            [""; 0]
        );
    }

    #[test]
    fn impurity() {
        let text =
            "use std::time::{Duration, Instant};\nasync fn f() { metrics::counter!(\"x\"); }\nuse std::net::IpAddr;";
        assert_eq!(
            impurities(&sample("src/record/mod.rs", text)),
            [
                "src/record/mod.rs:1: std::time::Instant",
                "src/record/mod.rs:2: async",
                "src/record/mod.rs:2: metrics::counter",
            ]
        );
        assert_eq!(impurities(&sample("src/store/mod.rs", text)), [""; 0]);
    }

    #[test]
    fn lengths() {
        let text = format!(
            "trait T {{ fn short(&self) -> [u8; 2]; }}\nimpl X {{ fn long(f: fn(u8)) {{\n{}}} }}",
            "a();\n".repeat(70)
        );
        assert_eq!(long_functions(&sample("src/x.rs", &text)), ["src/x.rs:2 fn long: 72 lines"]);
        let file = |text: String| File { path: "a.rs".to_owned(), text };
        assert!(too_long(&file("\n".repeat(501))).is_some() && too_long(&file("\n".repeat(500))).is_none());
        assert_eq!(wide_lines(&file(format!("{}\n{}", "é".repeat(140), "x".repeat(141)))), ["a.rs:2: 141"]);
    }

    #[test]
    fn exceptions_and_left_overs() {
        let bare = "#![allow(dead_code)]\n#[cfg_attr(test, expect(unused))] fn f() { x.expect(\"y\") }";
        assert_eq!(bare_exceptions(&sample("src/x.rs", bare)).len(), 2);
        assert_eq!(bare_exceptions(&sample("src/x.rs", "#[expect(unused, reason = \"r\")] fn f() {}")), [""; 0]);
        let left = "#[ignore = \"later\"] fn f() { std::todo!(); dbg!(1); vec![1]; }";
        assert_eq!(left_overs(&sample("src/x.rs", left)).len(), 3);
        let note = format!("// {}: later\n// \\u{}X means hex\n", concat!("TO", "DO"), concat!("XX", "X"));
        assert_eq!(notes_to_self(&File { path: "a.md".to_owned(), text: note }).len(), 1);
        let place = format!("{}ann/otpd", concat!("/ho", "me/"));
        assert_eq!(machine_paths(&File { path: "a.md".to_owned(), text: place }).len(), 1);
    }

    #[test]
    fn manifests() {
        let manifest = "[dependencies]\n# Why.\na = \"1\"\nb = \"1\"\nc = \"1\" # why\n[lints.rust]\nd = \"warn\"\n\
                        [profile.x]\npanic = \"abort\"\n";
        assert_eq!(unexplained(manifest), ["Cargo.toml: b = \"1\"", "Cargo.toml: d = \"warn\""]);
        assert_eq!(aborting(manifest), ["profile x"]);
        assert_eq!(
            unexplained_bans("bans = [{ path = \"a\" }, { path = \"b\", reason = \"c\" }]"),
            ["{ path = \"a\" }"]
        );
    }
}
