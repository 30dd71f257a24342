#!/usr/bin/env bash
# Builds the planning of GPUs in release mode, measures its decisions, and plays seeded workloads by its rule and by
# others. Arguments go to the benchmark: --tasks N, --seeds N, --only cost|workload.
set -euo pipefail
cd "$(dirname "$0")/.."
exec cargo bench --package hostler-protocols --bench scheduling -- "$@"
