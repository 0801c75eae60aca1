# Every target works without arguments, makes the environment first if it needs it, and ends with a plain exit code.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
WORKERS ?= 2
REAL ?=
BENCH ?=

.PHONY: help setup demo run watch train test fast faults lint format accuracy bench golden slim licences docs release clean

help: ## list every target
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /\1\t/' | expand -t 12

setup: $(READY) ## make the environment in .venv (python3 -m venv, then pip, from requirements/complete.lock)

$(READY): requirements/complete.lock pyproject.toml
	@echo "Setting up $(VENV): pip fetches and unpacks about 3 GB, which takes some minutes (reading alone needs an eighth: docs/slim.md)."
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/complete.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $(READY)

demo: $(READY) ## drop 20 sample scans into inbox/, read them, show the answers
	$(BIN)/digitrec samples --count 20 --seed 0
	$(BIN)/digitrec run --table

run: $(READY) ## read what lies in inbox/
	$(BIN)/digitrec run --table

watch: $(READY) ## read whatever arrives in inbox/, until Ctrl-C
	$(BIN)/digitrec watch || [ $$? -eq 130 ]

train: $(READY) ## train a network on MNIST and evaluate it
	$(BIN)/digitrec train --network cnn

test: $(READY) ## run every test, and the examples in docstrings, WORKERS (2) at once
	PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -q -n $(WORKERS) --dist worksteal --durations=15 \
		--doctest-modules --doctest-continue-on-failure digitrec tests

fast: $(READY) ## run the tests that take little CPU: the loop to work in
	DIGITREC_FAST=1 PYTHONDONTWRITEBYTECODE= TMPDIR=$(if $(wildcard /dev/shm/.),/dev/shm,$${TMPDIR:-/tmp}) $(BIN)/python -m pytest -q -m "not slow"

faults: $(READY) ## break things on purpose, the long way (a quarter of an hour): kills, full disks, lost ledgers, odd inputs
	DIGITREC_FAULTS=1 $(BIN)/python -m pytest -q tests/faults

lint: $(READY) ## style (ruff), types (mypy), layers (import-linter)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(READY) ## put the code into shape
	$(BIN)/ruff check --fix --exit-zero .
	$(BIN)/ruff format .

accuracy: $(READY) ## measure the model in use; REAL=DIR adds labelled real pictures
	$(BIN)/python -m benchmarks.accuracy $(if $(REAL),--real $(REAL))
	$(BIN)/python -m benchmarks.pages

bench: $(READY) ## measure the speed of `digitrec run` against reading the files; BENCH=--full takes the full sizes
	$(BIN)/python -m benchmarks $(BENCH)

golden: $(READY) ## write the expected files of tests/golden anew; read the diff
	DIGITREC_GOLDEN=1 $(BIN)/python -m pytest -q tests/test_golden.py

slim: $(READY) ## pin what reading needs in requirements/slim.lock, as requirements/complete.lock has it (docs/slim.md); takes uv
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate \
		--custom-compile-command "make slim" -c requirements/complete.lock requirements/slim.in -o requirements/slim.lock

licences: $(READY) ## list the licence of every locked package in docs/licences.md; fails where one is in doubt
	$(BIN)/python -m tools.licences

docs: $(READY) ## write docs/reference anew from the code, and build the site into site/; open site/index.html
	$(BIN)/python -m tools.reference
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict

release: $(READY) ## build wheel and sdist into dist/, install them anew, complete, slim and as the Containerfile does, and read with each
	$(BIN)/python -m tools.release

clean: ## remove environment, caches and build products; never a picture, an answer, a report or a ledger
	rm -rf $(VENV) build dist site .pytest_cache .hypothesis .mypy_cache .ruff_cache .import_linter_cache
	find digitrec tests jobs benchmarks tools -name __pycache__ -type d -prune -exec rm -rf {} +
