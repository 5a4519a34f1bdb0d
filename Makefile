# Two commands do all the set-up on a fresh machine with Python 3.11+: `make demo` and `make test`.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test lint
.venv/.test: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test]'
	touch $@

demo: .venv/.test
	$(BIN)/driftd demo

test: .venv/.test
	NML_DISABLE_USAGE_LOGGING=1 DO_NOT_TRACK=1 $(BIN)/python -m pytest -q

lint: .venv/.test
	$(BIN)/ruff check .
