PYTHON ?= python3
BIN := .venv/bin

.PHONY: install test lint quickstart chat bench

install: .venv/installed

# torch first and pinned: a bare torch brings several GB of CUDA libraries that a CPU does not need.
.venv/installed: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet torch==2.13.0
	$(BIN)/pip install --quiet --editable '.[dev]'
	touch $@

test: install
	$(BIN)/pytest

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

quickstart: install
	$(BIN)/g2r quickstart
