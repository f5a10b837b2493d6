# Targets for people and for CI. Each does what it needs first and is quick when that is done.
#   PYTHON=python3.12 make setup   takes another interpreter
#   PYG_MMEA_DATA=DIR make test    says where the benchmark data are

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check install --constraint constraints.txt
SOURCES := pyg_mmea tests examples benchmarks datasets docs
# ruff would also format the code in Markdown, where comments are aligned for readers
FORMAT := $(BIN)/ruff format --quiet --exclude '*.md'

export PYG_MMEA_DATA ?= ../shared/data

.PHONY: setup demo test lint format docs clean

setup: $(VENV)/.setup
	@:

# torch comes first: the packages that build against it must find this one.
$(VENV)/.setup: pyproject.toml constraints.txt
	@echo "Installing pyg-mmea into $(VENV)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(PIP) torch
	@$(PIP) --editable '.[full]'
	@touch $@

$(VENV)/.setup-dev: $(VENV)/.setup
	@$(PIP) --editable '.[dev]'
	@touch $@

# Only a test compares with torch-scatter, which needs a C++ compiler and some minutes to build.
$(VENV)/.setup-scatter: $(VENV)/.setup-dev
	@$(BIN)/python -c 'import torch_scatter' 2>/dev/null || { \
	  echo "Building torch-scatter, which takes some minutes"; \
	  $(PIP) setuptools wheel ninja && \
	  PATH="$(CURDIR)/$(BIN):$$PATH" $(PIP) --no-build-isolation torch-scatter; } || \
	  echo "torch-scatter cannot be built here; its test is skipped"
	@touch $@

$(VENV)/.setup-docs: $(VENV)/.setup
	@$(PIP) sphinx sphinx-rtd-theme myst-parser
	@touch $@

demo: setup
	@$(BIN)/pyg-mmea demo

lint: $(VENV)/.setup-dev
	@$(BIN)/ruff check --quiet $(SOURCES)
	@$(FORMAT) --check $(SOURCES)
	@$(BIN)/mypy --no-error-summary

format: $(VENV)/.setup-dev
	@$(BIN)/ruff check --quiet --fix $(SOURCES)
	@$(FORMAT) $(SOURCES)

# Tensors of tests are small: a process a core is faster than threads.
test: lint docs $(VENV)/.setup-scatter
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest --quiet --durations=5 \
	  --numprocesses auto --maxprocesses 4 --dist worksteal \
	  --cov --cov-report=term:skip-covered --cov-fail-under=90

docs: $(VENV)/.setup-docs
	@$(BIN)/python -m sphinx --quiet --fail-on-warning -b html docs docs/_build/html
	@echo "The documentation is in docs/_build/html/index.html"

clean:
	@rm -rf $(VENV) docs/_build docs/api build
