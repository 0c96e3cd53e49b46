# Everything runs in .venv, which is made from the lock file when it is missing or older.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
COMPILED := $(VENV)/.compiled
PIP = $(BIN)/python -m pip install --quiet --disable-pip-version-check
UV = $(BIN)/uv pip install --quiet --python $(BIN)/python

.DEFAULT_GOAL := help
.PHONY: help demo test check lint pure every fmt releases bench schemas lock clean

help: ## Show this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

demo: $(READY) ## Gates on, on a real registry: a promotion, its rollback, a move by hand taken back, stages left for aliases
	@$(BIN)/python examples/demo/demo.py

# What is compiled once is kept: without it each server and each command that the tests start compiles MLflow anew.
unexport PYTHONDONTWRITEBYTECODE

# A file's tests share what they begin with, so they stay together; in the order of the folders the small ones come last.
# One worker more than the two processors that there are at least: each waits for servers and for git now and then.
PYTEST := $(BIN)/pytest -n 3 --dist loadfile --no-loadscope-reorder

# The type checker takes a minute of one core, and the tests wait for others now and then.
test: $(READY) ## Lint, types, import rules, schemas, and every test
	@$(MAKE) --no-print-directory -j2 lint every

every: $(COMPILED)
	$(PYTEST)

check: $(READY) ## The same without the tests that need a server, a whole repository or a sandbox: before each push
	@$(MAKE) --no-print-directory -j2 lint pure

lint: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/basedpyright --warnings
	$(BIN)/lint-imports
	for name in manifest policy plan receipt drift status access history as-of diff audit bundle; do $(BIN)/reconciler schema $$name | cmp - schemas/$$name.schema.json || exit 1; done

pure: $(READY)
	$(PYTEST) -m "not house" tests/unit tests/golden tests/properties

fmt: $(READY) ## Format the code and mend what lint can mend
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

RELEASES := 2.9.2 2.14.3 2.17.2 2.20.4 2.22.2 3.0.1 3.1.4 3.3.2 3.4.0 3.5.1 3.6.0 3.8.1 3.10.0 3.12.0 3.14.0 3.16.0
releases: $(READY) ## Try clients and servers of many releases of MLflow, each with the installed one; takes an hour
	RECONCILER_RELEASES="$(RELEASES)" $(BIN)/pytest -n 2 tests/story/test_releases.py

bench: $(READY) ## Measure plan and apply against a real server; writes docs/benchmarks.md
	$(BIN)/python tests/bench/run.py

schemas: $(READY) ## Write the JSON Schemas anew
	for name in manifest policy plan receipt drift status access history as-of diff audit bundle; do $(BIN)/reconciler schema $$name --output schemas/$$name.schema.json; done

lock: $(READY) ## Resolve the dependencies anew into the two lock files; what jobs install is without the tools, and without what MLflow needs to be a server
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --group dev \
		--custom-compile-command "make lock" pyproject.toml -o requirements.lock
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --constraint requirements.lock \
		--group job --override action/overrides.txt --custom-compile-command "make lock" pyproject.toml \
		-o reconciler/scaffold/reconciler.lock

clean: ## Remove what the other targets made
	rm -rf $(VENV) .demo .hypothesis .pytest_cache .ruff_cache .import_linter_cache

$(READY): requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.12 …")'
	$(PYTHON) -m venv $(VENV)
	awk '/^uv==/ {wanted = 1} wanted; wanted && !/\\$$/ {exit}' requirements.lock > $(VENV)/uv.lock
	$(PIP) --require-hashes -r $(VENV)/uv.lock
	@# Installs all of it in seconds, where pip takes minutes; pip does it where that cannot run or reach its index.
	$(UV) --require-hashes -r requirements.lock || $(PIP) --require-hashes -r requirements.lock
	$(UV) --no-deps --no-build-isolation -e . || $(PIP) --no-deps --no-build-isolation -e .
	@touch $@

# Once, before many processes import it at the same time, each of which would compile it.
$(COMPILED): $(READY)
	$(BIN)/python -W ignore -c "import tests.story.frozen, mlflow.server.fastapi_app, mlflow.cli, mlflow.sklearn"
	@touch $@
