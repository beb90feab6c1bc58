#!/usr/bin/env bash
# matrix.sh [TEST-BINARY [ARGS…]]: runs a test binary (default: those of tests/podman.rs and tests/e2e, built here) on Podman
# 4.3 and 5.x, as root and as an ordinary user, two at a time. Needs root; `tests/podman-env/README.md` tells what it does to
# the machine.
# FLAVOURS="4-root 5-user" chooses some of them.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
tool=$here/podman-env/podman-env
name=matrix-$$
logs=$(mktemp -d)
read -ra flavours <<<"${FLAVOURS:-4-root 4-user 5-root 5-user}"
trap 'for f in "${flavours[@]}"; do "$tool" down "$f" "$name" >/dev/null 2>&1 || true; done; rm -rf "$logs"' EXIT

cd "$here/.."
args=()
if (($#)); then binaries=("$1") && shift && args=("$@"); else
  mapfile -t binaries < <(cargo test --features internals --test podman --test e2e --no-run --message-format json 2>/dev/null |
    sed -n 's/.*"name":"\(podman\|e2e\)".*"executable":"\([^"]*\)".*/\2/p' | sort -u)
fi
((${#binaries[@]})) || { echo "matrix.sh: the tests cannot be built" >&2; exit 1; }
for binary in "${binaries[@]}"; do
  [[ -x $binary ]] || { echo "matrix.sh: there is no test binary '$binary'" >&2; exit 1; }
done
program=${CARGO_TARGET_DIR:-$PWD/target}/tmp/program
"$here/support/program/build.sh" "$program"
"$tool" setup "${flavours[@]}"

run() {
  "$tool" up "$1" "$name" >"$logs/$1" 2>&1 || return 1
  local binary failed=0
  for binary in "${binaries[@]}"; do
    "$tool" in "$1" "$name" -- "$here/again.sh" "$binary" "${args[@]}" >>"$logs/$1" 2>&1 || failed=1
  done
  return $failed
}
failed=0
for ((i = 0; i < ${#flavours[@]}; i += 2)); do
  pids=()
  for flavour in "${flavours[@]:i:2}"; do run "$flavour" & pids+=($!); done
  for n in "${!pids[@]}"; do
    flavour=${flavours[i + n]}
    if wait "${pids[n]}"; then grep '^test result\|^passed the second time' "$logs/$flavour" | sed "s/^/$flavour: /"; else
      failed=1 && echo "$flavour: FAILED" && cat "$logs/$flavour"
    fi
  done
done
exit $failed
