# The two commands of the README are `make demo` and `make test`. Everything is installed into .venv.

PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3.13 || command -v python3)
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --constraint constraints.txt
PYTEST := $(BIN)/python -m pytest

.PHONY: demo kernels test test-models test-faults lint types bare wheel bench clean

demo: $(VENV)/.demo ## Set up, index the sample collection, search it, measure it.
	$(BIN)/splade-connectors demo

kernels: | $(BIN)/python ## Build the int8 kernels (Rust) into the environment; everything runs without them.
	$(PIP) "maturin>=1.7,<2"
	cd kernels && ../$(BIN)/maturin develop --release --quiet

test: $(VENV)/.test ## Set up and run the tests; those that lack Java or a server say what to install.
	$(PYTEST) -m "not models" --numprocesses 2 --dist loadfile --no-loadscope-reorder

test-models: $(VENV)/.models ## The tests that need torch, transformers and sentence-transformers.
	$(PYTEST) -m models

test-faults: $(VENV)/.test ## Failures of network, server and process at full size; `test` runs a share of it.
	SPLADE_FAULTS=full $(PYTEST) tests/faults
	$(BIN)/python benchmarks/attach_memory.py --job index --check
	$(BIN)/python benchmarks/attach_memory.py --job attach --check

lint: $(VENV)/.lint ## Style.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.test $(VENV)/.lint ## Types, strictly.
	$(BIN)/mypy
	$(BIN)/mypy --strict --explicit-package-bases tests/servers tests/fronts tests/faults

bare: ## The package without extras: it imports, loads nothing heavy, and names what is missing.
	$(PYTHON) -m venv --clear build/bare
	build/bare/bin/python -m pip install --quiet --constraint constraints.txt .
	build/bare/bin/python tests/bare_install.py

wheel: ## Build the wheel, install it elsewhere, run the demo from it.
	$(PYTHON) -m venv --clear build/wheel
	build/wheel/bin/python -m pip wheel --quiet --no-deps --wheel-dir build/dist .
	build/wheel/bin/python -m pip install --quiet --constraint constraints.txt \
	  "$$(ls build/dist/splade_connectors-*.whl)[onnx,qdrant,evaluate]"
	cd build && rm -rf wheel-demo && wheel/bin/splade-connectors demo --path wheel-demo

bench: $(VENV)/.models ## Speed and memory against named peers; see benchmarks/README.md.
	$(BIN)/python benchmarks/encode.py
	$(BIN)/python benchmarks/memory.py
	$(BIN)/python benchmarks/query.py

clean: ## Remove what was built.
	rm -rf $(VENV) build splade-demo

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) -e '.[onnx,qdrant,evaluate]'
	touch $@

$(VENV)/.test: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) -e '.[test]'
	touch $@

$(VENV)/.models: $(VENV)/.test
	$(PIP) -e '.[test-models]'
	touch $@

$(VENV)/.lint: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) -e '.[lint]'
	touch $@
