#!/usr/bin/env bash
# matrix.sh [TEST-BINARY [ARGS…]]: runs a test binary (default: the one of tests/podman.rs, built here) on Podman 4.3 and
# 5.x, as root and as an ordinary user, two at a time. Needs root; `tests/podman-env/README.md` tells what it does to the machine.
# FLAVOURS="4-root 5-user" chooses some of them.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
tool=$here/podman-env/podman-env
name=matrix-$$
logs=$(mktemp -d)
read -ra flavours <<<"${FLAVOURS:-4-root 4-user 5-root 5-user}"
trap 'for f in "${flavours[@]}"; do "$tool" down "$f" "$name" >/dev/null 2>&1 || true; done; rm -rf "$logs"' EXIT

cd "$here/.."
if (($#)); then binary=$1 && shift; else
  binary=$(cargo test --features internals --test podman --no-run --message-format json 2>/dev/null |
    sed -n 's/.*"name":"podman".*"executable":"\([^"]*\)".*/\1/p' | tail -n 1)
fi
[[ -x $binary ]] || { echo "matrix.sh: there is no test binary '$binary'" >&2; exit 1; }
program=${CARGO_TARGET_DIR:-$PWD/target}/tmp/program
"$here/support/program/build.sh" "$program"
"$tool" setup "${flavours[@]}"

run() {
  "$tool" up "$1" "$name" >"$logs/$1" 2>&1 && "$tool" in "$1" "$name" -- "$binary" "${@:2}" >>"$logs/$1" 2>&1
}
failed=0
for ((i = 0; i < ${#flavours[@]}; i += 2)); do
  pids=()
  for flavour in "${flavours[@]:i:2}"; do run "$flavour" "$@" & pids+=($!); done
  for n in "${!pids[@]}"; do
    flavour=${flavours[i + n]}
    if wait "${pids[n]}"; then echo "$flavour: $(grep '^test result' "$logs/$flavour" | tail -n 1)"; else
      failed=1 && echo "$flavour: FAILED" && cat "$logs/$flavour"
    fi
  done
done
exit $failed
