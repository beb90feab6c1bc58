# The commands of this project. `make demo` and `make test` install what they need, saying so first.

CARGO ?= cargo
export CARGO_TERM_COLOR ?= auto
FUZZ_SECONDS ?= 60
FILES ?= src/controllers/**
TARGET := $(or $(CARGO_TARGET_DIR),target)

.PHONY: help build demo test check fmt clippy doc deny test-matrix replay soak static fuzz mutants bench setup setup-demo clean

help: ## What there is
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

rust: # Rust is the one thing that is not installed for you.
	@command -v $(CARGO) >/dev/null 2>&1 || { \
	  echo "Rust is missing. Install it with your system's package manager or from https://rustup.rs," >&2; \
	  echo "then run this again; rust-toolchain.toml names the version." >&2; exit 1; }

build: rust ## target/release/wl
	$(CARGO) build --release --locked

demo: setup-demo build ## The main job on real Podman, with everything cleaned up afterwards
	bash examples/demo.sh $(TARGET)/release/wl

setup-demo:
	bash tests/setup.sh demo

setup: ## Installs what the tests need (Podman and a static busybox), saying so first
	bash tests/setup.sh test

test: rust setup ## All tests, those on real Podman included
	WL_FUZZ_SECONDS=$${WL_FUZZ_SECONDS:-2} bash tests/again.sh $(CARGO) test --no-fail-fast --locked --features internals

check: rust fmt clippy doc deny test ## What CI runs

fmt:
	$(CARGO) fmt --check

clippy:
	$(CARGO) clippy --locked --features internals --all-targets -- -D warnings
	$(CARGO) clippy --locked -- -D warnings # what is built for use: nothing in it that nothing reaches

doc:
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --no-deps --features internals --document-private-items

deny: # Advisories, licences and sources, where cargo-deny is installed.
	@if command -v cargo-deny >/dev/null 2>&1; then cargo deny --locked check licenses bans sources; \
	else echo "cargo-deny is not installed: licences and sources are not checked"; fi

test-matrix: rust ## The tests on real Podman: 4.3 and 5.x, rootful and rootless (needs root and Debian)
	bash tests/matrix.sh

replay: rust ## All recorded kubelet scenarios on 4.3 and 5.x, rootful and rootless (needs root and Debian; about an hour)
	@binary=$$($(CARGO) test --locked --features internals --test kubelet --no-run --message-format json 2>/dev/null | \
	  sed -n 's/.*"name":"kubelet".*"executable":"\([^"]*\)".*/\1/p'); WL_REPLAY_ALL=1 bash tests/matrix.sh "$$binary"

soak: rust ## Half an hour of bad luck on the installed Podman (WL_SOAK_SECONDS=N for another time)
	WL_SOAK_SECONDS=$${WL_SOAK_SECONDS:-1800} $(CARGO) test --locked --features internals --test e2e -- soak --nocapture

# Static, with what only a backtrace needs left out, functions that are equal kept once, and of SQLite what the store uses.
STATIC_RUST := -C target-feature=+crt-static -C force-unwind-tables=no -C link-arg=-Wl,--icf=all,-z,pack-relative-relocs,-T,static.ld
STATIC_SQLITE := -USQLITE_ENABLE_FTS3 -USQLITE_ENABLE_FTS3_PARENTHESIS -USQLITE_ENABLE_FTS5 -USQLITE_ENABLE_RTREE -USQLITE_ENABLE_STAT4 \
  -USQLITE_ENABLE_DBSTAT_VTAB -USQLITE_ENABLE_LOAD_EXTENSION -DSQLITE_OMIT_LOAD_EXTENSION -DSQLITE_OMIT_JSON

static: rust ## One static binary that runs on any Linux
	HOST=$$(rustc -vV | sed -n 's/^host: //p'); \
	RUSTFLAGS="$(STATIC_RUST)" LIBSQLITE3_FLAGS="$(STATIC_SQLITE)" \
	  $(CARGO) build --profile static --locked --target $$HOST && ls -l $(TARGET)/$$HOST/static/wl

bench: rust ## Measures wl beside its peers on real Podman (FLAVOURS="4-root 5-user …", ROWS="fifty plan …")
	bash benches/run.sh $(ROWS)

mutants: rust ## Which mutants of FILES no test notices (cargo-mutants needed; an hour for all of src/controllers)
	@command -v cargo-mutants >/dev/null 2>&1 || { echo "cargo-mutants is missing: cargo install --locked cargo-mutants" >&2; exit 1; }
	$(CARGO) run --release --manifest-path mutants/Cargo.toml --target-dir $(TARGET)/mutants-tool -- '$(FILES)' $(TARGET)/mutants.txt

fuzz: rust ## Mutated input for FUZZ_SECONDS; coverage-guided where nightly Rust and cargo-fuzz are installed
	@if cargo fuzz --version >/dev/null 2>&1 && cargo +nightly --version >/dev/null 2>&1; then \
	  for target in $$(cargo +nightly fuzz list); do \
	    cargo +nightly fuzz run $$target -- -max_total_time=$(FUZZ_SECONDS) || exit 1; done; \
	else WL_FUZZ_SECONDS=$(FUZZ_SECONDS) $(CARGO) test --locked --features internals --test fuzz; fi

clean:
	$(CARGO) clean
