#!/usr/bin/env bash
# Shows wl's main job on real Podman: apply, plan, roll, undo, delete. Keeps everything in a folder of its own,
# cleans up after itself, and touches nothing that it did not make.
# usage: examples/demo.sh [path to wl]
set -euo pipefail
wl=$(readlink -f "${1:-target/release/wl}")
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d "${TMPDIR:-/tmp}/wl-demo.XXXXXX")
export WL_STATE_DIR="$work/state"
made=()

podman_() { if [ -n "${CONTAINER_HOST:-}" ]; then podman --remote "$@"; else podman "$@"; fi; }
say() { printf '\n\033[1m# %s\033[0m\n' "$*"; }
run() { printf '\033[2m$ wl %s\033[0m\n' "$*"; "$wl" "$@"; }

cleanup() {
  status=$?
  trap - EXIT INT TERM
  if [ -d "$WL_STATE_DIR" ]; then
    "$wl" reset --yes --now --volumes >/dev/null || status=1
  fi
  for image in ${made[@]+"${made[@]}"}; do podman_ rmi -f "$image" >/dev/null 2>&1 || true; done
  rm -rf "$work"
  exit "$status"
}
trap cleanup EXIT INT TERM

# Public images where a registry answers; where none does, a busybox of this machine under the same names.
image_from_here() {
  local root="$work/rootfs" applet
  mkdir -p "$root/bin" "$root/tmp" "$root/etc" "$root/www"
  cp "$(command -v busybox.static || command -v busybox)" "$root/bin/busybox"
  for applet in $("$root/bin/busybox" --list); do
    [ "$applet" = busybox ] || ln -sf busybox "$root/bin/$applet"
  done
  echo 'root:x:0:0:root:/:/bin/sh' >"$root/etc/passwd"
  tar -C "$root" -c . | podman_ import -q --change 'ENV PATH=/bin' - "$1" >/dev/null
  made+=("$1")
}
for tag in 1.36 1.37; do
  image=docker.io/library/busybox:$tag
  podman_ image exists "$image" && continue
  if timeout 20 podman_ pull -q "$image" >/dev/null 2>&1; then
    made+=("$image")
  else
    echo "No registry answers: $image is made from this machine's busybox."
    image_from_here "$image"
  fi
done

cp "$here/quickstart/web.yaml" "$work/web.yaml"

say "Can this machine run pods?"
run doctor || true
say "What would be made?"
run plan -f "$work/web.yaml" || [ $? -eq 2 ]
say "Make it, and wait until it is available"
run apply -f "$work/web.yaml"
run get deploy,rs,pods
say "Once more: nothing to do"
run apply -f "$work/web.yaml"
say "Another image: what would happen?"
sed -i 's/busybox:1.36/busybox:1.37/' "$work/web.yaml"
run plan -f "$work/web.yaml" || [ $? -eq 2 ]
say "Roll it out; no fewer ready pods than promised at any moment"
run apply -f "$work/web.yaml"
run get deploy,rs,pods
run rollout history deployment/web
say "Back to the revision before"
run rollout undo deployment/web
run rollout status deployment/web
say "Take everything away"
run delete -f "$work/web.yaml" --cascade=foreground
run get deploy,rs,pods
say "Done. Everything that this demo made is gone."
