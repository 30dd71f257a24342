#!/usr/bin/env bash
# Builds what is measured and measures containers. Arguments go to containers.py; `--help` lists them.
set -euo pipefail
cd "$(dirname "$0")/.."
profile=${HOSTLER_BENCH_PROFILE:-release}
cargo build --bin hostler $([ "$profile" = release ] && echo --release)
python=$(scripts/python-env benches/requirements.txt)
for setting in $(scripts/containers start); do export "$setting"; done
trap 'scripts/containers stop' EXIT
"$python" benches/containers.py --hostler "${CARGO_TARGET_DIR:-target}/$([ "$profile" = release ] && echo release || echo debug)/hostler" "$@"
