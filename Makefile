# Every target sets up what it needs; a second run, or a second clone, fetches nothing again.
.DEFAULT_GOAL := help
.PHONY: help setup model demo test bench lint

# Texts are read from here if they are here, else from the Hub.
ifneq ($(wildcard ../shared/data),)
export PRUNEBENCH_DATA ?= $(abspath ../shared/data)
endif

# cargo always builds against the link that setup makes, so it must not see a change of this variable.
unexport LIBTORCH

help: ## show this list
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 16

setup: ## link libtorch into the checkout, fetching it once per user (LIBTORCH=<folder> uses yours)
	@LIBTORCH='$(LIBTORCH)' harness/setup/libtorch.sh

model: setup ## fetch SmolLM2-135M into the user's cache
	cargo run --quiet -- fetch smollm2-135m

demo: setup ## compare compression methods on SmolLM2-135M and print the table (about five minutes)
	cargo run -- run harness/experiments/quick.toml

test: model ## run every test
	cargo test --workspace $(TESTFLAGS)

bench: model ## run the criterion benches on the one build profile
	cargo bench --workspace --benches --profile dev

lint: setup ## formatting and clippy, as CI runs them
	cargo fmt --all --check
	rustfmt --edition 2024 --check methods/src/*/mod.rs # behind the registry's macro, where cargo fmt does not look
	cargo clippy --workspace --all-targets -- -D warnings
