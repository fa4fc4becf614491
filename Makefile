# Everything here works on a fresh Debian or Ubuntu that has git, make and Python 3.10 or newer.

PYTHON ?= python3
BIN := .venv/bin
# Without bytecode each worker, and each program that a test starts, compiles everything anew.
PYTEST := env -u PYTHONDONTWRITEBYTECODE $(BIN)/pytest
PARALLEL := -n 3 --dist loadgroup --no-loadscope-reorder --durations=20 --durations-min=1

.PHONY: help demo test test-all wording check docs bench engines gpu gpu-kit clean

help:
	@echo "make demo     capture a working environment, restore it, prove that it is the same"
	@echo "make test     run the tests, with a real engine, registry and base image where they can be had"
	@echo "make test-all the same, with every case instead of a sample"
	@echo "make wording  write the texts of today into the tests: TESTS=tests/cli make wording"
	@echo "make check    run the linters and the type checker"
	@echo "make docs     write the reference pages and the JSON Schemas"
	@echo "make bench    measure snapenv beside other tools, and how it grows, for the documentation"
	@echo "make engines  start the engine, the registry and the base image of the tests"
	@echo "make gpu      measure what only a GPU can tell, in 8 minutes: GPU_PYTHON=ENV/bin/python make gpu"
	@echo "make gpu-kit  pack what a machine without network needs for that: MACHINE=list.txt make gpu-kit"
	@echo "make clean    remove what these made in this folder"

demo: .venv/ready
	@$(BIN)/python examples/demo.py

test: .venv/ready-dev
	$(BIN)/python -m tests.engines || test -z "$$CI"
	$(PYTEST) $(PARALLEL) $(FULL)

test-all:
	@$(MAKE) --no-print-directory test FULL=--full

check: .venv/ready-dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	PYTHONPATH=snapenv/travel/programs $(BIN)/lint-imports
	$(BIN)/python -m docs.generate --check

# In one process, as pytest-xdist does not let tests be written. A test whose text was rewritten counts as an error.
wording: .venv/ready-dev
	-$(PYTEST) -q --inline-snapshot=create,fix $(TESTS)
	$(BIN)/ruff format -q tests

docs: .venv/ready-dev
	$(BIN)/python -m docs.generate

# On a machine that does nothing else: what it finds is what the documentation shows.
bench: .venv/ready-dev
	-env -u PYTHONDONTWRITEBYTECODE $(BIN)/python -m tests.benchmarks --record $(BENCH)
	$(BIN)/python -m docs.generate

engines: .venv/ready-dev
	$(BIN)/python -m tests.engines

# Where a kit lies there may be no network, so that no .venv can be made.
GPU_PYTHON ?= $(PYTHON)
OUTPUT ?= tests/recorded/gpu
GPU_RUN = -m tests.gpu run --output $(OUTPUT) --python $$(command -v $(GPU_PYTHON)) $(GPU_OPTIONS)
gpu:
	@if ls build/gpu-kit/*.tar.xz >/dev/null 2>&1; then $(GPU_PYTHON) $(GPU_RUN); \
	else $(MAKE) --no-print-directory .venv/ready-dev && $(BIN)/python $(GPU_RUN); fi

gpu-kit: .venv/ready
	@$(BIN)/python -m tests.gpu pack $(if $(MACHINE),--machine $(MACHINE)) $(GPU_OPTIONS)

clean:
	rm -rf .venv build

.venv/ready: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("snapenv needs Python 3.10 or newer" if sys.version_info < (3, 10) else 0)'
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || $(MAKE) --no-print-directory python3-venv
	@echo "Setting up .venv"
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade pip
	@$(BIN)/python -m pip install --quiet --editable .
	@touch $@

.venv/ready-dev: .venv/ready
	@$(BIN)/python -m pip install --quiet --group dev
	@touch $@

# Debian and Ubuntu keep ensurepip apart from Python.
.PHONY: python3-venv
python3-venv:
	@test "$$(id -u)" = 0 || { echo "Install python3-venv first: sudo apt-get install python3-venv"; exit 1; }
	@apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends python3-venv >/dev/null
