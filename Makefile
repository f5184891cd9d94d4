# Needs git, make and some Python 3; everything else goes into .venv.

VENV := .venv
UV := build/uv/bin/uv
LOCKING := --universal --generate-hashes --upgrade --no-python-downloads --no-emit-index-url --no-emit-find-links \
  --no-header --quiet
ARGS ?=

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup run test test-fast test-slow coverage lint format docs metadata dist bench lock clean

help: ## show this help
	@echo "bayes-rootc: how much root carbon really reaches the soil"
	@echo
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo
	@echo "  ARGS=...      is passed on (make run ARGS=--quick, make test ARGS='-k radiocarbon')"
	@echo "  PYTHON=...    the interpreter to build .venv with, 3.12 or newer"

run: $(VENV)/.ready ## the whole system on the demo world, with its report
	$(VENV)/bin/bayes-rootc run --out demo-report $(ARGS)

# Each of the two workers has one thread for linear algebra: threads of both would wait for each other.
ONE_THREAD = OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1
PYTEST = $(ONE_THREAD) $(VENV)/bin/python -m pytest -n 2 --dist loadfile

test-fast: $(VENV)/.ready ## tests without a hierarchical model to compile or a whole run, in a minute
	$(PYTEST) -m "not slow and not compiled and not whole_run and not thorough" $(ARGS)

test: $(VENV)/.ready ## the tests that show that results are right, docstring examples included
	$(PYTEST) -m "not slow" $(ARGS)

test-slow: $(VENV)/.ready ## kills, long calibration, fits of the real data, big maps
	$(PYTEST) -m slow $(ARGS)

coverage: $(VENV)/.ready ## share of each part's lines that the tests run
	@mkdir -p build
	$(VENV)/bin/coverage erase
	$(ONE_THREAD) $(VENV)/bin/coverage run -m pytest -n 2 --dist loadfile $(ARGS)
	$(VENV)/bin/coverage combine --quiet
	$(VENV)/bin/coverage json --quiet -o build/coverage.json
	$(VENV)/bin/python tools/coverage_table.py build/coverage.json

lint: $(VENV)/.ready ## formatting, lint and types
	$(VENV)/bin/ruff format --check
	$(VENV)/bin/ruff check
	$(VENV)/bin/mypy

format: $(VENV)/.ready ## format the code, fix what lint can fix
	$(VENV)/bin/ruff format
	$(VENV)/bin/ruff check --fix

# Material for MkDocs would else say, on every build, until when it is maintained.
docs: $(VENV)/.ready ## build the documentation, a static site, from the repository alone
	NO_MKDOCS_2_WARNING=1 $(VENV)/bin/python -m mkdocs build --quiet --strict
	@echo "Documentation: $(CURDIR)/build/site/index.html"

metadata: $(VENV)/.ready ## codemeta.json and .zenodo.json from CITATION.cff and pyproject.toml
	$(VENV)/bin/python tools/metadata.py

# The tools come from the package registry. Pyroma asks for a mail address, which the project does not have.
dist: $(VENV)/.ready $(UV) ## wheel and source archive, checked, in dist/
	rm -rf dist
	$(UV) build --quiet --python $(VENV)/bin/python
	$(UV) tool run --python $(VENV)/bin/python twine check --strict dist/*
	$(UV) tool run --python $(VENV)/bin/python check-wheel-contents dist/*.whl
	$(UV) tool run --python $(VENV)/bin/python pyroma --min=10 --skip-tests=AuthorEmail .

bench: $(VENV)/.ready ## speed, compared with the usual alternatives
	$(VENV)/bin/python -m benchmarks $(ARGS)

setup: $(VENV)/.ready ## .venv with the locked packages (the other targets do it when needed)

# The lock names every package with its hashes, for every Python >= 3.12 and platform; the build backend is in it
# because the package itself is installed without build isolation.
lock: $(UV) ## update requirements.lock and tools/uv.txt to the newest releases
	echo uv | $(UV) pip compile - $(LOCKING) --python-version 3.8 --no-annotate --output-file tools/uv.txt
	echo 'setuptools>=77' | $(UV) pip compile pyproject.toml - --extra dev $(LOCKING) --python-version 3.12 \
	  --output-file requirements.lock

clean: ## remove .venv, caches and the demo report
	rm -rf $(VENV) build demo-report .coverage* *.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Any Python 3 may do the looking. It is tried first because a pyenv shim can exist and not run.
FIND_PYTHON = for python in python3 python python3.13 python3.12 /usr/bin/python3; do \
	  "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 6))' 2>/dev/null && exec "$$python" tools/find_python.py; \
	done; echo "found no Python 3: install Python 3.13" >&2; exit 2

# The stamps come last, so an interrupted setup starts again. Only a new lock costs a new .venv. uv installs in parallel;
# where it cannot be had or does not reach the registry that pip is configured for, pip does the same.
$(VENV)/.locked: requirements.lock
	@rm -rf $(VENV)
	@python=$$($(FIND_PYTHON)) && echo "Setting up $(VENV) with $$python (once, a minute or two)" && "$$python" -m venv $(VENV)
	@{ $(MAKE) --silent $(UV) && $(UV) pip install --quiet --compile-bytecode --python $(VENV)/bin/python \
	    --require-hashes -r requirements.lock; } 2>/dev/null || { echo "uv is not to be had here: pip installs, which takes longer"; \
	  $(VENV)/bin/python -m pip install -qq --disable-pip-version-check --require-hashes -r requirements.lock; }
	@touch $@

$(VENV)/.ready: $(VENV)/.locked pyproject.toml
	@$(VENV)/bin/python -m pip install -qq --disable-pip-version-check --no-deps --no-build-isolation -e .
	@$(VENV)/bin/python -m pip check || { echo "requirements.lock lags behind pyproject.toml: make lock" >&2; exit 2; }
	@touch $@

$(UV): tools/uv.txt
	@python=$$($(FIND_PYTHON)) && rm -rf build/uv && "$$python" -m venv build/uv
	@build/uv/bin/python -m pip install -qq --disable-pip-version-check --require-hashes -r tools/uv.txt && touch $@
