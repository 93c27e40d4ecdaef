# `make demo` takes a fresh clone to a command run in a microVM; `make test` proves the rest. `make help` lists all.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --no-builtin-rules --no-print-directory
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

# Some build sandboxes run without HOME; Go and pip keep their caches there.
export HOME ?= $(shell getent passwd "$$(id -u)" | cut -d: -f6)

BIN := .venv/bin
GO := env CGO_ENABLED=0 GOTOOLCHAIN=local GOPROXY=off GOFLAGS=-mod=mod $(CURDIR)/$(BIN)/go
COMPILE := uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header

# What setup has done is remembered by these files; it is done again when what it was made from is newer.
TOOLS := .venv/.tools-installed
PROJECT := .venv/.project-installed
BUNDLE := src/pyro_mcp/runtime_bundle/linux-x86_64/manifest.json
GUEST_SOURCES := $(shell find guest -type f)

QUICK_TESTS := tests/unit tests/contract tests/style

.PHONY: help setup host demo test test-rootless test-fault test-lab check check-python check-types check-imports check-guest \
        check-quick-tests test-guest bench bench-long dist-check runtime-materialize requirements clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-20s %s\n", $$1, $$2 }' Makefile

setup: $(BUNDLE) ## host packages, .venv, pyro itself; does nothing when nothing has changed

demo: setup ## pull debian:12 and run a command in a microVM of it
	@$(BIN)/pyro env pull debian:12
	@$(BIN)/pyro demo

test: setup test-guest ## the guest binary's own tests, unit, contract, style, and those that boot microVMs
	$(BIN)/pytest tests -m 'not fault and not rootless'

test-rootless: setup ## the guest tests again, as a fresh ordinary user (needs root to make one)
	$(BIN)/pytest -s tests -m rootless

test-fault: setup ## what happens when things are killed, full or damaged at many points; takes minutes
	$(BIN)/pytest tests -m fault

test-lab: setup ## real Firecracker in a machine made of software in which KVM works; up to 15 minutes
	$(BIN)/pytest tests/lab/test_lab.py

check: check-python check-types check-imports check-guest check-quick-tests ## what a commit must pass, within a minute

bench: setup ## measure what docs promise about speed, next to the floor of this machine
	$(BIN)/python scripts/bench.py

bench-long: setup ## the same with a thousand restores and boots under load; half an hour
	$(BIN)/python scripts/bench.py --long

dist-check: setup ## build sdist and wheel, install the wheel somewhere else, run it
	@scripts/dist-check.sh

runtime-materialize: $(TOOLS) ## compile the guest binary into the runtime bundle
	$(BIN)/python hatch_build.py

requirements: ## resolve requirements/*.txt anew (needs uv)
	$(COMPILE) --upgrade pyproject.toml -o requirements/runtime.txt
	$(COMPILE) --upgrade --constraints requirements/runtime.txt pyproject.toml requirements/dev.in -o requirements/dev.txt

clean: ## remove everything that was made here, .venv included
	rm -rf .venv build dist src/pyro_mcp/runtime_bundle
	rm -rf .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find src tests -name __pycache__ -prune -exec rm -rf {} +

# Parts of `check`. The pre-commit hooks call them one by one.
check-python: $(TOOLS)
	$(BIN)/ruff check
	$(BIN)/ruff format --check

check-types: $(TOOLS)
	$(BIN)/mypy

check-imports: $(PROJECT)
	$(BIN)/lint-imports

check-guest: $(TOOLS)
	@unformatted=$$("$$($(GO) env GOROOT)/bin/gofmt" -l guest); \
	    [ -z "$$unformatted" ] || { printf '[error] gofmt would change:\n%s\n' "$$unformatted" >&2; exit 1; }
	cd guest && $(GO) vet ./...

check-quick-tests: $(BUNDLE)
	$(BIN)/pytest -q $(QUICK_TESTS)

test-guest: $(TOOLS)
	cd guest && $(GO) test -timeout 300s ./...

# The host is looked over each time (milliseconds); only what is missing is installed.
host:
	@scripts/setup.sh host

$(TOOLS): requirements/dev.txt | host
	@scripts/setup.sh tools
	@touch $@

$(PROJECT): pyproject.toml hatch_build.py $(TOOLS)
	@scripts/setup.sh project
	@touch $@

$(BUNDLE): $(GUEST_SOURCES) src/pyro_mcp/_version.py $(PROJECT)
	@$(BIN)/python hatch_build.py
