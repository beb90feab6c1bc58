#!/usr/bin/env bash
# again.sh COMMAND…: runs a test command (`cargo test …`, or one test binary). A test on real Podman that fails runs once
# more, alone, since a machine with too much to do can make it wait in vain; both runs are shown, and the last lines name
# each test that needed the second one. Tests that do not ask Podman get no second run.
set -uo pipefail
export CARGO_TERM_COLOR=never
real='^(e2e|podman|kubelet)-[0-9a-f]+$'
log=$(mktemp)
trap 'rm -f "$log"' EXIT

"$@" 2>&1 | tee "$log"
status=${PIPESTATUS[0]}
((status)) || exit 0
# A binary that broke down, or does not build, is no failed test.
((status == 101)) && ! grep -q '(signal: ' "$log" || exit "$status"

first=${1:-}
mapfile -t failed < <(awk -v binary="$first" '
  /^ +Running / { binary = $NF; gsub(/[()]/, "", binary) }
  /^test .* \.\.\. FAILED$/ { print binary "\t" $2 }' "$log")
((${#failed[@]})) || exit "$status"

again=()
for entry in "${failed[@]}"; do
  binary=${entry%%$'\t'*} name=${entry#*$'\t'}
  [[ $(basename "$binary") =~ $real ]] || exit "$status"
  echo "once more, alone: $name"
  "$binary" --exact "$name" --test-threads 1 || exit "$status"
  again+=("$name")
done
printf 'passed the second time only: %s\n' "${again[@]}"
