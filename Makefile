# `make demo` and `make test` are all that a newcomer types: the first use sets up .venv.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
PIP = .venv/bin/python -m pip --disable-pip-version-check --quiet
READY = .venv/ready
SHELL = /bin/bash

.PHONY: demo test lint regression clean

demo: $(READY)
	.venv/bin/python tools/quickstart.py

test: $(READY)
	.venv/bin/python -m pytest -n 2 --dist loadfile

lint: $(READY)
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .

regression: $(READY)
	.venv/bin/python tools/ci_regression.py

# The stamp is written last: a half-finished .venv has none and is made anew.
$(READY): requirements.txt pyproject.toml Makefile
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
	  { echo "Python 3.10 or newer is needed: make PYTHON=/path/to/python3.11"; exit 2; }
	rm -rf .venv
	$(PYTHON) -m venv .venv
	@echo "[1/4] torch, torchvision and what compiles mmcv (a download of some GB)"
	$(PIP) install --upgrade pip
	$(PIP) install $(shell grep -E '^(torch|torchvision|setuptools)[=><]' requirements.txt | sed "s/.*/'&'/") wheel ninja
	@echo "[2/4] mmcv, mmdet and the rest. mmcv has no wheel for this torch, so its C++ operators are"
	@echo "      compiled here: about 8 minutes on 2 cores, once."
	$(PIP) install --no-build-isolation -r requirements.txt
	@echo "[3/4] this project, pytest and ruff"
	$(PIP) install --no-build-isolation -e '.[dev]'
	@echo "[4/4] checks"
	@.venv/bin/python -c 'import cv2' 2>/dev/null || { echo "opencv finds no libGL: using its headless build"; \
	  $(PIP) uninstall -y opencv-python && $(PIP) install opencv-python-headless; }
	@.venv/bin/python -c 'import cv2, mmcv.ops, torchvision' || \
	  { echo "mmcv was built without its operators: is there a C++ compiler? then: make clean && make test"; exit 1; }
	touch $@

clean:
	rm -rf .venv build *.egg-info .pytest_cache .ruff_cache
