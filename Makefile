# What people call. Everything happens in .venv (the package, LiteLLM, tests, mypy, ruff) and
# .venv-lint (import-linter alone), made on demand from the locks with hashes.

PYTHON ?= python3
PORT ?= 4000

SHELL := /bin/bash
BIN := .venv/bin
LOCKED := .venv/.locked
INSTALLED := .venv/.installed
LINT_INSTALLED := .venv-lint/.installed
# A real opa where there is one; LiteLLM's price map from its package, not from the network.
RUN := PATH="$(CURDIR)/$(BIN):$(CURDIR)/.tools/bin:$$PATH" LITELLM_LOCAL_MODEL_COST_MAP=True

.DEFAULT_GOAL := help
.PHONY: help install demo serve test test-litellm soak lint coverage bench policies docs lock clean

help: ## list these targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' Makefile | awk -F'|' '{ printf "%-24s %s\n", $$1, $$2 }'

install: $(INSTALLED) ## make .venv with tallygate in it

demo: $(INSTALLED) ## watch a real proxy refuse, admit, price and record, with no provider key
	@$(RUN) $(BIN)/tallygate demo

serve: $(INSTALLED) ## the proxy of the demo on PORT (4000), for a client of your own
	@$(RUN) $(BIN)/tallygate demo --serve --port $(PORT)

test: $(INSTALLED) ## every test; those against the real opa where it is there
	@scripts/install-opa
	@$(RUN) $(BIN)/python -m pytest $(ARGS)

test-litellm: ## the proxy's tests against LiteLLM V, as in V=1.100.5
	@scripts/install-opa
	@PYTHON="$(PYTHON)" scripts/test-litellm "$(V)" $(ARGS)

soak: $(INSTALLED) ## random faults under load, as in SEED=7 MINUTES=10; or KILLS=100
	@scripts/soak $(if $(SEED),--seed "$(SEED)") $(if $(MINUTES),--minutes "$(MINUTES)") $(if $(KILLS),--kills "$(KILLS)")

lint: $(INSTALLED) $(LINT_INSTALLED) ## ruff, mypy, layers, policies, tidiness
	@$(RUN) $(BIN)/ruff check . scripts/write-*
	@$(RUN) $(BIN)/ruff format --check . scripts/write-*
	@$(RUN) $(BIN)/mypy
	@PYTHONPATH=src .venv-lint/bin/lint-imports --no-cache
	@$(RUN) scripts/check-policies
	@$(RUN) $(BIN)/python -m pytest -q tests/test_tidy.py tests/test_docs.py

coverage: $(INSTALLED) ## lines and branches of domain and application that no test reaches
	@$(RUN) $(BIN)/python -m pytest -q --cov --cov-report=term-missing tests/unit

bench: $(INSTALLED) ## measure again what the README claims about speed
	@set -e; for script in bench/*.py; do echo "== $$script"; $(RUN) $(BIN)/python "$$script"; done

policies: $(INSTALLED) ## compile the Rego (needs opa), then check and test the policies
	@scripts/install-opa --exact
	@$(RUN) $(BIN)/tallygate policy build
	@$(RUN) scripts/check-policies
	@$(RUN) $(BIN)/tallygate policy check
	@$(RUN) $(BIN)/tallygate policy test

docs: $(INSTALLED) ## write again the pages that come from the code
	@set -e; for script in scripts/write-*; do $(RUN) $(BIN)/python "$$script"; done

lock: ## resolve requirements.lock again; UPGRADE=1 takes newer versions
	@PYTHON="$(PYTHON)" scripts/lock $(if $(UPGRADE),--upgrade)

clean: ## remove environments, tools, caches and the demo's data
	@rm -rf .venv .venv-lint .tools .tallygate dist build .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage
	@find src tests bench scripts -name __pycache__ -type d -prune -exec rm -rf {} +

define NEW_VENV
	@command -v "$(PYTHON)" >/dev/null || { echo "tallygate needs Python 3.11 or newer, and there is no '$(PYTHON)' here. Name one: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "tallygate needs Python 3.11 or newer; '$(PYTHON)' is $$("$(PYTHON)" --version 2>&1). Name another: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@test -x $(1)/bin/pip || "$(PYTHON)" -m venv $(1) || { rm -rf $(1); echo "'$(PYTHON)' cannot make a virtual environment; on Debian and Ubuntu the package python3-venv is missing." >&2; exit 1; }
endef

$(LOCKED): requirements.lock
	$(call NEW_VENV,.venv)
	@echo "installing requirements.lock into .venv (a minute or two, once)"
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@touch $@

# hatchling is in the lock, so building the package downloads nothing that has no hash.
$(INSTALLED): $(LOCKED) pyproject.toml
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

$(LINT_INSTALLED): requirements-lint.lock
	$(call NEW_VENV,.venv-lint)
	@.venv-lint/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-lint.lock
	@touch $@
