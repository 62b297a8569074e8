# Everything a developer or operator types; each target works on a fresh clone.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
# requirements.lock has two parts: what runs, then (below this line) what tests and checks.
MARK := \# --- tests and checks ---
# The engine of Rocket.Chat Apps, for the test of ours; its lock holds versions and hashes, no address.
ENGINE := tests/scenarios/clients/apps_engine

.PHONY: setup setup-dev run test bench lint check format reference lock clean

setup: $(VENV)/.run
setup-dev: $(VENV)/.dev $(VENV)/.node

$(VENV)/.run: requirements.lock pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	sed '/^$(MARK)/,$$d' requirements.lock > $(VENV)/run.txt
	$(PIP) install --no-deps --require-hashes -r $(VENV)/run.txt
	$(PIP) install --no-deps --no-build-isolation --editable .
	touch $@

$(VENV)/.dev: $(VENV)/.run
	sed '1,/^$(MARK)/d' requirements.lock > $(VENV)/dev.txt
	$(PIP) install --no-deps --require-hashes -r $(VENV)/dev.txt
	touch $@

# Where Node or its registry is missing, the test of the Rocket.Chat App is skipped and says so.
$(VENV)/.node: $(ENGINE)/package.json $(ENGINE)/package-lock.json | $(VENV)/.dev
	mkdir -p $(VENV)/node
	cp $^ $(VENV)/node
	if ! command -v node >/dev/null || ! command -v npm >/dev/null; then echo "Node is not installed."; \
	elif npm ci --ignore-scripts --legacy-peer-deps --no-audit --no-fund --loglevel=error --prefix $(VENV)/node; then touch $@; \
	else echo "The Apps-Engine could not be installed."; fi

run: setup
	$(BIN)/patchbay serve

# Two workers share the tests out by file; what judges time (marked flaky, as a busy machine may spoil it) runs alone.
test: setup-dev
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "not flaky"
	$(BIN)/python -m pytest -m flaky

# Runs the fault suite at full length (about 19 minutes), then prints the figures (about 25).
# QUICK=1 leaves the faults out and ends within 2 minutes; ONLY="posts relay" measures only these; JSON=FILE writes
# the figures, too.
bench: setup-dev
	$(if $(QUICK)$(ONLY),,FAULTS=full $(BIN)/python -m pytest tests/faults)
	$(BIN)/python -m tests.bench $(if $(QUICK),--quick) $(if $(JSON),--json $(JSON)) $(ONLY)

lint: setup-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

check: lint test

format: setup-dev
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

# Writes the command reference in README.md anew, from the declarations.
reference: setup-dev
	$(BIN)/python -c "import pathlib; from handlers.command import load_commands; from handlers.reference import *; \
	  file = pathlib.Path('README.md'); head, _, rest = file.read_text('utf-8').partition(BEGIN); \
	  file.write_text(head + BEGIN + '\n\n' + reference(load_commands()) + '\n' + END + rest.partition(END)[2], 'utf-8')"

# Needs uv on the PATH. Addresses of indexes are never written.
lock:
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header \
	  --extra build pyproject.toml -o $(VENV)/lock-run.txt
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header \
	  --extra build --extra dev -c $(VENV)/lock-run.txt pyproject.toml -o $(VENV)/lock-all.txt
	$(PYTHON) -c "import re, sys; parts = lambda p: re.findall(r'^\S.*?(?=^\S|\Z)', open(p).read(), re.M | re.S); \
	  run = parts(sys.argv[1]); rest = [p for p in parts(sys.argv[2]) if p not in run]; \
	  open('requirements.lock', 'w').write(''.join(run) + '$(MARK)\n' + ''.join(rest))" $(VENV)/lock-run.txt $(VENV)/lock-all.txt

clean:
	rm -rf $(VENV) build *.egg-info
