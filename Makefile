# Four verbs, the same on a laptop and in CI. Each does its own set-up in .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
SCENARIO ?= runs/scenarios/heat_wave_neighbourhood.yaml

.PHONY: run test test-all check bench docs clean

run: $(READY)  ## run the default scenario and write its report
	$(BIN)/cosim run $(SCENARIO)

# Small matrices, and two tests at a time: threads of BLAS would only wait for each other.
export OPENBLAS_NUM_THREADS := 1

test: $(READY)  ## the fast tests
	$(BIN)/python -m pytest -n 2 --dist worksteal -m "not long"

test-all: $(READY)  ## every test, the long ones too
	$(BIN)/python -m pytest -n 2 --dist worksteal

check: $(READY)  ## style, types, layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(READY)  ## speed and memory, as ratios; figures go to docs/performance.md
	$(BIN)/python -m benchmarks

docs: $(READY)  ## the pages that are made from the code
	$(BIN)/python -m runs.reference docs/scenario_reference.md docs/file_reference.md
	$(BIN)/python docs/fill.py docs/*.md

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev,comply,opender,dynamics]"
	touch $(READY)

clean:
	rm -rf $(VENV) results .pytest_cache .mypy_cache .ruff_cache .hypothesis
