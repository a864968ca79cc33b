# `make demo` and `make test` install what they need into .venv first; PYTHON names another interpreter (3.10 or newer).
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt

.PHONY: demo test slow lint bench docs clean

demo: .venv/demo.stamp  ## generate a corpus, train all ten systems of Table 1, write the report, identify a file
	$(BIN)/isogloss recipe demo --out exp/demo
	$(BIN)/isogloss identify --model exp/demo/seed1024/model.isogloss $$(ls -d exp/demo/corpus/audio/*/test/*-00-0000.flac)
	@echo; echo "Report: exp/demo/seed1024/report/report.html"
	@echo "Your own audio, a folder per language: $(BIN)/isogloss recipe folders --root my_audio --systems 1,2,5"

test: .venv/dev.stamp  ## the everyday tests
	$(BIN)/python -m pytest

slow: .venv/dev.stamp  ## the tests marked slow
	$(BIN)/python -m pytest -m slow

lint: .venv/dev.stamp
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy

bench: .venv/dev.stamp  ## time and error against named peers: rewrites bench/README.md
	$(BIN)/python bench/run.py

docs: .venv/dev.stamp  ## the commands and their options as text
	$(BIN)/python docs/make_commands.py

.venv/demo.stamp: pyproject.toml constraints.txt
	test -d .venv || $(PYTHON) -m venv .venv
	$(PIP) -e '.[train,synthetic]' && touch $@

.venv/dev.stamp: pyproject.toml constraints.txt
	test -d .venv || $(PYTHON) -m venv .venv
	$(PIP) -e '.[train,synthetic,dev]' && touch $@

clean:
	rm -rf .venv build dist exp .pytest_cache .mypy_cache .ruff_cache
