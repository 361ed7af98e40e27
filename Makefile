PYTHON ?= python3
BIN := .venv/bin

# Threads that sleep while they wait, and memory that is kept: CPU training beside other programs is faster.
export OMP_WAIT_POLICY := passive
export MALLOC_MMAP_MAX_ := 0
export MALLOC_TRIM_THRESHOLD_ := 4294967296

.PHONY: install test lint quickstart serve-demo

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

# The quickstart bot over HTTP: prints its address and a curl line; the web chat is at that address.
serve-demo: install
	test -d runs/quickstart/bank/index || $(BIN)/g2r quickstart
	$(BIN)/g2r serve runs/quickstart
