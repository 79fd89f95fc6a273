# Every target sets up what it needs: Python 3.11 or later, make and git are enough.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
LOCK   := .ci/requirements.lock
RUN    := .ci/requirements-run.lock
PIP    := $(BIN)/python -m pip install --disable-pip-version-check

.PHONY: demo test lint format proofs simulate long bench lock wheel clean

# Needs what running needs, and none of the tools for tests and lint.
demo: $(VENV)/.runs
	@echo 'The story of one workflow, told against a Klaviyo account on this machine:'
	$(BIN)/askel demo --headless

# The suite: under five minutes on two cores.
test: $(VENV)/.installed
	$(BIN)/python -m pytest -n auto --dist worksteal

lint: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/vulture

format: $(VENV)/.installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Proofs that take minutes: random kills, wheels, foreign clients.
proofs: $(VENV)/.installed
	TESTS_EXAMPLES=proofs $(BIN)/python -m pytest -m "(slow or hypothesis) and not long" -n auto --dist worksteal
	$(BIN)/python -m tests.support.clocks

# The engine against a simulated account: one seed, or with HOURS fresh ones from it on (tests/simulator/README.md).
simulate: $(VENV)/.installed
	$(BIN)/python -m tests.simulator $(SEED) $(if $(HOURS),--hours $(HOURS)) $(if $(COUNT),--count $(COUNT)) \
	  $(if $(ACTIONS),--actions $(ACTIONS)) $(if $(KINDS),--kinds $(KINDS))

# Hours of seeds and examples; for a closing note, not for CI.
long: $(VENV)/.installed
	TESTS_EXAMPLES=long $(BIN)/python -m pytest -m "long or hypothesis" -n auto --dist worksteal --timeout 7200

bench: $(VENV)/.installed
	$(BIN)/python -m tests.benchmarks

wheel: $(VENV)/.installed
	$(BIN)/python -m pip wheel --no-deps --wheel-dir dist .

# Renews the lock file from pyproject.toml: exact versions with hashes, no addresses.
lock: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile --quiet --generate-hashes --no-header --universal --python-version 3.11 \
	  --group pyproject.toml:test --group pyproject.toml:lint pyproject.toml --output-file $(LOCK)
	$(BIN)/uv pip compile --quiet --generate-hashes --no-header --universal --python-version 3.11 \
	  --constraint $(LOCK) pyproject.toml --output-file $(RUN)

$(VENV)/.runs: pyproject.toml $(RUN)
	@echo 'Making a Python environment in $(VENV) (once)'
	@$(PYTHON) -m venv $(VENV)
	@echo "Installing the $$(grep -c '==' $(RUN)) packages that Askel runs on"
	@$(PIP) --quiet --require-hashes -r $(RUN)
	@echo 'Installing Askel itself'
	@$(PIP) --quiet --no-deps --editable .
	@touch $@

$(VENV)/.installed: $(VENV)/.runs $(LOCK)
	@echo "Installing the tools for tests and lint ($$(grep -c '==' $(LOCK)) packages in all)"
	@$(PIP) --quiet --require-hashes -r $(LOCK)
	@touch $@

clean:
	rm -rf $(VENV) dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
