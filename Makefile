# make demo and make test do all their own set-up on a fresh machine.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

.PHONY: demo test test-connectors test-all check chaos chaos-connectors soak bench bench-connectors bench-nexmark bench-checkpoints bench-latency bench-state nightly servers sql-fuzz clean

demo: $(STAMP)
	$(BIN)/penstock demo --seconds 20

test: $(STAMP) servers
	$(BIN)/python -m pytest

# Connectors against real servers of Kafka and others, which are installed where they are missing.
test-connectors: $(STAMP) servers
	tests/servers/install-systems.sh
	$(BIN)/python -m pytest tests/systems

# The tests on each Python that is found; uv fetches those that are not installed.
PYTHONS ?= 3.11 3.12 3.13
test-all: servers
	@for version in $(PYTHONS); do \
		python=$$(python$$version -c 'import sys; print(sys.executable)' 2>/dev/null \
			|| uv python find $$version 2>/dev/null \
			|| { uv python install --quiet $$version 2>/dev/null && uv python find $$version; }); \
		if [ -z "$$python" ]; then echo "no Python $$version"; continue; fi; \
		echo "Python $$version: $$python"; \
		$(MAKE) test PYTHON="$$python" VENV=".venv-$$version" || exit 1; \
	done

check: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest --doctest-modules src/penstock tests/test_docs.py

chaos: $(STAMP) servers
	KILLS=$(or $(KILLS),1000) $(BIN)/python -m tests.chaos

# The same over real systems, whose servers are killed too.
chaos-connectors: $(STAMP) servers
	tests/servers/install-systems.sh
	KILLS=$(or $(KILLS),100) SERVER_KILLS=$(or $(SERVER_KILLS),20) $(BIN)/python -m pytest -s \
		tests/systems/test_kafka_crashes.py

bench: $(STAMP)
	$(BIN)/python -m benchmarks

# Each connector beside the bare client of its system.
bench-connectors: $(STAMP) servers
	tests/servers/install-systems.sh
	$(BIN)/python -m benchmarks.connectors

bench-nexmark: $(STAMP)
	$(BIN)/python -m benchmarks.nexmark

bench-latency: $(STAMP)
	$(BIN)/python -m benchmarks.latency

bench-state: $(STAMP)
	$(BIN)/python -m benchmarks.state $(or $(KEYS),10000000) $(or $(SECONDS),600) $(MEMORY)

bench-checkpoints: $(STAMP)
	$(BIN)/python -m benchmarks.checkpoints $(or $(SECONDS),20)

# Random SQL queries against DuckDB, what is wrong made small; then random INSERT, UPDATE and DELETE.
sql-fuzz: $(STAMP)
	$(BIN)/python -m tests.sql_plan.differential $(or $(SECONDS),600) $(SEED)
	$(BIN)/python -m tests.sql_plan.random_changes $(or $(SECONDS),600) $(SEED)

soak: $(STAMP)
	$(BIN)/python -m benchmarks.soak $(or $(SECONDS),3600)

nightly: $(STAMP) servers
	HYPOTHESIS_PROFILE=nightly $(BIN)/python -m pytest -m "nightly or not nightly"

servers:
	tests/servers/install.sh

$(STAMP): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --group dev --editable ".[all]"
	touch $(STAMP)

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist
