# Every target works without arguments, makes the environment first if it needs it, and ends with a plain exit code.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
BASE := $(VENV)/.base
READY := $(VENV)/.ready
WORKERS ?= 3
REAL ?=
BENCH ?=
COMPILE := --quiet --universal --python-version 3.11 --generate-hashes --custom-compile-command "make lock"

.PHONY: help setup demo run watch train test fast faults lint format accuracy bench golden lock licences docs docs-pictures release clean

help: ## list every target
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 15

setup: $(READY) ## make the complete environment in .venv

# What reading needs; `make demo` from a fresh clone takes a tenth of the complete environment's time.
$(BASE): requirements/base.lock requirements/build.lock pyproject.toml
	@$(PYTHON) tools/environment.py base

$(READY): requirements/complete.lock pyproject.toml
	@$(PYTHON) tools/environment.py complete

demo: $(BASE) ## draw 20 sample scans and the photo of a table into inbox/, read them, show the answers
	@$(BIN)/digitrec demo .

run: $(BASE) ## read the files in inbox/
	$(BIN)/digitrec run --table

watch: $(BASE) ## read files as they arrive in inbox/, until Ctrl-C
	$(BIN)/digitrec watch || [ $$? -eq 130 ]

train: $(READY) ## train a network on MNIST and evaluate it
	$(BIN)/digitrec train --network cnn

test: $(READY) ## run every test, and the examples in docstrings, WORKERS (3) at once
	PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -q -n $(WORKERS) --dist loadfile --no-loadscope-reorder --durations=15 \
		--doctest-modules --doctest-continue-on-failure digitrec tests

fast: $(READY) ## run the tests that take little CPU, while you work
	DIGITREC_FAST=1 PYTHONDONTWRITEBYTECODE= TMPDIR=$(if $(wildcard /dev/shm/.),/dev/shm,$${TMPDIR:-/tmp}) $(BIN)/python -m pytest -q -m "not slow"

faults: $(READY) ## run the long fault tests (15 minutes): kills, full disks, lost ledgers, odd inputs
	DIGITREC_FAULTS=1 $(BIN)/python -m pytest -q tests/faults

lint: $(READY) ## style (ruff), types (mypy), layers (import-linter)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(READY) ## format the code
	$(BIN)/ruff check --fix --exit-zero .
	$(BIN)/ruff format .

accuracy: $(READY) ## measure the model in use; REAL=DIR adds labelled real pictures
	$(BIN)/python -m benchmarks.accuracy $(if $(REAL),--real $(REAL))
	$(BIN)/python -m benchmarks.pages

bench: $(READY) ## measure the speed of `digitrec run` against reading the files; BENCH=--full takes the full sizes
	$(BIN)/python -m benchmarks $(BENCH)

golden: $(READY) ## rewrite the expected files of tests/golden; review the diff
	DIGITREC_GOLDEN=1 $(BIN)/python -m pytest -q tests/test_golden.py

lock: ## pin the packages in requirements/*.lock, after a change of dependencies in pyproject.toml; needs uv
	uv pip compile $(COMPILE) --no-header --all-extras pyproject.toml -o requirements/complete.lock
	uv pip compile $(COMPILE) --no-annotate -c requirements/complete.lock pyproject.toml -o requirements/base.lock
	printf 'editables\nhatchling\n' | uv pip compile $(COMPILE) --no-annotate -c requirements/complete.lock - -o requirements/build.lock
	echo uv | uv pip compile $(COMPILE) --no-annotate - -o requirements/uv.lock

licences: $(READY) ## list the licence of every locked package in docs/dev/licences.md; fails if one is unclear
	$(BIN)/python -m tools.licences

docs: $(READY) ## write docs/reference from the code and build the site into site/; open site/index.html
	$(BIN)/python -m tools.reference
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict

docs-pictures: $(READY) ## make the pictures of the documentation; needs Chromium
	$(BIN)/python -m tools.pictures

release: $(READY) ## build wheel and sdist into dist/, install them anew, reading alone, with all extras and as the Containerfile does, and read with each
	$(BIN)/python -m tools.release

clean: ## remove environment, caches and build products; keeps pictures, tables, reports and ledgers
	rm -rf $(VENV) build dist site .pytest_cache .hypothesis .mypy_cache .ruff_cache .import_linter_cache
	find digitrec tests jobs benchmarks tools -name __pycache__ -type d -prune -exec rm -rf {} +
