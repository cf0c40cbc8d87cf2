# `make run` shows the works, `make test` is what must hold; CONTRIBUTING.md has the rest.
SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin
PARALLEL := -n logical --maxprocesses 8 --dist loadfile  # a file's tests share what they have set up
export GANWORKS_DATA_MIRROR ?= $(CURDIR)/.cache/data
export PATH := $(CURDIR)/.cache/bin:$(PATH)

.PHONY: run test check bench learn soak format schemas clean

run: .venv/ready
	.ci/fetch fashion-mnist
	$(BIN)/ganworks run quickstart

test: .venv/ready
	.ci/fetch fashion-mnist mnist cifar-10 promtool
	$(MAKE) check
	$(BIN)/pytest $(PARALLEL) tests/contract tests/integration
	$(BIN)/pytest tests/acceptance

check: .venv/ready
	$(BIN)/ruff format --check ganworks_launcher.py jobs trainers orchestrator tests
	$(BIN)/ruff check ganworks_launcher.py jobs trainers orchestrator tests
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest $(PARALLEL) tests/unit

bench: .venv/ready
	.ci/fetch fashion-mnist
	$(BIN)/python -m tests.bench

learn: .venv/ready
	.ci/fetch fashion-mnist mnist
	$(BIN)/pytest -s tests/learn

soak: .venv/ready
	.ci/fetch fashion-mnist promtool
	GANWORKS_CASES=20000 $(BIN)/pytest -s tests/unit/orchestrator/test_any_input.py tests/unit/orchestrator/test_openapi.py
	GANWORKS_HISTORIES=500 $(BIN)/pytest -s tests/unit/orchestrator/test_scheduler_any_history.py
	$(BIN)/pytest -s tests/soak
	$(BIN)/python -m tests.field

format: .venv/ready
	$(BIN)/ruff check --fix ganworks_launcher.py jobs trainers orchestrator tests
	$(BIN)/ruff format ganworks_launcher.py jobs trainers orchestrator tests

schemas: .venv/ready
	$(BIN)/python -m trainers.gan.describe jobs/families
	PYTHONPATH=tests/plugin $(BIN)/python -m trainers.gan.describe tests/plugin/toy_gans/families spots

# torch first: its plain name would bring gigabytes of CUDA to a machine without a GPU.
.venv/ready: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt torch==2.13.0
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[all,test]'
	touch $@

clean:
	rm -rf .venv .cache build *.egg-info
