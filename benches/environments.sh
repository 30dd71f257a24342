#!/usr/bin/env bash
# Builds what is measured and measures environments. Arguments go to environments.py; `--help` lists them.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo build --release --bin hostler
python=$(scripts/python-env benches/requirements.txt)
exec "$python" benches/environments.py --hostler "${CARGO_TARGET_DIR:-target}/release/hostler" "$@"
