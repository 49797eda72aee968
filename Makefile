# The front door. Every target does its own set-up on a bare Debian machine with Rust and access to package registries.
# The work is in scripts/, where it can be read, checked and called by itself.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help demo test check simulate mutants kill-campaign fuzz bench-push bench-mirror bench-serve bench-webinars screenshots test-sdk test-api

# Passed on to the test runner: make test ARGS="-E 'test(cursor)'"
ARGS ?=

# How much: make simulate SEEDS=100000; make kill-campaign CYCLES=1500; make fuzz ITERATIONS=1000000
SEEDS ?= 20000
FIRST ?= 1
CYCLES ?= 300
ITERATIONS ?= 100000
# One world with its timeline, one order of kills, one course of fuzzing: make simulate SEED=17
SEED ?=

# How the server of bench-mirror is set, for both sides alike: room for one table, and no checkpoint in the middle.
MIRROR_SERVER ?= shared_buffers=512MB max_wal_size=8GB checkpoint_timeout=1h maintenance_work_mem=256MB autovacuum=off

help: ## this list
	@echo "Syncline: keeps records in one system in agreement with records in another."
	@echo
	@sed -nE 's/^([a-z-]+):.*## (.*)/  make \1\t\2/p' Makefile | expand -t 22

demo: ## push 10,000 records to a simulated SharePoint, break things, repair them; no network needed after the build
	@scripts/setup cc
	cargo build --release --package syncline-cli --bin syncline
	@exec "$${CARGO_TARGET_DIR:-target}/release/syncline" demo

test: ## run every test beside a throwaway PostgreSQL and MariaDB; ARGS="..." goes to the test runner
	@scripts/setup cc postgres mariadb odbc chromium nextest
	@scripts/with-postgres scripts/with-mariadb scripts/test $(ARGS)

check: ## formatting, lints, documentation, and the rules of the repository
	@scripts/setup cc lints
	@scripts/check

simulate: ## whole runs of the real engine in SEEDS seeded worlds; SEED=x shows the timeline of one (docs/testing.md)
	@scripts/setup cc
	@cargo build --quiet --release --package syncline-simulate
	@exec "$${CARGO_TARGET_DIR:-target}/release/simulate" $(if $(SEED),seed $(SEED),run $(SEEDS) $(FIRST))

mutants: ## build faults into the engine by hand, one at a time, and show which seed of the simulation finds each
	@scripts/setup cc
	@cargo build --quiet --release --package syncline-simulate --features mutants
	@exec "$${CARGO_TARGET_DIR:-target}/release/simulate" mutants $(SEEDS)

fuzz: ## feed the parsers with damaged input for longer; ITERATIONS=n for each, SEED=x (docs/fuzzing.md)
	@scripts/setup cc
	SYNCLINE_FUZZ=$(ITERATIONS) SYNCLINE_FUZZ_SEED=$(or $(SEED),20260131) cargo test --no-fail-fast --lib --tests \
	  --package syncline-core --package syncline-spec --package syncline-connect fuzz:: -- --nocapture

bench-push: ## measure the push from PostgreSQL to the simulator; writes target/bench/push.json
	@scripts/setup cc postgres
	@scripts/with-postgres cargo bench --package syncline-cli --bench push

bench-mirror: ## measure copies between databases beside their raw limits; BENCH_ROWS=n, PEERS=... (docs/benchmarks.md)
	@scripts/setup cc postgres mariadb
	@SYNCLINE_POSTGRES_SETTINGS="$(MIRROR_SERVER)" scripts/with-postgres \
	  scripts/with-mariadb cargo bench --package syncline-cli --bench mirror

bench-serve: ## measure the service: idle, burst, killed nodes, the API; BENCH_ONLY=idle,burst,cluster,api
	@scripts/setup cc postgres
	@scripts/with-postgres cargo bench --package syncline-cli --bench serve

bench-webinars: ## measure a page of a webinar: fetch, load, metrics; 200 users at once; PROFILE=dev for a quick look
	@scripts/setup cc postgres
	@scripts/with-postgres cargo bench --package syncline-cli --bench webinars $(if $(PROFILE),--profile $(PROFILE))

kill-campaign: ## CYCLES=n crashes, errors, delays and kills, then count what is lost or doubled; SEED=x repeats their order
	@scripts/setup cc
	@CYCLES="$(CYCLES)" SEED="$(SEED)" cargo bench --quiet --workspace --profile dev --bench kill_campaign

screenshots: ## pictures of every page of the web UI, in light and dark, into docs/screens
	@scripts/setup cc chromium nextest pngquant
	@mkdir -p docs/screens
	@SYNCLINE_SCREENS="$(CURDIR)/docs/screens" scripts/test -E 'test(=browser::pages::every_page_is_for_everybody)'
	@pngquant --force --ext .png --skip-if-larger 64 docs/screens/*.png
	@du -sh docs/screens

test-sdk: ## drive the simulator with Microsoft's own Python client (a large download)
	@scripts/setup cc python
	@scripts/test-sdk

test-api: ## send REQUESTS (10,000) requests made from docs/openapi.json by schemathesis to `syncline serve`; needs Python
	@scripts/setup cc
	@REQUESTS=$(or $(REQUESTS),10000) SEED=$(SEED) scripts/test-api
