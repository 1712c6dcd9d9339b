# Everything a fresh machine needs: `make demo`, or `make test`. See README.md.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
NEWEST := build/newest
# A worker per core; of one file all tests go to the same, for the sake of its fixtures.
PYTEST := $(BIN)/python -m pytest --numprocesses auto --maxprocesses 8 --dist loadfile

.PHONY: help setup constraints demo test test-jobs test-all lint clean

help:
	@echo "make setup        create $(VENV) with everything (CPython 3.11 or 3.12)"
	@echo "make demo         train, generate and score on generated phantoms; writes demo/report.html"
	@echo "make test         run the unit tests: minutes"
	@echo "make test-jobs    run recipes, commands and the page, as processes"
	@echo "make test-all     both"
	@echo "make lint         ruff and mypy"
	@echo "make constraints  write the newest versions of all packages into constraints.txt"
	@echo "make clean        remove $(VENV) and demo/"

setup: $(STAMP)

$(STAMP): pyproject.toml requirements.txt requirements-fairseq.txt constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' || \
	  { echo "error: $(PYTHON) is not CPython 3.11 or 3.12; call make PYTHON=python3.11 $(MAKECMDGOALS)" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --progress-bar off --require-hashes --no-deps \
	  -r requirements-fairseq.txt
	$(BIN)/python -m pip install --progress-bar off -r requirements.txt
	@touch $(STAMP)

# In an environment of its own, without the constraints so far. What torch pins for its platform
# (CUDA, Triton) is left to torch.
constraints:
	$(PYTHON) -m venv --clear $(NEWEST)
	grep -v '^-c' requirements.txt > $(NEWEST)/requirements.txt
	$(NEWEST)/bin/python -m pip install --progress-bar off --require-hashes --no-deps \
	  -r requirements-fairseq.txt
	$(NEWEST)/bin/python -m pip install --progress-bar off -r $(NEWEST)/requirements.txt
	grep '^#' constraints.txt > $(NEWEST)/constraints.txt
	$(NEWEST)/bin/python -m pip freeze --exclude-editable | \
	  grep -vE '^(nvidia|cuda|triton)\b' >> $(NEWEST)/constraints.txt
	mv $(NEWEST)/constraints.txt constraints.txt
	rm -rf $(NEWEST)

demo: $(STAMP)
	PATH="$(CURDIR)/$(BIN):$$PATH" bash run_scripts/demo.sh

test: $(STAMP)
	$(PYTEST) tests/unit

test-jobs: $(STAMP)
	$(PYTEST) tests/jobs

test-all: test test-jobs

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:
	rm -rf $(VENV) demo
