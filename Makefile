# `make demo` shows what birthkey does, `make test` checks it. Both install what they
# need into .venv and build/, and nothing anywhere else.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
MPYLIB := build/mpylib/.installed

# The boards whose firmware the tests run.
EMULATED := QEMU_MPS2_AN385 QEMU_MPS2_AN385-ARMV6M QEMU_NETDUINO2 RPI_PICO

.PHONY: demo test emulators firmware emulate flash dist lint format vectors bench mutations soak clean help

help:
	@echo "make demo       a board makes its key, enrols and delivers readings; attacks are refused"
	@echo "                BOARD=NAME: on that emulated board; TLS=1: through TLS, which ends on it;"
	@echo "                KEEP=1 leaves everything running"
	@echo "make test       pytest, ruff, mypy"
	@echo "make firmware   MicroPython with birthkey for BOARD=NAME, a folder of boards/"
	@echo "make emulate    boots BOARD=NAME on this computer, with a modem on its UART;"
	@echo "                UART=TTY FLASH=FOLDER UNIQUE_ID=HEX"
	@echo "make flash      firmware, application and configuration onto BOARD=NAME at PORT=/dev/...;"
	@echo "                LIST=1 says what is on which port"
	@echo "make dist       the package that mip installs on stock MicroPython"
	@echo "make soak       the tests of endurance, ten times as long"
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
	$(BIN)/python tests/demo $(if $(BOARD),--board $(BOARD)) $(if $(TLS),--tls) $(if $(KEEP),--keep)

# Fetched and built once, kept in ~/.cache/birthkey for all checkouts.
emulators: $(INSTALLED)
	$(BIN)/python -m boards.build --quiet $(EMULATED)
	PYTHONPATH=. $(BIN)/python tests/support/stock_images.py
	PYTHONPATH=. $(BIN)/python tests/support/nginx.py
	$(BIN)/python -m boards.emulated --provision

firmware: $(INSTALLED)
	$(BIN)/python -m boards.build $(or $(BOARD),$(error BOARD= is missing: a folder of boards/))

flash: $(MPYLIB)
	$(BIN)/python -m boards.flash $(BOARD) $(foreach name,port server server-key backup-key claim \
	modem ssid password-file ca config firmware method,$(call option,$(name))) $(if $(APP),--app) \
	$(if $(CLIENT_CERTIFICATE),--client-certificate) \
	$(if $(ERASE_IDENTITY),--erase-identity) $(if $(YES),--yes) $(if $(LIST),--list)

# PORT=/dev/ttyACM0 is --port '/dev/ttyACM0', SERVER_KEY= --server-key, and so on.
uppercase = $(shell echo $(subst -,_,$(1)) | tr a-z A-Z)
option = $(if $($(call uppercase,$(1))),--$(1) '$($(call uppercase,$(1)))')

dist: $(MPYLIB)
	$(BIN)/python -m boards.build.dist

emulate: $(MPYLIB)
	$(BIN)/python -m boards.emulated $(or $(BOARD),$(error BOARD= is missing))

test: $(MPYLIB) lint emulators
	$(BIN)/pytest -n auto --dist worksteal -m "not alone"
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

soak: $(MPYLIB) emulators
	BIRTHKEY_SOAK=10 $(BIN)/pytest -n auto tests/emulated/test_soak.py tests/emulated/test_p256_random.py

vectors: $(INSTALLED)
	$(BIN)/python tests/vectors/generate.py

clean:
	rm -rf build $(VENV)
