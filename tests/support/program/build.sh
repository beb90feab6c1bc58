#!/bin/sh
# build.sh OUT: builds the tests' program, static, if it is not there or older than its source.
set -eu
folder=$(dirname "$0")
source=$folder/main.rs
if [ -x "$1" ] && [ -z "$(find "$folder" -name '*.rs' -newer "$1")" ]; then exit 0; fi
mkdir -p "$(dirname "$1")"
rustc --edition 2024 -O -C panic=abort -C strip=symbols -C target-feature=+crt-static --crate-name wl_test_program -o "$1.new.$$" "$source"
mv "$1.new.$$" "$1"
