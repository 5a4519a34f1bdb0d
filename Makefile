# Two commands do all the set-up on a fresh machine with Python 3.11+: `make demo` and `make test`.
PYTHON ?= python3
BIN := .venv/bin
QUIET := NML_DISABLE_USAGE_LOGGING=1 DO_NOT_TRACK=1
C_PARTS := setup.py $(wildcard monitor/*.[ch] monitor/decode/*.[ch] detectors/*.[ch])
PIP := $(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: demo test test-faults bench bench-quality lint docs servers

.venv/.demo: pyproject.toml constraints.txt $(C_PARTS)
	$(PYTHON) -m venv .venv
	$(PIP) -e .
	touch $@

.venv/.test: pyproject.toml constraints.txt $(C_PARTS)
	$(PYTHON) -m venv .venv
	$(PIP) -e '.[test]'
	touch .venv/.demo $@

demo: .venv/.demo            ## watch a simulated model drift, alert, be retrained and recover
	$(BIN)/driftd demo

servers:
	tests/servers/install.sh

test: servers .venv/.test    ## all tests, the faults in a shortened, seeded form
	$(QUIET) $(BIN)/python -m pytest -q -n 2 --dist loadfile

test-faults: servers .venv/.test    ## the faults at length: 200,000 events, 30 and more kills
	$(QUIET) DRIFTD_FAULTS=full $(BIN)/python -m pytest -q tests/faults

bench: servers .venv/.test   ## throughput and peers, as ratios measured side by side in this run
	$(PIP) 'whylogs>=1.6' || echo "whylogs cannot be installed here: its row is left out"
	$(QUIET) $(BIN)/python -m tests.bench.stream
	$(QUIET) $(BIN)/python -m tests.bench.stream --labels --events 500000
	$(QUIET) $(BIN)/python -m tests.bench.replay
	$(QUIET) $(BIN)/python -m tests.bench.scores
	$(QUIET) $(BIN)/python -m tests.bench.peers
	$(QUIET) $(BIN)/python -m tests.bench.alerts
	$(QUIET) $(BIN)/python -m tests.bench.storm
	$(QUIET) $(BIN)/python -m tests.bench.memory
	$(QUIET) $(BIN)/python -m tests.bench.page

bench-quality: .venv/.test   ## false alarms, power, stream detectors, estimates, beside the peers; QUALITY=--quick
	$(QUIET) $(BIN)/python -m tests.bench.quality $(QUALITY)

lint: .venv/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: .venv/.test            ## what is made from the code: the dashboards, the README's tables and picture
	$(BIN)/python -m dashboards.make
	$(BIN)/python -m tests.readme_tables
	$(BIN)/python -m tests.screenshots
