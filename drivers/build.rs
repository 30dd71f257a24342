//! Builds `hostler-init`, PID 1 of containers, whose bytes this crate carries (`src/container/program.rs`).
//!
//! A build of its own by cargo itself, because it is another kind of program than everything else: linked statically,
//! so that it runs in any image, while the program around it must stay dynamic (it loads NVIDIA's library). It takes
//! its dependencies from the same lock file and never from the network: whatever it needs is needed by this crate too.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What it is made of, from the root of the project.
const SOURCES: [&str; 7] = [
    "init/src",
    "init/Cargo.toml",
    "protocols/src/container/frame.rs",
    "protocols/src/container/init.rs",
    "protocols/src/exit.rs",
    "Cargo.toml",
    "Cargo.lock",
];
const NAME: &str = "hostler-init";
const PROFILE: &str = "init";

/// How the outer build is done says nothing about this one: lints, coverage, an editor that compiles nothing in truth,
/// a folder for its results.
const NOT_INHERITED: [&str; 9] = [
    "RUSTFLAGS",
    "CARGO_ENCODED_RUSTFLAGS",
    "CARGO_BUILD_RUSTFLAGS",
    "CARGO_BUILD_TARGET",
    "CARGO_TARGET_DIR",
    "CARGO_BUILD_TARGET_DIR",
    "CLIPPY_ARGS",
    "RUSTC_WORKSPACE_WRAPPER",
    "RUSTC_WRAPPER",
];

fn from_cargo(name: &str) -> OsString {
    std::env::var_os(name).unwrap_or_else(|| panic!("cargo sets {name}"))
}

fn main() {
    let crate_root = PathBuf::from(from_cargo("CARGO_MANIFEST_DIR"));
    let root = crate_root.parent().expect("this crate lies in the project");
    for source in SOURCES {
        println!("cargo::rerun-if-changed={}", root.join(source).display());
    }
    let out = PathBuf::from(from_cargo("OUT_DIR"));
    // One folder for all kinds of builds of this crate, beside theirs: target/PROFILE/build/CRATE/out is ours.
    let target_folder = out.ancestors().nth(4).unwrap_or(&out).join(NAME);
    let target = from_cargo("TARGET").into_string().expect("targets are ASCII");
    build(root, &target, &target_folder);
    let program = target_folder.join(target).join(PROFILE).join(NAME);
    std::fs::copy(&program, out.join(NAME))
        .unwrap_or_else(|error| panic!("cannot copy {}: {error}", program.display()));
}

fn build(root: &Path, target: &str, target_folder: &Path) {
    let mut cargo = Command::new(from_cargo("CARGO"));
    cargo
        .current_dir(root)
        .args(["build", "--quiet", "--locked", "--offline", "--package", NAME, "--profile", PROFILE])
        .args(["--target", target, "--target-dir"])
        .arg(target_folder);
    for name in NOT_INHERITED {
        cargo.env_remove(name);
    }
    let flags = format!("CARGO_TARGET_{}_RUSTFLAGS", target.to_uppercase().replace('-', "_"));
    cargo.env(flags, "-C target-feature=+crt-static");
    let status = cargo.status().expect("the cargo that runs this can be started");
    assert!(
        status.success(),
        "cannot build {NAME}: {status}. It is linked statically: the C library must be there as an archive (libc.a: \
         libc6-dev on Debian, glibc-static on Fedora). `make init` builds it alone"
    );
}
