#!/usr/bin/env bash
# Builds what is measured and measures it. Arguments go to dispatch.py; `benches/run.sh --help` lists them.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo build --release --bin hostler
python=$(scripts/python-env benches/requirements.txt)
exec "$python" benches/dispatch.py --hostler "${CARGO_TARGET_DIR:-target}/release/hostler" "$@"
