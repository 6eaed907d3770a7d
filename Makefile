# make lab    sets up .venv, compiles the processor once, opens JupyterLab on the book
# make test   sets up .venv and runs every check
#
# Compiled code is kept in the user's cache directory (`pyvirt warmup` names it), outside
# .venv: `make clean` leaves it, and a second set-up starts warm.
# Without make: pip install "pyvirt-edu[lab]", then `pyvirt lab`.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
# More for one run: make test PYTEST="-k flags"
PYTEST ?=
JOBS   ?= auto

TEST_EXTRAS ?= lab,test,docs,grade

.DELETE_ON_ERROR:
.PHONY: help lab test long html format clean

help:
	@sed -n '1,2s/^# //p' Makefile
	@echo "make long   the tests that take minutes"
	@echo "make html   the book as static pages, in build/html"
	@echo "make format sorts imports and lays out the code"
	@echo "make clean  removes what these made"

$(VENV)/made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "pyvirt_edu needs Python 3.11 or later; name one with: make PYTHON=python3.12 ..." >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { \
	  echo "This Python cannot make virtual environments." >&2; \
	  echo "On Debian and Ubuntu: sudo apt install python3-venv   then run make again." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

# Stamps: pip runs again only after pyproject.toml has changed.
$(VENV)/lab: pyproject.toml | $(VENV)/made
	$(BIN)/python -m pip install --quiet --editable ".[lab]"
	@touch $@

$(VENV)/test: pyproject.toml | $(VENV)/made
	$(BIN)/python -m pip install --quiet --editable ".[$(TEST_EXTRAS)]"
	@touch $@ $(VENV)/lab

lab: $(VENV)/lab
	$(BIN)/pyvirt lab book

test: $(VENV)/test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pyvirt warmup
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile --nbval --nbval-current-env tests book $(PYTEST)

long: $(VENV)/test
	$(BIN)/pyvirt warmup
	$(BIN)/python -m pytest -m long tests $(PYTEST)

html: $(VENV)/test
	$(BIN)/sphinx-build -W --keep-going -q -b html book build/html
	@echo "open build/html/index.html"

format: $(VENV)/test
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
