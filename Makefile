# `make demo` and `make test` are all that a newcomer types: the first use sets up .venv. Nothing is compiled.
# uv installs where it is there, else pip; `make UV= ...` takes pip in any case. Neither compiles to .pyc: imports do.
PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3)
UV ?= $(shell command -v uv)
ifneq ($(UV),)
new_venv = $(UV) venv --quiet --seed --python $(PYTHON) $(1)
install = $(UV) pip install --quiet --python $(1)/bin/python
else
new_venv = $(PYTHON) -m venv $(1)
install = $(1)/bin/python -m pip --disable-pip-version-check --quiet install --no-compile
# OpenMMLab's packages bring the other opencv, which fills the same folder and needs libGL: this one goes on top.
headless = $(call install,.venv) --force-reinstall --no-deps $(shell grep '^opencv-python-headless==' requirements.txt)
endif
SHELL = /bin/bash

# The stamps name what they depend on: other requirements make .venv anew, nothing else does.
READY = .venv/ready-$(shell cksum < requirements.txt | tr ' ' -)
INSTALLED = .venv/installed
RUFF = $(shell grep '^ruff==' requirements.txt)
MUTATOR = .venv-mutants/cosmic-ray-8.7.0
LINT = .venv-lint/$(subst ==,-,$(RUFF))

.PHONY: setup demo test test-gpu lint types mutants regression clean

setup: $(INSTALLED)

demo: $(INSTALLED)
	.venv/bin/python tools/quickstart.py

# Without a GPU, also where there is one: the stored values are a CPU's.
test: $(INSTALLED)
	CUDA_VISIBLE_DEVICES= .venv/bin/python -m pytest -n 2 --dist worksteal

test-gpu: $(INSTALLED)
	.venv/bin/python -m pytest -m gpu

regression: $(INSTALLED)
	CUDA_VISIBLE_DEVICES= .venv/bin/python tools/ci_regression.py

types: $(INSTALLED)
	.venv/bin/mypy

lint: $(LINT)
	.venv-lint/bin/ruff check .
	.venv-lint/bin/ruff format --check .

# How many changes of the code the tests notice: minutes to an hour a module; MODULES="pretrain/views.py ..." for some.
mutants: $(INSTALLED) $(MUTATOR)
	.venv/bin/python tests/mutation/run.py --mutator .venv-mutants/bin/python $(MODULES)

# The stamp is written last: a half-finished .venv has none and is made anew.
$(READY):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
	  { echo "Python 3.10 or newer is needed: make PYTHON=/path/to/python3.11"; exit 2; }
	rm -rf .venv
	$(call new_venv,.venv)
	@echo "[1/2] torch and everything else (with the CUDA build of torch a download of some GB)"
	$(call install,.venv) -r requirements.txt
	$(headless)
	@echo "[2/2] checks"
	@.venv/bin/python -m benchmarks.installation
	touch $@

# The project's own name and commands, where pyproject.toml has changed: seconds, nothing is downloaded.
$(INSTALLED): $(READY) pyproject.toml
	$(call install,.venv) --no-deps --no-build-isolation -e .
	touch $@

$(LINT):
	rm -rf .venv-lint
	$(call new_venv,.venv-lint)
	$(call install,.venv-lint) $(RUFF)
	touch $@

$(MUTATOR):
	rm -rf .venv-mutants
	$(call new_venv,.venv-mutants)
	$(call install,.venv-mutants) $(subst cosmic-ray-,cosmic-ray==,$(notdir $@))
	touch $@

clean:
	rm -rf .venv .venv-lint .venv-mutants build *.egg-info .pytest_cache .ruff_cache
