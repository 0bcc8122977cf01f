.DEFAULT_GOAL := help
PYTHON ?= python3
BIN := .venv/bin

.PHONY: help install demo seeds test torture lint bench docs
help:  ## this list
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/'

install: .venv/.installed  ## .venv with every dependency at the versions of constraints.txt
.venv/.installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -q -c constraints.txt -e ".[test,joblib]"
	touch $@

demo: install  ## the whole study on embedded models and benchmarks, into outputs/demo
	$(BIN)/python evaluate.py experiment=demo

SEEDED := mini mini_vicreg mini_negatives mini_scene mini_centroid mini_bag
seeds: install  ## seeds 1 and 2 of each embedded recipe that do not ship, into outputs/train; each says how to evaluate it
	set -e; for seed in 1 2; do for recipe in $(SEEDED); do \
	test -f clapbench/weights/$${recipe}_s$$seed.safetensors || \
	$(BIN)/python train.py experiment=$$recipe seed=$$seed name=$${recipe}_s$$seed; done; done

test: install  ## the test suite, in two processes of one thread each
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal

torture: install  ## the slow tests: full-size models trained, several processes, every command of docs/train.md
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 -m slow

lint: install  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: install  ## speed of encoding and probes, against other libraries where there are any
	$(BIN)/python bench

docs: install  ## the documentation site, into site/
	$(BIN)/python -m pip install -q -c constraints.txt -e ".[docs]"
	$(BIN)/mkdocs build --strict
