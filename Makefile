# Everything starts here: on a machine with Python and make, each target installs what it needs first.
PYTHON ?= python3
PORT ?= 3000
DIR ?= .local
ARGS ?=

TOOLS := .local/tools
UV := $(TOOLS)/bin/uv
UV_VERSION := 0.13.9
VENV := .venv
READY := $(VENV)/.ready
RUN := $(VENV)/bin/python

# uv uses the Python that make was given and never downloads another one.
export UV_PROJECT_ENVIRONMENT := $(VENV)
export UV_PYTHON_DOWNLOADS := never
export UV_PYTHON := $(PYTHON)
# A virtual environment that is active in this shell is not used.
unexport VIRTUAL_ENV

.DEFAULT_GOAL := help
.PHONY: help demo dev test check bench catalog clean setup

help: ## show this list
	@echo "make <target>, where target is one of"
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo "PYTHON, PORT and DIR choose the interpreter, the API's port and the folder of the stack;"
	@echo "ARGS is passed on: make test ARGS='-k webhooks -n 2'"

demo: $(READY) ## run a signed webhook through the whole stack, show what happened, clean up
	@$(RUN) -m local demo --dir "$(DIR)/demo" $(ARGS)

dev: $(READY) ## run the whole stack until Ctrl-C
	@$(RUN) -m local dev --dir "$(DIR)" --port $(PORT) $(ARGS)

test: $(READY) $(VENV)/.providers .local/lambda/tools/.ready ## run all tests
	$(RUN) -m pytest -n auto $(ARGS)

check: $(READY) .local/lambda/tools/.ready check-template ## run the linters, the type checker and the rules of the layout
	$(VENV)/bin/ruff check
	$(VENV)/bin/ruff format --check
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports
	$(VENV)/bin/cfn-lint template.yaml
	SAM_CLI_TELEMETRY=0 AWS_DEFAULT_REGION=us-east-1 .local/lambda/tools/bin/sam validate --lint
	$(RUN) -m local catalog --check
	$(RUN) -m local schema --check
	$(RUN) -m local dependencies
	$(RUN) -m pytest -q tests/architecture

bench: $(READY) ## measure what a run costs; ARGS=neighbours: what one tenant does to another
	$(RUN) -m tests.bench $(ARGS)

catalog: $(READY) ## write the generated references and supabase/schema.sql again
	$(RUN) -m local catalog
	$(RUN) -m local schema

setup: $(READY) ## only install what the other targets need

clean: ## remove everything that these targets have made, the local stack's data too
	rm -rf .local $(VENV) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# -- the environment, from uv.lock

$(READY): pyproject.toml uv.lock | $(UV)
	@echo "installing the locked packages into $(VENV)"
	@$(UV) sync --frozen --no-progress
	@touch $@

# The senders' own libraries, against which the webhook catalog is tested; only tests need them.
$(VENV)/.providers: pyproject.toml uv.lock | $(READY)
	@echo "installing the webhook senders' own libraries"
	@$(UV) sync --frozen --no-progress --quiet --group providers
	@touch $@

$(UV):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "This needs Python 3.11 or newer as $(PYTHON), and found: $$($(PYTHON) --version 2>&1 | head -1)." >&2; \
		echo "Name another one with PYTHON=…, as in: make $(MAKECMDGOALS) PYTHON=python3.13" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "$(PYTHON) lacks the venv module. On Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }
	@echo "installing uv $(UV_VERSION) into $(TOOLS)"
	@$(PYTHON) -m venv $(TOOLS)
	@$(TOOLS)/bin/python -m pip install --quiet --disable-pip-version-check "uv==$(UV_VERSION)"

-include sam.mk
