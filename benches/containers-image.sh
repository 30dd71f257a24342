#!/usr/bin/env bash
# Images for benches/containers.py, in the Docker Engine of DOCKER_HOST: hostler-bench/
#   stock         Debian with Python, pip, venv, git and apt, and nothing of any agent: what people start from
#   stock-ready   that with all which the stock agent installs into a container, itself among it
# Made once for a version of the stock agent, with debootstrap, as root. Registries are reached as on this machine.
set -euo pipefail
cd "$(dirname "$0")/.."
agent=$(sed -n 's/^\(clearml-agent==.*\)/\1/p' benches/requirements.txt)
key="$(cksum <"$0") $agent"
if [ "$(docker image inspect --format '{{index .Config.Labels "key"}}' hostler-bench/stock-ready 2>/dev/null)" = "$key" ] &&
    docker image inspect hostler-bench/stock >/dev/null 2>&1; then
    exit 0
fi

say() { printf 'containers: %s\n' "$*" >&2; }
[ "$(id -u)" = 0 ] || { say 'the images of this measurement are made by root: debootstrap needs it'; exit 1; }
command -v debootstrap >/dev/null || apt-get install -y -qq --no-install-recommends debootstrap >&2
say 'making the images of this measurement (once)'
work=$(mktemp -d)
trap 'docker rm --force hostler-bench-making >/dev/null 2>&1 || true; rm -rf "$work"' EXIT
. /etc/os-release
mirror=$(apt-get indextargets --format '$(RELEASE) $(REPO_URI)' 'Created-By: Packages' |
    sed -n "s/^$VERSION_CODENAME //p" | head -n 1)
debootstrap --variant=minbase --include=ca-certificates,git,python3,python3-pip,python3-venv \
    "$VERSION_CODENAME" "$work/root" ${mirror:+"$mirror"} >"$work/log" 2>&1 || { tail -n 5 "$work/log" >&2; exit 1; }
rm -rf "$work"/root/var/cache/apt/archives/*.deb "$work"/root/var/lib/apt/lists/*
# Whom this machine trusts, and what it tells pip.
cp /etc/ssl/certs/ca-certificates.crt "$work/root/etc/ssl/certs/"
told=()
for name in PIP_CERT SSL_CERT_FILE REQUESTS_CA_BUNDLE PIP_INDEX_URL HTTP_PROXY HTTPS_PROXY NO_PROXY http_proxy https_proxy no_proxy; do
    [ -z "${!name:-}" ] || told+=(--change "ENV $name=${!name}")
done
tar -C "$work/root" --numeric-owner -c . | docker import "${told[@]}" --change 'CMD ["/bin/bash"]' \
    --change 'ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' - hostler-bench/stock >/dev/null
docker run --name hostler-bench-making --network host hostler-bench/stock bash -ec "
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    apt-get install -y -qq libsm6 libxext6 libxrender-dev libglib2.0-0
    rm -f /usr/lib/python3.*/EXTERNALLY-MANAGED
    python3 -m pip install --quiet '$agent'" >"$work/log" 2>&1 || { tail -n 5 "$work/log" >&2; exit 1; }
# LOCAL_PYTHON: the interpreter that the stock agent uses where it is told to install nothing.
docker commit --change 'ENV LOCAL_PYTHON=python3' --change "LABEL key=\"$key\"" hostler-bench-making \
    hostler-bench/stock-ready >/dev/null
