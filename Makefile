# `make demo` shows what birthkey does, `make test` checks it. Both install what they
# need into .venv and build/, and nothing anywhere else.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
MPYLIB := build/mpylib/.installed

.PHONY: demo test lint format vectors bench mutations clean help

help:
	@echo "make demo       a board makes its key, enrols and delivers readings; attacks are refused"
	@echo "                KEEP=1 leaves everything running at the end"
	@echo "make test       pytest, ruff, mypy"
	@echo "make bench      cryptography beside python-ecdsa, wear of flash; writes build/bench.json"
	@echo "make mutations  takes each rule out of a copy, and shows the test that notices"
	@echo "make vectors    makes tests/vectors again"
	@echo "make clean      removes build/ and .venv/"

$(INSTALLED): tests/requirements.txt pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r tests/requirements.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

# micropython-lib's SenML, for the board; its PyPI name is its own.
$(MPYLIB): $(INSTALLED)
	@rm -rf build/mpylib
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --target build/mpylib micropython-senml==0.1.1
	@touch $@

demo: $(MPYLIB)
	$(BIN)/python tests/demo $(if $(KEEP),--keep)

test: $(MPYLIB) lint
	$(BIN)/pytest -n auto -m "not alone"
	$(BIN)/pytest -m alone

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(INSTALLED)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(MPYLIB)
	$(BIN)/python tests/bench/run.py

mutations: $(MPYLIB)
	$(BIN)/python tests/mutations.py

vectors: $(INSTALLED)
	$(BIN)/python tests/vectors/generate.py

clean:
	rm -rf build $(VENV)
