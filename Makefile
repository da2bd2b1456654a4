# The front door. `make easy` on a machine with Python 3.11+ and make installs and runs.
PYTHON ?= python3
VENV ?= .venv
DATA ?= auto
DATASET ?= gtzan_mini
BIN := $(VENV)/bin
# By way of python: the first line of $(BIN)/mlflow names the folder in which it was installed.
RUN = PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m mlflow run . --env-manager local \
	--experiment-name genre-vae -P data="$(DATA)" $(ARGS)

.PHONY: help easy medium hard main download clean-features predict ui install mlproject graph lint format test test-slow check clean

help:
	@echo "make easy [DATA=folder] [ARGS='-P seeds=3']   the Easy level (the demo corpus, or data/gtzan)"
	@echo "make medium [DATA=folder]                     the Medium level"
	@echo "make hard [DATA=folder]                       the Hard level"
	@echo "make main [DATA=folder]                       every level"
	@echo "make download [DATASET=gtzan_mini]            a public collection, into data/: gtzan, gtzan_mini, fma_small"
	@echo "make clean-features                           delete the features kept for all collections"
	@echo "make predict FILE=track.mp3                   its place, or a folder's, among the clusters found"
	@echo "make ui                                       look at the runs on http://127.0.0.1:5000"
	@echo "make test | make check                        the tests | lint, types, tests and coverage"
	@echo "make graph | make mlproject                   the import graph | MLproject from the options"

easy: mlflow.db
	$(RUN) -e easy

medium: mlflow.db
	$(RUN) -e medium

hard: mlflow.db
	$(RUN) -e hard

main: mlflow.db
	$(RUN) -e main

clean-features: install
	$(BIN)/python -m entrypoints.clean $(ARGS)

download: install
	$(BIN)/python -m entrypoints.download --dataset "$(DATASET)" $(ARGS)

predict: install
	$(BIN)/python -m entrypoints.predict --file "$(FILE)" $(ARGS)

ui: install
	$(OPEN)
	$(BIN)/python -m mlflow ui --host 127.0.0.1 --backend-store-uri sqlite:///mlflow.db

install: $(VENV)/installed

$(VENV)/installed: pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "genre-vae needs Python 3.11 or newer; name one with make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	touch $@

mlproject: install
	$(BIN)/python -m entrypoints.cli > MLproject.new && mv MLproject.new MLproject
	$(BIN)/python -m entrypoints.cli reference > docs/reference.new && mv docs/reference.new docs/reference.md

graph: install
	$(BIN)/python -m tests.graph
	$(BIN)/lint-imports --no-logo --no-cache

# The tracking store, made whole or not at all: `mlflow run` would make it table by table.
OPEN = test -n "$$MLFLOW_TRACKING_URI" || $(BIN)/python -c 'from genre_vae.tracking.store import *; open_store(project_root())'

mlflow.db: | install
	$(OPEN)

lint: install
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports --no-logo --no-cache
	$(BIN)/mypy

format: install
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

test: install
	$(BIN)/python -m pytest

test-slow: install
	$(BIN)/python -m pytest -m slow

check: lint
	$(BIN)/python -m pytest --cov=genre_vae --cov=entrypoints --cov-report=term:skip-covered

clean:
	rm -rf $(VENV) .cache build *.egg-info
