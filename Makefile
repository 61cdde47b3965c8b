# OwnStream Edge. `make demo` and `make test` need nothing before them on a fresh Debian 12.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --no-print-directory

PORT ?= 8080
SOURCE ?=
BOARD ?= rpi
ARCH ?= $(if $(filter deb,$(MAKECMDGOALS)),$(shell dpkg --print-architecture),arm64)
FUZZ_RUNS ?= 1000000
FUZZ_SECONDS ?=
# Made-up input for each of the parsers that are not in protocol.
FUZZ_CASES ?= 20000

# Saves gigabytes below target/, and costs little with crates of this size.
export CARGO_INCREMENTAL ?= 0
export CROSS_CONFIG := cross.toml
# Debian's compiler or rustup's: whichever is new enough (packages.txt, tools/with-rust).
CARGO := tools/with-rust cargo

.DEFAULT_GOAL := help
.PHONY: help deps build web demo test test-rust test-web test-box check bench loss experiments fuzz cross deb yocto-crates clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile

demo: export PORT := $(PORT)
demo: export SOURCE := $(SOURCE)
demo: ## supervisor, relay and broadcaster in one terminal (SOURCE=film.webm PORT=8080)
	@tools/demo.sh --check
	@tools/deps.sh build rust wasm run
	@$(MAKE) web
	$(CARGO) build --profile demo --package supervisor --package edge-relay --package edge-broadcaster
	@tools/demo.sh

test: ## all tests, those in real browsers included
	@$(MAKE) deps
	@$(MAKE) test-rust
	@$(MAKE) test-web

test-rust: web
	$(CARGO) build --workspace --all-targets # what the end-to-end tests start; without the tests' features it would be built twice
	@# Compiled meanwhile, in what time that leaves: what comes next. If one does not compile, its turn to say so will come.
	@for next in "web.sh --whole protocol" "web.sh --example replay" "fuzz.sh --build"; do nice -n 19 tools/$$next; done >/dev/null 2>&1 & \
		tools/test-rust.sh && wait
	tools/fuzz.sh --seconds 1

test-web: web web/node_modules
	node web/tests/all.js

test-box: web web/node_modules ## packages, services under systemd, cameras, the card, and the programs for boards, each in a machine of its own (as root)
	@tools/deps.sh build rust wasm run node test box deb board image card
	$(CARGO) build --workspace --all-targets # as `make test` does, after which nothing is left to do
	@PROFILE=dev tools/deb.sh $$(dpkg --print-architecture)
	@CARGO_PROFILE_RELEASE_LTO=off tools/cross.sh arm64
	@tools/deb.sh arm64
	@OUT=target/box COMPRESS=no image/build.sh rpi
	@IMAGE=$(CURDIR)/target/box/ownstream-rpi.img testbed/box/run.sh

check: web/node_modules ## format, lints, documentation, JavaScript types, licences
	@tools/deps.sh build rust wasm node check
	@$(MAKE) web
	$(CARGO) fmt --all --check
	$(CARGO) fmt --manifest-path protocol/fuzz/Cargo.toml --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	$(CARGO) clippy --manifest-path protocol/fuzz/Cargo.toml --target-dir target -- -D warnings -A clippy::disallowed-types # libFuzzer's
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps --document-private-items
	cd web && node_modules/.bin/tsc --project .
	tools/deny.sh

build: web ## the programs, optimised, into target/release
	$(CARGO) build --release --package supervisor --package edge-relay --package edge-broadcaster

cross: web ## the programs for a board, into target/cross/ARCH/release (ARCH=arm64, armhf)
	@tools/deps.sh build rust box
	@tools/cross.sh $(ARCH)

deb: ## Debian packages of the services, into target/deb (ARCH=amd64, arm64)
	@tools/deps.sh build rust wasm deb
	@if [ $(ARCH) = $$(dpkg --print-architecture) ]; then $(MAKE) build; else $(MAKE) cross ARCH=$(ARCH); fi
	@tools/deb.sh $(ARCH)

yocto-crates: ## refresh what the Yocto recipe downloads, after Cargo.lock has changed
	@tools/yocto-crates.sh

web: ## the browser's half of the protocol, into web/pkg
	@tools/deps.sh build rust wasm
	@tools/web.sh

deps: ## install the Debian packages that are missing
	@tools/deps.sh build rust wasm run node test

bench: ## what it costs, how well it plays, what attackers achieve (quiet machine; 40 minutes)
	@tools/deps.sh build rust wasm run node test bench figures
	@$(MAKE) build web/node_modules
	$(CARGO) build --release --package testbed
	$(CARGO) build --release --package peer --example fanout
	$(CARGO) build --release --package edge-broadcaster --example encoding
	target/release/measure relay-cost
	target/release/measure engine
	target/release/measure setup
	target/release/measure churn
	target/release/measure monitor
	target/release/measure security --picture docs/security-cost.svg
	target/release/measure timing
	target/release/measure encoder
	target/release/measure day
	target/release/measure attacks
	target/release/measure siege
	tools/web.sh --example check_cost
	[ -f target/film.webm ] || testbed/make-film.sh target/film.webm 70
	PROFILE=release node web/bench/figures.js 60 target/film.webm
	node web/bench/monitor.js
	PROFILE=release node web/bench/killed.js
	PROFILE=release node web/bench/mixed.js

# Two bad networks, each way: 1 % loss and 40 ms there and back; 3 %, 120 ms, and 20 ms of jitter.
BAD_NETWORKS := "delay 20ms loss 1%" "delay 60ms 10ms loss 3%"

loss: ## how late chunks come, and who stalls, where 1 % and 3 % of the packets are lost (50 minutes)
	@tools/deps.sh build rust wasm run node network
	@$(MAKE) build
	$(CARGO) build --release --package testbed
	tools/bad-network.sh "delay 20ms loss 1%" target/release/measure loss --runs 16 --seconds 40
	tools/bad-network.sh "delay 20ms loss 1%" target/release/measure loss --depth 4 --seconds 300
	tools/bad-network.sh "delay 60ms 10ms loss 3%" target/release/measure loss --runs 3
	@# The paper's experiment there, smaller: one viewer of six leaves each five seconds.
	for network in $(BAD_NETWORKS); do \
		for how in "--lanes 1 --ordered" "--lanes 1" "--lanes 2 --ordered" "--lanes 2" "--ordered" ""; do \
			echo "$$network $$how"; \
			tools/bad-network.sh "$$network" target/release/testbed live --viewers 6 --rate 0.2 --source-kbps 3000 $$how; \
		done; \
	done

experiments: ## the paper's experiments beside its system (hours, may be interrupted; QUICK=1: five minutes)
	@tools/deps.sh build rust wasm run figures
	@$(MAKE) build
	$(CARGO) build --release --package testbed
	target/release/testbed experiments $(if $(QUICK),--quick --data target/quick --figures target/quick/figures)

fuzz: ## every parser: a million inputs each (FUZZ_RUNS=…), or so many seconds (FUZZ_SECONDS=60); 20 000 for those with sockets and files
	@tools/deps.sh build rust fuzz
	tools/fuzz.sh $(if $(FUZZ_SECONDS),--seconds $(FUZZ_SECONDS),--runs $(FUZZ_RUNS))
	@tools/deps.sh wasm run test
	@$(MAKE) web
	PROPTEST_CASES=$(FUZZ_CASES) tools/test-rust.sh whatever

clean: ## remove everything that was built
	rm -rf --one-file-system target web/pkg web/node_modules

web/node_modules: web/package-lock.json
	@tools/deps.sh node
	cd web && npm ci --ignore-scripts
	@touch web/node_modules

test-cameras: web web/node_modules ## the broadcaster on real device nodes, in an emulated board (ten minutes; part of test-box)
	@tools/deps.sh build rust run box board
	@testbed/box/test-cameras.sh

image: ## the image of an SD card, into target/image (for root; else make deb ARCH=arm64, sudo image/build.sh rpi)
	@[ $$(id -u) -eq 0 ] && [ "$${SUDO_UID:-0}" = 0 ] || { \
		echo "image: what root builds here would be in your way. As yourself: make deb ARCH=arm64; then: sudo image/build.sh $(BOARD)" >&2; exit 1; }
	@$(MAKE) deb ARCH=arm64
	@image/build.sh $(BOARD)

test-card: web web/node_modules ## that image in an emulated Raspberry Pi 3, played in a browser, its plug pulled three times
	@tools/deps.sh build rust wasm run node test card
	@$(MAKE) target/image/ownstream-$(BOARD).img
	$(CARGO) build --workspace --all-targets # as `make test` does
	@testbed/box/test-card.sh

soak: ## the same, its plug pulled twenty times (PULLS=…)
	@$(MAKE) test-card PULLS=$(or $(PULLS),20)

target/image/ownstream-rpi.img: # made if there is none; `make image` makes it anew
	@$(MAKE) image BOARD=rpi

.PHONY: image test-cameras test-card soak
