#!/usr/bin/env bash
# run.sh [ROW…] [--rounds N] [--idle SECONDS] [--small]: builds the bench and runs it on real Podman, one flavour after the other.
# FLAVOURS="4-root 5-user" chooses them (default: 4-root); `tests/podman-env/README.md` tells what they do to the machine. FLAVOURS=here,
# the default where this is not root on Debian, measures the Podman that is installed.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cd "$here/.."
tool=$PWD/tests/podman-env/podman-env
name=bench-$$

default=here
if [[ $(id -u) == 0 ]] && command -v apt-get >/dev/null; then default=4-root; fi
read -ra flavours <<<"${FLAVOURS:-$default}"

bench=${WL_BENCH:-}
if [[ -z $bench ]]; then
  bench=$(cargo bench --locked --features internals --bench wl --no-run --message-format json |
    sed -n 's/.*"name":"wl".*"executable":"\([^"]*wl-[^"]*\)".*/\1/p' | tail -n 1)
fi
[[ -x $bench ]] || { echo "run.sh: the bench cannot be built" >&2; exit 1; }
program=${CARGO_TARGET_DIR:-$PWD/target}/tmp/program
tests/support/program/build.sh "$program"

for flavour in "${flavours[@]}"; do
  echo "### $flavour"
  if [[ $flavour == here ]]; then
    "$bench" "$@"
    continue
  fi
  "$tool" setup "$flavour"
  trap '"$tool" down "$flavour" "$name" >/dev/null 2>&1 || true' EXIT
  # What Podman does behind an exec, five minutes later, is to be seen while the bench runs.
  "$tool" up "$flavour" "$name" --exec-delay 2 >/dev/null
  WL_BENCH_OWN_CGROUP=1 "$tool" in "$flavour" "$name" -- "$bench" "$@"
  "$tool" down "$flavour" "$name" >/dev/null
done
