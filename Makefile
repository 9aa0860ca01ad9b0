# The two commands of the README, and the developers' few. Everything is made inside the checkout:
# .venv (programs), .demo and .test (AiiDA configurations of their own); your own AiiDA configuration is not touched.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# which tests: all but the longest (slow: run once a week), of those with a daemon the few that show the most; the others,
# those that train a potential, and those on PostgreSQL and RabbitMQ, which start these services, run in CI
TESTS ?= not services and not potential and not slow and (not daemon or essential)
# those of the README on all cores, each file of tests on one; what else is chosen runs one by one
ON_CORES := $(if $(filter fileundefined,$(origin TESTS)$(origin PYTEST_OPTIONS)),-n auto --dist loadfile)
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# what is imported is compiled once, whatever the shell says: each test of a daemon starts dozens of programs
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test test-numerics test-potential test-fuzz lint house docs bench install clean

demo: $(STAMP)
	@$(BIN)/python examples/demo.py .demo

test: $(STAMP)
	@mkdir -p .test
	OMP_NUM_THREADS=1 AIIDA_PATH=$(CURDIR)/.test $(BIN)/python -m pytest -m "$(TESTS)" $(ON_CORES) $(PYTEST_OPTIONS)

# as other processors compute: see the script
test-numerics: $(STAMP)
	@mkdir -p .test
	AIIDA_PATH=$(CURDIR)/.test tests/numerics.sh $(BIN)/python $(PYTEST_OPTIONS)

# a potential is trained, and every step of it is killed and goes on: minutes
test-potential: $(STAMP)
	@mkdir -p .test
	OMP_NUM_THREADS=1 AIIDA_PATH=$(CURDIR)/.test $(BIN)/python -m pytest -m "potential and not slow" $(PYTEST_OPTIONS)

# every command and every page with every bad value; CI tries a part of them with each change
test-fuzz: $(STAMP)
	@mkdir -p .test
	N_DOCUMENTS=5000 OMP_NUM_THREADS=1 AIIDA_PATH=$(CURDIR)/.test $(BIN)/python -m pytest -m "not daemon and not services" \
	  tests/entry_points/test_fuzz.py tests/entry_points/test_fuzz_programs.py tests/server/test_fuzz.py \
	  tests/server/test_schema_fuzz.py tests/lab/simulated $(PYTEST_OPTIONS)

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# the figures of the structure, and the map of rooms in the architecture page
house: $(STAMP)
	@$(BIN)/python docs/house.py --map
	@$(BIN)/python docs/house.py

docs: $(STAMP)
	$(BIN)/python -m sphinx -n -W -b html docs docs/_build/html

bench: $(STAMP)
	@for benchmark in optimiser pareto costs inputs engine waiting faults lifetime closed_forms server pages open_page scale semantics package importing md; do $(BIN)/python benchmarks/$$benchmark.py $(BENCH_OPTIONS); done

install: $(STAMP)

# torch first, at the version of constraints.txt: a later resolution would pull the GPU packages of another one; a file is
# compiled when it is first imported, which most of the 24,000 never are: to compile all took most of the time
$(STAMP): setup.cfg pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || python3 -m venv $(VENV)
	@echo "Installing into $(VENV) (a few minutes the first time) ..."
	$(BIN)/python -m pip install --quiet --no-compile -c constraints.txt torch
	$(BIN)/python -m pip install --quiet --no-compile -c constraints.txt -e '.[optimise,lifetime,plot,lab,instruments,md,mlp,server,client,fair,notebook,dev,docs]'
	@touch $(STAMP)

clean:
	rm -rf $(VENV) .demo .test .programs docs/_build
