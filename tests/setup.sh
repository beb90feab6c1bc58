#!/usr/bin/env bash
# Installs what is missing for the demo or the tests, by the system's package manager, saying so first.
# usage: tests/setup.sh demo|test
set -euo pipefail
want=${1:-test}
# An ordinary user's path may lack the folders of the system's tools.
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin

missing=()
have() { command -v "$1" >/dev/null 2>&1; }
have podman || missing+=(podman)
if have apt-get; then
  have crun || have runc || missing+=(crun)
  [ -e /usr/lib/podman/netavark ] || [ -e /usr/libexec/podman/netavark ] || missing+=(netavark)
  [ -e /usr/bin/catatonit ] || [ -e /usr/libexec/podman/catatonit ] || missing+=(catatonit)
  have iptables || missing+=(iptables)
  have nft || missing+=(nftables)
  have newuidmap || missing+=(uidmap)
  have slirp4netns || have pasta || missing+=(slirp4netns)
fi
# The images of demo and tests are made on the spot from a static busybox where no registry answers.
busybox_is_static() { [ -x /bin/busybox ] && ! ldd /bin/busybox >/dev/null 2>&1; }
busybox_is_static || missing+=(busybox-static)
have cc || missing+=(gcc)
[ ${#missing[@]} -gt 0 ] || exit 0

echo "wl's $want needs: ${missing[*]}"
run=()
if [ "$(id -u)" != 0 ]; then
  if have sudo && sudo -n true 2>/dev/null; then run=(sudo -n); else
    echo "Install them as root, then run this again, for example:" >&2
    echo "  apt-get install -y ${missing[*]}      (Debian, Ubuntu)" >&2
    echo "  dnf install -y podman busybox gcc     (Fedora)" >&2
    exit 1
  fi
fi
if have apt-get; then
  echo "Installing them with apt-get."
  "${run[@]}" apt-get update -qq
  "${run[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
elif have dnf; then
  echo "Installing them with dnf."
  "${run[@]}" dnf install -y -q podman busybox gcc
elif have zypper; then
  echo "Installing them with zypper."
  "${run[@]}" zypper --non-interactive --quiet install podman busybox-static gcc
elif have pacman; then
  echo "Installing them with pacman."
  "${run[@]}" pacman -S --noconfirm --needed podman busybox gcc
elif have apk; then
  echo "Installing them with apk."
  "${run[@]}" apk add --quiet podman busybox-static gcc musl-dev
else
  echo "No package manager that is known here; install them by hand." >&2
  exit 1
fi
