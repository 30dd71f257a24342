#!/usr/bin/env bash
# The main job in front of your eyes: a server and an agent, a ClearML task, a clone of it with another learning rate,
# from its queue to its result. Needs Rust, git, Python 3.9+ and a C compiler; no GPU, no Docker, no account.
#
#   make demo           runs it and stops what it started
#   KEEP=1 make demo    leaves server and agent running until Ctrl-C
set -euo pipefail
cd "$(dirname "$0")/.."

step() { printf '\n\033[1m==> %s\033[0m\n' "$*"; }
show() { printf '    $ %s\n' "$*"; }

step 'Building hostler'
# The development build: the optimised one takes several times as long to compile, and nothing here would run
# noticeably faster with it.
cargo build --bin hostler
hostler=${CARGO_TARGET_DIR:-$PWD/target}/debug/hostler

step 'Getting the ClearML SDK into an environment of its own'
python=$(scripts/python-env demo/requirements.txt)
"$python" -c 'import clearml; print("clearml", clearml.__version__)'

work=$(mktemp -d "${TMPDIR:-/tmp}/hostler-demo.XXXXXX")
up=''
finish() {
    code=$?
    trap - EXIT INT TERM
    if [ -n "$up" ] && kill -0 "$up" 2>/dev/null; then
        kill -TERM "$up"
        wait "$up" 2>/dev/null || true
    fi
    if [ "$code" != 0 ] && [ "$code" != 130 ]; then
        printf '\nthe demo failed (exit code %s); the log of server and agent is %s\n' "$code" "$work/up.log" >&2
        tail -n 20 "$work/up.log" >&2 2>/dev/null || true
    fi
    exit "$code"
}
trap finish EXIT
trap 'exit 130' INT TERM

step 'Starting a server and an agent'
show "hostler up --data-dir $work/data"
mkfifo "$work/ready"
"$hostler" up --json --data-dir "$work/data" --cache-dir "$work/cache" --workers 1 \
    --api-port 0 --web-port 0 --files-port 0 >"$work/ready" 2>"$work/up.log" &
up=$!
exec 3<"$work/ready"
read -r -t 60 ready <&3 || { echo 'hostler up did not become ready' >&2; exit 1; }
printf '%s\n' "$ready" | "$python" -c 'import json, sys
for name, value in json.load(sys.stdin).items():
    if isinstance(value, str) and name != "event": print("    %-13s %s" % (name, value))'
export CLEARML_CONFIG_FILE=$work/data/clearml.conf

step 'A training script in a git repository'
git init --quiet --bare "$work/models.git"
git clone --quiet "$work/models.git" "$work/models" 2>/dev/null
cp demo/train.py "$work/models/"
as_demo=(-c user.name=Demo -c user.email=demo@example.com)
git -C "$work/models" "${as_demo[@]}" add train.py
git -C "$work/models" "${as_demo[@]}" commit --quiet -m 'Fit a curve'
git -C "$work/models" push --quiet origin HEAD
git -C "$work/models" --no-pager log --oneline --stat

step 'You run it once on your own machine: the SDK records code, packages, parameters and results'
show 'python train.py --epochs 5'
(cd "$work/models" && "$python" train.py --epochs 5) | tee "$work/train.log"
template=$("$hostler" task show 'curve fitting' --json |
    "$python" -c 'import json, sys; print(json.load(sys.stdin)["id"])')

step 'A clone of it with another learning rate goes into the queue'
show 'hostler task clone "curve fitting" --name "curve fitting, faster" --set Args/learning_rate=0.1'
"$hostler" task clone "$template" --name 'curve fitting, faster' --set Args/learning_rate=0.1
show 'hostler task enqueue "curve fitting, faster"'
"$hostler" task enqueue 'curve fitting, faster'

step 'The agent takes it, builds its environment and runs it'
show 'hostler task logs -f "curve fitting, faster"'
"$hostler" task logs -f 'curve fitting, faster'

step 'The results, read back with the SDK'
clone=$("$hostler" task show 'curve fitting, faster' --json |
    "$python" -c 'import json, sys; print(json.load(sys.stdin)["id"])')
"$python" demo/compare.py "$template" "$clone"

step 'Done'
cat <<TEXT
Everything is in $work/data: the database, the files, the agent's state.
To go on with it:

    ${hostler#"$PWD"/} up --data-dir $work/data
    export CLEARML_CONFIG_FILE=$CLEARML_CONFIG_FILE
    ${hostler#"$PWD"/} task list

To be rid of it: rm -r $work
TEXT
if [ -n "${KEEP:-}" ]; then
    printf '\nServer and agent go on running until Ctrl-C. CLEARML_CONFIG_FILE=%s\n' "$CLEARML_CONFIG_FILE"
    wait "$up"
fi
