#!/usr/bin/env bash
# Builds the server in release mode and measures it beside the limit of its store. Arguments go to the benchmark;
# `benches/server.sh --help` lists them.
set -euo pipefail
cd "$(dirname "$0")/.."
exec cargo bench --package hostler-server --bench server -- "$@"
