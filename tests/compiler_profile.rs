//! Optimized builds get the profile if it was made with their compiler; all others are left as cargo asked for them.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

/// How the file of a merged LLVM profile begins.
const PROFILE_MAGIC: [u8; 8] = [0xff, b'l', b'p', b'r', b'o', b'f', b'i', 0x81];

fn shipped(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(".cargo/profile").join(name)
}

/// The wrapper beside a profile of `made_with`, called for a compiler that says what it was asked for.
fn asked(made_with: &str, level: &str, train_into: Option<&str>) -> String {
    let place = tempfile::tempdir().unwrap();
    let at = |name: &str| place.path().join(name);
    fs::copy(shipped("rustc"), at("rustc")).unwrap();
    fs::write(at("compiler"), made_with).unwrap();
    fs::write(at("its-rustc"), "#!/bin/sh\nif [ \"$1\" = -vV ]; then echo rustc 9; else echo \"$@\"; fi\n").unwrap();
    fs::set_permissions(at("its-rustc"), fs::Permissions::from_mode(0o755)).unwrap();
    let mut wrapper = Command::new(at("rustc"));
    wrapper.arg(at("its-rustc")).args(["--crate-name", "x", "-C", level]).env_remove("OTPD_TRAIN_INTO");
    if let Some(into) = train_into {
        wrapper.env("OTPD_TRAIN_INTO", into);
    }
    let output = wrapper.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().replace(place.path().to_str().unwrap(), "HERE")
}

#[test]
fn the_profile_is_for_optimized_builds_of_its_compiler() {
    let plain = "--crate-name x -C opt-level=3\n";
    assert_eq!(
        asked("rustc 9\n", "opt-level=3", None),
        "--crate-name x -C opt-level=3 -Cprofile-use=HERE/otpd.profdata -Cllvm-args=-no-pgo-warn-mismatch\n"
    );
    assert_eq!(asked("rustc 8\n", "opt-level=3", None), plain, "another compiler");
    assert_eq!(asked("rustc 9\n", "opt-level=1", None), "--crate-name x -C opt-level=1\n");
    assert_eq!(asked("rustc 8\n", "opt-level=3", Some("there")), plain.replace('\n', " -Cprofile-generate=there\n"));
}

#[test]
fn the_profile_is_shipped_and_cargo_is_told_of_it() {
    let config = fs::read_to_string(shipped("../config.toml")).unwrap();
    assert!(config.contains("rustc-wrapper = \".cargo/profile/rustc\"\n"), "{config}");
    assert!(fs::read(shipped("otpd.profdata")).unwrap().starts_with(&PROFILE_MAGIC));
    assert!(fs::read_to_string(shipped("compiler")).unwrap().starts_with("rustc "));
}
