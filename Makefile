# Context Memory Gateway. `make help` lists what can be done.
SHELL := /bin/bash
.SHELLFLAGS := -o pipefail -ec
.DEFAULT_GOAL := help
.PHONY: help run test check format api bench bench-memory clean

VENV := .venv
BIN := $(VENV)/bin
STAMPS := $(VENV)/stamps
PYTEST := $(BIN)/python -m pytest -q
# Tests run side by side in this many processes, two more than the cores that they need: many of them wait. Those of a
# file stay in one, and those of a folder that shares a service (tests/support/file_order.py); the long ones come first.
TEST_WORKERS ?= 4
SIDE_BY_SIDE := -n $(TEST_WORKERS) --dist loadfile --no-loadscope-reorder
# pytest keeps what it makes of the tests' files, or each process makes it anew.
unexport PYTHONDONTWRITEBYTECODE
# More words for pytest, as in: make test ARGS="tests/rooms/kit -k money"
ARGS ?=

help: ## list these commands
	@echo "Context Memory Gateway: an LLM gateway that remembers, and knows what everything costs."
	@echo
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))
	@echo
	@echo "First time? make run   (needs Python 3.11, 3.12 or 3.13; settings: docs/configuration.md)"

run: $(STAMPS)/runtime ## start everything on this machine and print how to reach it
	@exec $(BIN)/cmg serve

# A few failures are tried once more, alone, and named; a second failure is one.
SECOND_TRY = $(BIN)/python tests/second_try.py
test: $(STAMPS)/dev ## the whole suite (CMG_TEST_REQUIRE=all forbids skipping)
ifneq ($(ARGS),)
	$(PYTEST) $(SIDE_BY_SIDE) $(ARGS)
else
	rm -f .pytest_cache/v/cache/lastfailed
	$(PYTEST) $(SIDE_BY_SIDE) tests/house tests/rooms tests/acceptance || $(SECOND_TRY)
endif

check: $(STAMPS)/dev ## lint, format, types, floors, house rules, the API's compatibility, tests can be read
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(PYTEST) tests/house
	$(PYTEST) --collect-only -qq tests/rooms tests/acceptance | tail -n 20

format: $(STAMPS)/dev ## put the code into the house's form
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

api: $(STAMPS)/dev ## write docs/api/ again after an addition to the HTTP API, and what settings mean
	$(BIN)/python tests/house/api_additive.py --write
	$(BIN)/python tests/house/settings_meanings.py --write

bench: $(STAMPS)/dev ## measure beside nginx (needs nginx, wrk and two cores; under 10 minutes)
	$(BIN)/python tests/bench/run.py $(ARGS)

bench-memory: $(STAMPS)/dev ## measure a memory of a million turns (needs 8 GB of disk; under 12 minutes)
	$(BIN)/python tests/bench/memory_scale.py $(ARGS)

clean: ## remove what was built (never data: that is CMG_DATA_DIR)
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The first Python of 3.11 to 3.13 that runs and can build environments.
FIND_PYTHON = for one in $(PYTHON) python3.11 python3.12 python3.13 python3 python; do \
	if "$$one" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then \
	found="$$one"; if "$$one" -c 'import ensurepip, venv' 2>/dev/null; then python="$$one"; break; fi; fi; done

$(BIN)/python:
	@found=; python=; $(FIND_PYTHON); \
	if [ -z "$$found" ]; then \
		echo "No Python 3.11, 3.12 or 3.13 was found. Install one, or name it: make run PYTHON=/path/to/python" >&2; exit 1; fi; \
	if [ -z "$$python" ]; then \
		echo "$$found cannot build a virtual environment. On Debian and Ubuntu: apt install python3-venv" >&2; exit 1; fi; \
	echo "Building $(VENV) with $$("$$python" --version) …"; "$$python" -m venv $(VENV)

# $(call install,LOCK): the packages of one lock file, every one checked against its hash, then this project itself; what
# packages bring along and nobody loads goes.
define install
	@echo "Installing the $$(grep '==' $1 | grep -vc "== 'never'") packages of $1 (once) …"
	@$(BIN)/python -m pip install --disable-pip-version-check --no-deps --require-hashes -r $1 \
		| awk '/^(Collecting|Processing|Requirement already)/ { if (++n % 10 == 0) { print "  " n " …"; fflush() } }'
	@$(BIN)/python -m pip install --disable-pip-version-check --quiet --no-deps --no-build-isolation -e .
	@unused=$$(sed 's/#.*//' requirements.unused); \
		cd "$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("platlib"))')"; rm -rf $$unused
	@mkdir -p $(STAMPS)
endef

$(STAMPS)/runtime: requirements.lock requirements.unused pyproject.toml | $(BIN)/python
	$(call install,requirements.lock)
	@touch $@

# The development lock holds the runtime's packages too, in the same versions.
$(STAMPS)/dev: requirements-dev.lock requirements.lock requirements.unused pyproject.toml | $(BIN)/python
	$(call install,requirements-dev.lock)
	@touch $(STAMPS)/runtime $@
