# The two commands of a newcomer: `make demo` and `make test`. Everything they need goes into .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PYTEST_ARGS ?=
DEMO_ARGS ?=
# The releases of engine and Prometheus for the tests on real ones: `make e2e LAB_ENGINE=28`, and so many labs at once.
export LAB_ENGINE ?= 20.10 28
LABS ?= 4
# The other tests: some wait for time-outs, so that more than there are cores run at once.
WORKERS ?= 4
# How many lives of each kind `make lives` tries.
LIVES ?= 100

.PHONY: help demo test lint unit quick browser e2e lives bench format lock clean

help: ## Show what can be made.
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(VENV)/.installed: pyproject.toml requirements/dev.lock
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

demo: $(VENV)/.installed ## See it work: simulated services, real decisions. DEMO_ARGS="--for 30s" ends by itself.
	$(BIN)/autoscaler demo $(DEMO_ARGS)

test: lint unit browser e2e ## Everything: style, types, import order, unit to contract tests, the policies' tests, the page in a browser, the real Swarm where it can be had.

lint: $(VENV)/.installed
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

unit: $(VENV)/.installed ## The tests that need no Docker, no Prometheus and no browser.
	$(BIN)/autoscaler check policies
	$(BIN)/autoscaler check policies/companies
	$(BIN)/autoscaler test policies/tests/*.yml
	$(BIN)/pytest tests --ignore=tests/e2e --ignore=tests/browser -n $(WORKERS) $(PYTEST_ARGS)

quick: $(VENV)/.installed ## What of `make unit` takes little time, with few examples of each property: for a look after each edit.
	$(BIN)/pytest tests --ignore=tests/e2e --ignore=tests/browser -m "not slow" --hypothesis-profile=quick -n 2 $(PYTEST_ARGS)

browser: $(VENV)/.installed ## The tests of the page in Chromium; skipped with a reason where there is none.
	$(BIN)/pytest tests/browser $(PYTEST_ARGS)

e2e: $(VENV)/.installed ## The tests on a real dockerd, cAdvisor and Prometheus; skipped with a reason where there are none.
	$(BIN)/pytest tests/e2e -n $(LABS) $(PYTEST_ARGS)

lives: $(VENV)/.installed ## The state machine of the whole cycle for long, at random: LIVES=100 of each kind (ten minutes or more); says what it tried.
	LIVES=$(LIVES) $(BIN)/pytest tests/property/test_cycle_machine.py -s $(PYTEST_ARGS)

bench: $(VENV)/.installed ## What evaluations and an idle daemon cost, beside their budgets; needs Prometheus and ten minutes.
	$(BIN)/python benchmarks/evaluation.py $(BENCH_ARGS)

format: $(VENV)/.installed ## Put the code into the project's style.
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

LOCK := uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --quiet

lock: ## Pin the dependencies anew, with hashes and without any index's name (needs uv).
	$(LOCK) pyproject.toml --output-file requirements/run.lock
	$(LOCK) pyproject.toml --group dev --output-file requirements/dev.lock
	$(LOCK) requirements/build.in --output-file requirements/build.lock

clean: ## Remove what was made here.
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache dist
