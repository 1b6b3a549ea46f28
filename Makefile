# Needs Python 3.11 or later and make; everything else goes into $(VENV).

PYTHON ?= python3
VENV ?= .venv
ARGS ?=
# A worker for each core; a file of tests stays with one, for its fixtures.
PARALLEL ?= --numprocesses auto --dist loadfile --no-loadscope-reorder

BIN := $(VENV)/bin
# A torch that is already in $(VENV) stays: after the first step it is the constraint.
CONSTRAINTS := $(VENV)/constraints.txt
# Python compiles what it imports; pip would compile all of it, and take half as long again.
PIP_INSTALL := -m pip --disable-pip-version-check --quiet install --no-compile
INSTALL := $(BIN)/python $(PIP_INSTALL) --no-build-isolation --constraint $(CONSTRAINTS)
PACKAGE := pyproject.toml setup.py src/batchdot/_version.py $(wildcard csrc/cpu/*)
# Of the wheels that dist builds, and the seconds that fuzz gives each parser.
ARCHITECTURES ?= x86_64 aarch64
SECONDS_EACH ?= 10
LIBRARY := $(CURDIR)/src/batchdot/kernels/cpu/librows.so.1

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help installed demo test test-keras test-slow test-triton test-full test-fallbacks fuzz mutate record-keras record-notebooks lint format bench docs dist wheels clean

help: ## Say what there is to make.
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 22

# Before targets run side by side: two pips in one environment disturb each other.
installed: $(CONSTRAINTS) $(PACKAGE) ## Install what lint, docs, dist and test need, at once.
	$(INSTALL) --editable '.[dev,docs,test]'
	rm -rf .mypy_cache # which remembers what was not installed
	touch $(VENV)/installed $(addprefix $(VENV)/installed-,dev docs test)

demo: $(VENV)/installed ## Compare real handwritten digits by cosine: the main job on real input.
	$(BIN)/batchdot demo $(ARGS)

# As there is a worker for each core, each computes with one thread; tests of threads take more.
test test-keras test-slow test-triton test-full test-fallbacks: export OMP_NUM_THREADS ?= 1

test: $(VENV)/installed-test ## Run the tests that need no Keras; ARGS="-k cosine" passes arguments to pytest.
	$(BIN)/python -m pytest -m "not slow and not keras" $(PARALLEL) $(ARGS)

test-keras: $(VENV)/installed-test-keras ## Run the tests that run Keras too.
	$(BIN)/python -m pytest -m "keras and not slow" $(PARALLEL) $(ARGS)

test-slow: $(VENV)/installed-test ## Run the long tests that need no Keras.
	$(BIN)/python -m pytest -m "slow and not keras" $(PARALLEL) $(ARGS)

# The interpreter takes Triton's place in the process that it runs in. Triton takes 1 GB.
test-triton: $(VENV)/installed-triton ## Run the tests of the Triton kernels: values interpreted, and machine code.
	TRITON_INTERPRET=1 BATCHDOT_KERNELS=triton $(BIN)/python -m pytest $(PARALLEL) tests/kernels/triton $(ARGS)
	$(BIN)/python -m pytest $(PARALLEL) tests/kernels/triton $(ARGS)

test-full: $(VENV)/installed-test-keras ## Run every test, the slow ones and those with Keras included.
	$(BIN)/python -m pytest $(PARALLEL) $(ARGS)

# A sample: operators, gradients and layers, where private APIs of torch are used. test-slow breaks each of them.
test-fallbacks: $(VENV)/installed-test ## Run a sample of the tests without private APIs of torch.
	BATCHDOT_TORCH_PRIVATE=0 $(BIN)/python -m pytest -m "not slow and not keras" $(PARALLEL) \
		tests/ops/test_autocast.py tests/ops/test_gradients.py tests/ops/test_plan_cache.py \
		tests/layers/test_dot.py tests/layers/test_fast_call.py tests/distributed $(ARGS)

fuzz: $(VENV)/installed-test ## Feed mutated files to the parsers of Keras files for a minute.
	printf '%s\n' hdf5 zip json npz archive record model port | xargs -P 2 -I TARGET \
		$(BIN)/python -m tests.support.porting.fuzz TARGET --count 10000000 --seconds $(SECONDS_EACH)

mutate: $(VENV)/installed-test ## Change the sources at random, and see which changes the tests let through.
	test -f build/mutation/touched.json || $(BIN)/python -m tests.support.mutation record
	$(BIN)/python -m tests.support.mutation run $(ARGS)

record-keras: $(VENV)/installed-test-keras ## Rewrite tests/data/keras from live Keras.
	$(BIN)/python -m pytest -m keras --record-keras

record-notebooks: $(VENV)/installed-test ## Run the notebooks of examples/ and rewrite their outputs.
	$(BIN)/python -m tests.support.notebooks examples/*.ipynb

lint: $(VENV)/installed-dev $(VENV)/installed-test ## Check style and types.
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

format: $(VENV)/installed-dev ## Put the code into the style that lint checks.
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

bench: $(VENV)/installed-bench ## Time batchdot against PyTorch, torch.compile and Keras; ARGS="--only 'row cosine'".
	$(BIN)/python -m benchmarks $(ARGS)

docs: $(VENV)/installed-docs ## Build the documentation into build/docs/html, and check its links.
	rm -rf build/docs
	$(BIN)/python -m sphinx --quiet --fail-on-warning --keep-going -d build/docs/doctrees docs build/docs/html
	$(BIN)/python -m tests.support.documents.links build/docs/html

dist: wheels build/empty/new ## Build an sdist, from it wheels for Linux, and try this machine's in an empty environment.
	rm build/empty/new
	build/empty/bin/python $(PIP_INSTALL) --constraint constraints.txt dist/*_$$(uname -m).whl
	cd build/empty && bin/batchdot --version && bin/batchdot info
	cd build/empty && bin/python -W error $(CURDIR)/packaging/try_wheel.py
	build/empty/bin/python -m pip --disable-pip-version-check check

wheels: $(VENV)/installed-dev
	rm -rf dist src/*.egg-info
	$(BIN)/python -m build --sdist --no-isolation >/dev/null
	printf '%s\n' $(ARCHITECTURES) | xargs -P 2 -n 1 $(BIN)/python packaging/manylinux.py

build/empty/new: # an environment of PyTorch alone
	rm -rf build/empty
	$(PYTHON) -m venv build/empty
	build/empty/bin/python $(PIP_INSTALL) --constraint constraints.txt torch==2.13.0
	touch $@

clean: ## Remove what was built, and the virtual environment.
	rm -rf build dist src/*.egg-info $(VENV) benchmarks/results .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -not -path './.git/*' -prune -exec rm -rf {} +

$(CONSTRAINTS): constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python $(PIP_INSTALL) 'pip>=23.1' 'setuptools>=77' wheel
	$(BIN)/python -c 'import torch' 2>/dev/null || $(BIN)/python $(PIP_INSTALL) --constraint constraints.txt torch==2.13.0
	grep -v '^torch==' constraints.txt > $@
	$(BIN)/python -c "from importlib.metadata import version as v; print('torch==' + v('torch'))" >> $@

$(VENV)/installed: $(CONSTRAINTS) $(PACKAGE)
	$(INSTALL) --editable .
	touch $@

# An extra; the native kernels, where they could be built, are there already.
$(VENV)/installed-%: $(VENV)/installed
	if [ -f $(LIBRARY) ]; then export BATCHDOT_LIBRARY=$(LIBRARY); fi; $(INSTALL) --editable '.[$*]'
	rm -rf .mypy_cache # which remembers what was not installed
	touch $@
