# `make demo` shows what birthkey does, `make test` checks it. Both install what they
# need into .venv and build/, and nothing anywhere else.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --use-pep517
PINS := tools/requirements
MPYLIB := build/mpylib/.installed

# What is in .venv: all that runs, what flashes boards, what tests.
MADE := $(VENV)/.made
RUN := $(VENV)/.run
FLASH := $(VENV)/.flash
TEST := $(VENV)/.test

# One that was made in another folder, or by a Python that is gone, is made anew.
$(shell test ! -e $(MADE) || { $(BIN)/python -c "" && \
	grep -qF "$$(pwd -P)/$(VENV)" $(VENV)/pyvenv.cfg; } >/dev/null 2>&1 || rm -rf $(VENV))

# The boards whose firmware the tests run.
EMULATED := QEMU_MPS2_AN385 QEMU_MPS2_AN385-ARMV6M QEMU_NETDUINO2 RPI_PICO

.PHONY: needs demo test fresh emulators firmware emulate flash dist lint format vectors bench mutations soak pins clean help

help:
	@echo "make demo       a board makes its key, enrols and delivers readings; attacks are refused"
	@echo "                BOARD=NAME: on that emulated board; TLS=1: through TLS, which ends on it;"
	@echo "                KEEP=1 leaves everything running"
	@echo "make test       pytest, ruff, mypy; TESTS=FOLDER: only the tests there"
	@echo "make fresh      both on fresh systems of Debian 12 and 13, as an ordinary user; needs root"
	@echo "                and debootstrap; RELEASES=trixie: only that; TESTS= as above; KEEP=1"
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
	@echo "make pins       resolves the versions of what is installed; UPGRADE=1: the latest"
	@echo "make clean      removes build/ and .venv/"

needs:
	@command -v $(PYTHON) >/dev/null || \
		{ echo "there is no $(PYTHON). On Debian: sudo apt install python3-venv" >&2; exit 1; }
	@$(PYTHON) -B -m tools.prerequisites $(if $(LIST)$(FIRMWARE),,$(BOARD:%=--board %)) $(MAKECMDGOALS)

$(MADE): $(PINS)/run.txt | needs
	$(PYTHON) -m venv $(VENV)
	$(PIP) -r $(PINS)/run.txt
	@touch $@

$(RUN): pyproject.toml $(MADE)
	$(PIP) --no-deps --no-build-isolation --editable .
	@touch $@

$(FLASH): $(PINS)/flash.txt $(RUN)
	$(PIP) -r $(PINS)/flash.txt
	@touch $@

$(TEST): $(PINS)/test.txt $(FLASH)
	$(PIP) -r $(PINS)/test.txt
	@touch $@

# micropython-lib's SenML, for the board; its PyPI name is its own.
$(MPYLIB): $(RUN)
	@rm -rf build/mpylib
	$(PIP) --no-deps --target build/mpylib micropython-senml==0.1.1
	@touch $@

demo: $(MPYLIB)
	$(BIN)/python tests/demo $(if $(BOARD),--board $(BOARD)) $(if $(TLS),--tls) $(if $(KEEP),--keep)

# Fetched and built once, kept in ~/.cache/birthkey for all checkouts.
emulators: $(TEST)
	$(BIN)/python -m boards.build --quiet $(EMULATED)
	PYTHONPATH=. $(BIN)/python tests/support/stock_images.py
	PYTHONPATH=. $(BIN)/python tests/support/nginx.py
	$(BIN)/python -m boards.emulated --provision

firmware: $(RUN)
	$(BIN)/python -m boards.build $(or $(BOARD),$(error BOARD= is missing: a folder of boards/))

flash: $(FLASH) $(MPYLIB)
	$(BIN)/python -m boards.flash $(BOARD) $(foreach name,port server server-key backup-key claim \
	modem ssid password-file ca config firmware method,$(call option,$(name))) $(if $(APP),--app) \
	$(if $(CLIENT_CERTIFICATE),--client-certificate) \
	$(if $(ERASE_IDENTITY),--erase-identity) $(if $(YES),--yes) $(if $(LIST),--list)

# PORT=/dev/ttyACM0 is --port '/dev/ttyACM0', SERVER_KEY= --server-key, and so on.
uppercase = $(shell echo $(subst -,_,$(1)) | tr a-z A-Z)
option = $(if $($(call uppercase,$(1))),--$(1) '$($(call uppercase,$(1)))')

dist: $(FLASH) $(MPYLIB)
	$(BIN)/python -m boards.build.dist

emulate: $(MPYLIB)
	$(BIN)/python -m boards.emulated $(or $(BOARD),$(error BOARD= is missing))

test: $(TEST) $(MPYLIB) lint $(if $(TESTS),,emulators)
	$(BIN)/pytest -n auto --dist worksteal -m "not alone" $(TESTS)
	$(BIN)/pytest -m alone $(TESTS)$(if $(TESTS), || test $$? = 5) # 5: there are none among these

fresh:
	@$(PYTHON) -B -m tools.fresh --tests "$(TESTS)" $(if $(KEEP),--keep) $(or $(RELEASES),bookworm trixie)

lint: $(TEST)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(TEST)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(TEST) $(MPYLIB)
	$(BIN)/python tests/bench/run.py

mutations: $(TEST) $(MPYLIB)
	$(BIN)/python tests/mutations.py

soak: $(TEST) $(MPYLIB) emulators
	BIRTHKEY_SOAK=10 $(BIN)/pytest -n auto tests/emulated/test_soak.py tests/emulated/test_p256_random.py

vectors: $(TEST)
	$(BIN)/python tests/vectors/generate.py

# All that is installed from PyPI, as it was but for what pyproject.toml wants otherwise;
# UPGRADE=1: in its latest versions. Resolved for the first Python that will do, since what that
# one takes the later ones take too; tests/tools/test_pins.py asks for each of them.
pins: $(TEST)
	for group in test flash run; do \
		$(BIN)/uv pip compile --quiet --group $$group pyproject.toml --no-annotate \
		--python-version 3.11.0 --python-platform x86_64-unknown-linux-gnu \
		--python $(BIN)/python --no-python-downloads \
		--custom-compile-command "make pins" $(if $(UPGRADE),--upgrade) \
		$$(test $$group = test || echo --constraint $(PINS)/test.txt) \
		--output-file $(PINS)/$$group.txt || exit 1; \
	done

clean:
	rm -rf build $(VENV)
