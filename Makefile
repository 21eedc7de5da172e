# make run    the demo: every server on loopback, two accounts, ready in a second
# make test   everything that CI runs; `make soak [ONLY=name]` the large counts
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip --disable-pip-version-check
ONLY ?=

.PHONY: run venv dev clients style types imports unit test soak bench format lock clean

run: venv
	@exec $(BIN)/postroom demo

venv: $(VENV)/.installed
dev: $(VENV)/.dev

$(VENV)/.installed: requirements.lock requirements-build.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Postroom needs Python 3.11 or newer; this is " + sys.version.split()[0] + ". Try: make PYTHON=python3.12 run")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { echo 'The venv module is missing: apt-get install python3-venv' >&2; rm -rf $(VENV); exit 1; }
	$(PIP) install --quiet --require-hashes -r requirements.lock -r requirements-build.lock
	$(PIP) install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/.installed requirements-dev.lock
	$(PIP) install --quiet --require-hashes -r requirements-dev.lock
	@touch $@

clients:
	@sh tests/clients/install

style: dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: dev
	$(BIN)/mypy

imports: dev
	$(BIN)/lint-imports

unit: dev
	$(BIN)/pytest -n 2 --dist loadfile -m 'not soak'

test: dev clients style types imports unit

soak: dev clients
	$(BIN)/python tests/soak.py $(ONLY)

bench: venv
	cd bench && ../$(BIN)/python launch.py --root .. --plain --sha512 -- ../$(BIN)/python mail.py --ours {target}

format: dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Needs uv; writes no address of any registry.
lock:
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate pyproject.toml -o requirements.lock
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate --group build pyproject.toml -c requirements.lock -o requirements-build.lock
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate --group dev pyproject.toml -c requirements.lock -o requirements-dev.lock

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache soak
