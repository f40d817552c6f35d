# What there is to do here; `make` alone lists it.
# Needs Python 3.11 or newer, make and a POSIX shell; all else is installed into .venv.

PYTHON ?= python3
CASES ?= 450
BIN := .venv/bin
STAMP := .venv/.installed
PIP := $(BIN)/python -m pip -qq --no-input --disable-pip-version-check
COMPILE := $(BIN)/uv pip compile --no-config --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --custom-compile-command "make lock"

# A virtual environment knows its own path, so one that was copied or moved here is made anew.
ifneq ($(shell cat $(STAMP) 2>/dev/null),$(CURDIR))
.PHONY: $(STAMP)
endif

.DEFAULT_GOAL := help
.PHONY: help install demo serve test matrix check fmt bench fuzz storm lock licences audit-dependencies clean

help: ## list these commands
	@echo "cockade: issues loyalty badges in bulk, each exactly once"
	@echo
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1	\2/p' Makefile

install: $(STAMP) ## make .venv with cockade and its tools
	@:

$(STAMP): requirements-dev.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "cockade needs Python 3.11 or newer; name one with: make PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { \
		echo "This Python cannot make virtual environments; on Debian and Ubuntu: apt-get install python3-venv" >&2; \
		exit 1; }
	@echo "Installing cockade into .venv (a minute or two the first time)"
	@test "$$(cat $(STAMP) 2>/dev/null)" = "$(CURDIR)" && $(BIN)/python -c '' 2>/dev/null \
		|| $(PYTHON) -m venv --clear .venv
	@$(PIP) install --require-hashes -r requirements-dev.lock
	@$(PIP) install --no-deps --no-build-isolation -e .
	@$(BIN)/python -m compileall -q src
	@echo "$(CURDIR)" > $(STAMP)

demo: install ## see it happen: a badge for 10,000 customers in one call
	@$(BIN)/cockade demo

serve: install ## start the server, configured by COCKADE_*
	@$(BIN)/cockade serve

test: ## everything CI runs: install, check, then all tests
	@echo "Time budget: install 2 min, checks 1, unit and property 2, storage and http 4, acceptance and races 3"
	@begin=$$(date +%s) && $(MAKE) --no-print-directory install \
		&& installed=$$(date +%s) && $(MAKE) --no-print-directory check \
		&& checked=$$(date +%s) \
		&& echo "Took: install $$((installed - begin)) s, checks $$((checked - installed)) s; now the tests" \
		&& $(BIN)/python -m pytest

matrix: install ## print the tenancy matrix: every operation with every kind of credential
	@$(BIN)/python -m pytest -v tests/http/test_tenancy.py

check: install ## formatting, lint, types, import contracts, house rules
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/ruff check --quiet .
	@$(BIN)/basedpyright
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/python -m pytest -q tests/tidy

fmt: install ## format the code and fix what lint can fix
	@$(BIN)/ruff check --quiet --fix-only .
	@$(BIN)/ruff format .

bench: install ## measure issuance beside its yardsticks; CASES="bulk small" runs only these
	@$(BIN)/python -m bench $(CASES)

fuzz: install ## schemathesis, the long form: some 20,000 calls, most of an hour (CASES for each operation)
	@COCKADE_FUZZ_CASES=$(CASES) $(BIN)/python -m pytest tests/acceptance/test_fuzz.py

storm: install ## kill and disturb everything under load, then check each promise (SECONDS=600 SEED=…)
	@$(BIN)/python -m storm --seconds $(or $(SECONDS),600) $(if $(SEED),--seed $(SEED))

lock: install ## pin the newest versions that pyproject.toml allows
	@$(COMPILE) --upgrade --output-file requirements.lock pyproject.toml
	@$(COMPILE) --upgrade --extra parquet --constraints requirements.lock --output-file requirements-parquet.lock pyproject.toml
	@$(COMPILE) --upgrade --extra dev --extra bench --extra parquet --constraints requirements-parquet.lock --output-file requirements-dev.lock pyproject.toml

licences: install ## write docs/reference/licences.md from what is installed
	@$(BIN)/python tools/licences.py > docs/reference/licences.md

# Asks an advisory service, so it needs the network, and is no part of `make test`.
audit-dependencies: install ## ask whether a pinned version has a known weakness
	@$(BIN)/uv tool run --from 'pip-audit>=2.9,<3' pip-audit --disable-pip --require-hashes \
		--requirement requirements.lock --requirement requirements-dev.lock

clean: ## remove .venv and everything else that was made here
	@rm -rf .venv .pytest_cache .ruff_cache .hypothesis .import_linter_cache build dist
	@find src tests bench -name __pycache__ -type d -prune -exec rm -rf {} +
