# Two commands do everything on a fresh machine with Python >= 3.11: `make report` and `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
EXTRA ?=
INSTALLED := $(VENV)/.installed$(if $(EXTRA),-$(EXTRA))
WORKDIR ?= runs/laptop
SCALE ?= laptop
JOBS ?= 2
# A process that dies ends the suite: with another in its place, pytest-xdist 3.8 waits for ever at the end.
PARALLEL = -n $(JOBS) --dist loadfile --max-worker-restart 0
# The second suite: the parts that depend on the version of JAX, with the newest one.
NEXT_PYTHON ?= $(shell .ci/find-python 3.12 3.99)
NEXT_VENV ?= .venv-next
NEXT_TESTS ?= tests/mixers tests/kernels tests/models tests/decoding tests/training
# What CI runs of it, in a minute and a half on two cores: two mixers, kernels, decoding, a training step, and a real run
# that is killed and resumed.
NEXT_QUICK ?= tests/mixers/test_contract.py tests/kernels/test_attention.py tests/kernels/test_recurrent.py \
  tests/decoding tests/training/test_step.py tests/test_resume.py
NEXT_ONLY ?= not (test_contract or test_layers) or gru or gated_delta
# Arguments: interpreter, virtual environment, extras.
define make_venv
	@$(1) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Python 3.11 or newer is needed; this is " + sys.version.split()[0] + ". Choose another: make PYTHON=python3.12 …")'
	$(1) -m venv $(2)
	$(2)/bin/python -m pip install --quiet --disable-pip-version-check -r requirements.lock $(if $(3),-e '.[$(3)]')
	$(2)/bin/python -m seqmodels.kernels.cpu
	touch $(2)/.installed $@
endef

.PHONY: install install-next report test test-next test-next-quick lint format lock clean

install: $(INSTALLED)  ## What the programs need, as pinned. EXTRA=cuda, cuda12, tpu, tfds or peers adds an extra of pyproject.toml.

$(INSTALLED): requirements.lock
	$(call make_venv,$(PYTHON),$(VENV),$(EXTRA))

$(NEXT_VENV)/.installed: requirements.lock
	$(if $(NEXT_PYTHON),,$(error no Python 3.12 or newer found; choose one: make test-next NEXT_PYTHON=…))
	$(call make_venv,$(NEXT_PYTHON),$(NEXT_VENV))

install-next: $(NEXT_VENV)/.installed  ## What `make test-next` needs, with a newer Python.

report: install  ## The comparison: the experiments and verdicts that ten minutes allow, one page.
	$(BIN)/python main.py --mode=compare --scale=$(SCALE) --workdir=$(WORKDIR)

test: install  ## The whole test suite, in JOBS processes.
	$(BIN)/python -m pytest $(PARALLEL)

test-next: $(NEXT_VENV)/.installed  ## NEXT_TESTS with a newer Python and the newest JAX.
	$(NEXT_VENV)/bin/python -m pytest $(PARALLEL) $(NEXT_TESTS)

test-next-quick: $(NEXT_VENV)/.installed  ## NEXT_QUICK with a newer Python and the newest JAX, as in CI.
	$(NEXT_VENV)/bin/python -m pytest $(PARALLEL) -k '$(NEXT_ONLY)' $(NEXT_QUICK)

lint: install  ## Format, types, one-way imports, words that docs/glossary.md replaces.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/python .ci/check_style.py

format: install
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock:  ## Exact versions of everything, for every supported Python and platform.
	uv pip compile requirements-dev.txt --universal --python-version 3.11 --no-emit-index-url --upgrade -o requirements.lock

clean:
	rm -rf $(VENV) $(NEXT_VENV) runs .pytest_cache .mypy_cache .ruff_cache
