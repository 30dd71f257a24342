//! Compiles the simulated NVIDIA driver, `tests/fake-nvml`, whose bytes this program carries for `--simulate`.
//!
//! One call of the compiler: that library has no dependencies, and cargo cannot give a program the bytes of another
//! package's library.

use std::path::{Path, PathBuf};
use std::process::Command;

const SOURCES: &str = "tests/fake-nvml/src";

fn main() {
    let from_cargo = |name: &str| std::env::var_os(name).unwrap_or_else(|| panic!("cargo sets {name}"));
    println!("cargo::rerun-if-changed={SOURCES}");
    let library = PathBuf::from(from_cargo("OUT_DIR")).join("libnvidia-ml.so.1");
    let mut compiler = Command::new(from_cargo("RUSTC"));
    compiler
        .args(["--edition", "2024", "--crate-type", "cdylib", "--crate-name", "hostler_fake_nvml"])
        .args(["-C", "opt-level=s", "-C", "panic=abort", "-C", "strip=symbols"])
        .arg("--target")
        .arg(from_cargo("TARGET"))
        .arg("-o")
        .arg(&library)
        .arg(Path::new(SOURCES).join("lib.rs"));
    if let Some(linker) = std::env::var_os("RUSTC_LINKER") {
        compiler.arg("-C").arg(format!("linker={}", Path::new(&linker).display()));
    }
    let status = compiler.status().expect("the compiler that compiles everything can be started");
    assert!(status.success(), "cannot compile {SOURCES}: {status}");
}
