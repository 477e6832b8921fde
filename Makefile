# Two commands do everything on a fresh machine with Python >= 3.11: `make report` and `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
WORKDIR ?= runs/laptop
SCALE ?= laptop
JOBS ?= 2

.PHONY: install report test lint format lock clean

install: $(VENV)/.installed

$(VENV)/.installed: requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Python 3.11 or newer is needed; this is " + sys.version.split()[0] + ". Name one: make PYTHON=python3.12 …")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/python -m seqmodels.kernels.cpu
	touch $@

report: install  ## The comparison: every experiment, every verdict, one page.
	$(BIN)/python main.py --mode=compare --scale=$(SCALE) --workdir=$(WORKDIR)

test: install  ## The whole test suite, in JOBS processes.
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile

lint: install  ## Style, types, one-way imports.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

format: install
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock:  ## Exact versions of everything, for every supported Python and platform.
	uv pip compile requirements-dev.txt --universal --python-version 3.11 --no-emit-index-url --upgrade -o requirements.lock

clean:
	rm -rf $(VENV) runs .pytest_cache .mypy_cache .ruff_cache
