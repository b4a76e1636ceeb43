# Each target prepares .venv by itself; nothing is fetched while the stamp in it is fresh.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
SHELL := /bin/sh

BIN := .venv/bin
LOCAL := .venv/.ready-local
DEV := .venv/.ready-dev
INPUTS := pyproject.toml constraints.txt .ci/venv

.PHONY: help venv demo test test-full check wheel clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

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

test: check ## check, then every test that fits in ten minutes
	$(BIN)/python -m pytest

test-full: check ## the same tests with the trial counts of a release
	JUGGERNAUT_TRIALS=full $(BIN)/python -m pytest --timeout 1800

wheel: $(DEV) ## build dist/*.whl
	$(BIN)/python -m build --wheel --no-isolation --outdir dist .

clean: ## remove .venv, caches and build results (not the demo's data)
	rm -rf .venv dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find juggernaut roles tests -name __pycache__ -type d -prune -exec rm -rf {} +
