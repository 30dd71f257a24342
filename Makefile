# What a person types. `make help` lists it.
.DEFAULT_GOAL := help
SHELL := /bin/bash

TARGET := $(or $(CARGO_TARGET_DIR),$(CURDIR)/target)

.PHONY: help
help: ## Show this list.
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: ## Build the program for development: target/debug/hostler.
	cargo build --bin hostler

.PHONY: init
init: ## Build the init of containers alone, as the program carries it, and see that it is linked statically.
	@target=$$(rustc -vV | sed -n 's/^host: //p'); \
	flags=CARGO_TARGET_$$(tr a-z- A-Z_ <<<$$target)_RUSTFLAGS; \
	env -u RUSTFLAGS "$$flags=-C target-feature=+crt-static" cargo build --locked --package hostler-init --profile init \
		--target "$$target" --target-dir "$(TARGET)/hostler-init"; \
	program=$(TARGET)/hostler-init/$$target/init/hostler-init; \
	if readelf --program-headers "$$program" | grep INTERP; then echo "init: $$program needs a loader" >&2; exit 1; fi; \
	ls -l "$$program"

.PHONY: demo
demo: ## See a real ClearML task go from enqueue to its result. KEEP=1 leaves the server and the agent running.
	@demo/run.sh

.PHONY: test
test: ## Run every test that this machine can run.
	@scripts/test

.PHONY: soak-sdk
soak-sdk: ## Run SDK pipelines and a hyperparameter search ten times each; fails when one of them stands still.
	@scripts/soak-sdk

.PHONY: sdk-examples
sdk-examples: ## Run the SDK's own examples; SDK=PATH is a checkout of its repository.
	@scripts/sdk-examples "$(SDK)"

.PHONY: fuzz
fuzz: ## Send hostile requests to the server, and hostile arguments to the parser: make fuzz SECONDS=600. SEED=n repeats a run.
	HOSTLER_FUZZ_SECONDS=$(or $(SECONDS),300) HOSTLER_FUZZ_SEED=$(SEED) \
	cargo test --release -p hostler-server --test hostile -- --ignored --exact fuzz --nocapture
	HOSTLER_FUZZ_SECONDS=$(or $(SECONDS),300) HOSTLER_FUZZ_SEED=$(SEED) \
	cargo test --release -p hostler-protocols --test container -- --ignored --exact properties::fuzz --nocapture

.PHONY: check
check: ## Format, lints, documentation: what must be clean before a commit.
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps --document-private-items --quiet
	@if command -v cargo-deny >/dev/null; then cargo deny --all-features check; \
	else echo 'check: cargo-deny is not installed: licences and advisories were not looked at'; fi

.PHONY: bench
bench: ## Measure enqueue to first line of user code, against the stock clearml-agent.
	@benches/run.sh

.PHONY: bench-environments
bench-environments: ## Measure launches cold, warm and with changed code, beside uv alone and the stock clearml-agent.
	@benches/environments.sh

.PHONY: bench-containers
bench-containers: ## Measure tasks in containers that are warm, beside plain docker run and the stock clearml-agent.
	@benches/containers.sh

.PHONY: bench-scheduling
bench-scheduling: ## Measure who gets which GPUs: the cost of a decision, utilisation and waits beside other rules.
	@benches/scheduling.sh

.PHONY: bench-server
bench-server: ## Measure the server beside the limit of its store: pairs, events, lists, curves, long-polls.
	@benches/server.sh
