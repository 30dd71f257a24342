#!/usr/bin/env bash
# Builds what is measured and measures containers. Arguments go to containers.py; `--help` lists them.
# HOSTLER_BENCH_PROGRAM names a program that is built already.
set -euo pipefail
cd "$(dirname "$0")/.."
profile=${HOSTLER_BENCH_PROFILE:-release}
program=${HOSTLER_BENCH_PROGRAM:-}
if [ -z "$program" ]; then
    cargo build --bin hostler $([ "$profile" = release ] && echo --release)
    program=${CARGO_TARGET_DIR:-target}/$([ "$profile" = release ] && echo release || echo debug)/hostler
fi
python=$(scripts/python-env benches/requirements.txt)
trap 'scripts/containers stop' EXIT
for setting in $(scripts/containers start); do export "$setting"; done
[ -z "${HOSTLER_TEST_DOCKER:-}" ] || DOCKER_HOST=$HOSTLER_TEST_DOCKER benches/containers-image.sh
"$python" benches/containers.py --hostler "$program" "$@"
