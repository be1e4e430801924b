# The commands of radrepro. 'make help' lists them.
SHELL := /bin/bash
PYTHON ?= python3
UV_VERSION := 0.13.9

VENV := .venv
READY := $(VENV)/.ready
RUN := . $(VENV)/bin/activate &&

# Some machines forbid Python to keep its compiled files; then every stage would compile its libraries again.
export PYTHONDONTWRITEBYTECODE :=
# Nothing leaves the machine unasked.
export DO_NOT_TRACK := 1
export MLFLOW_DISABLE_TELEMETRY := true
export PREFECT_SERVER_ANALYTICS_ENABLED := false

.DEFAULT_GOAL := help

.PHONY: help
help: ## list the commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

.PHONY: install
install: $(READY) ## create .venv and install what requirements.lock pins

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "radrepro needs Python 3.11 or newer: make PYTHON=python3.12 ..."; exit 1; }
	@test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	$(RUN) python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	$(RUN) uv pip sync --compile-bytecode --require-hashes requirements.lock
	$(RUN) uv pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

.PHONY: demo
demo: install ## run the whole pipeline on synthetic X-rays, then show the results
	$(RUN) dvc repro
	@$(RUN) radrepro results

.PHONY: test
test: install ## run the test suite
	$(RUN) pytest --numprocesses auto --dist loadfile -m "not long"

.PHONY: test-long
test-long: install ## run what takes minutes: thousands of damaged files, the search for names in all that is written
	$(RUN) pytest --numprocesses auto --dist worksteal -m long

.PHONY: test-fast
test-fast: install ## run the tests that take seconds
	$(RUN) pytest --numprocesses auto --dist loadfile -m "not slow"

.PHONY: lint
lint: install ## check style, types and the direction of imports
	$(RUN) ruff check .
	$(RUN) ruff format --check .
	$(RUN) mypy
	$(RUN) lint-imports

.PHONY: ui
ui: install ## open MLflow and Prefect on this machine
	$(RUN) radrepro ui --open

.PHONY: lock
lock: install ## compile requirements.lock anew from pyproject.toml
	$(RUN) uv pip compile --universal --python-version 3.11 --extra dev --generate-hashes --no-strip-extras \
		--no-emit-index-url --no-annotate --no-header --quiet --upgrade pyproject.toml --output-file requirements.lock

.PHONY: clean
clean: ## remove the environment and tool caches; data, models and MLflow's runs stay
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
