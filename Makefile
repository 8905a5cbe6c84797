# Each target does its own set-up in .venv, from the lock. Needs Python 3.11 or later and make, nothing else.
PYTHON ?= python3
PROFILE ?= demo
BIN := .venv/bin
# which build of torch: cpu is without GPU libraries (notebooks/INSTALLATION.md). Unless named, the one that is installed
TORCH ?= $(or $(patsubst .venv/.ready-%,%,$(firstword $(wildcard .venv/.ready-*))),default)
ifeq ($(filter default auto cpu xpu cu1% rocm%,$(TORCH)),)
$(error TORCH=$(TORCH) isn't understood; it may be default, auto, cpu, xpu, cuNNN (such as cu126) or rocmN.N)
endif
READY := .venv/.ready-$(TORCH)
FETCH := install --quiet --disable-pip-version-check --only-binary :all:
export MPLBACKEND ?= agg

.PHONY: help setup report publish sweep study test test-slow test-browser lint audit lock clean
help:
	@echo "make report     the whole report on the embedded benchmark (PROFILE=demo)"
	@echo "make publish    the same, then copy its figures and executed notebooks into figures/ and notebooks/"
	@echo "make sweep      seeds and ablations of the default report: hours; what is finished is kept"
	@echo "make study      the paper's three questions with several seeds: hours, likewise"
	@echo "make test       the tests and the style checks"
	@echo "make test-slow  the tests that take minutes"
	@echo "make test-browser  the report and JupyterLab in an installed Chromium; screenshots in runs/screenshots/"
	@echo "make audit      compare the locked packages with the database of known vulnerabilities"
	@echo "make lock       renew requirements.lock from pyproject.toml"
	@echo "make clean      remove .venv and runs/"

setup: $(READY)

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "$(PYTHON) is older than Python 3.11: name a newer one, make PYTHON=python3.11 ..." >&2; exit 2; }
	@command -v uv >/dev/null || $(PYTHON) -c 'import ensurepip' 2>/dev/null || $(PYTHON) -m pip --version >/dev/null 2>&1 || \
	  { echo "$(PYTHON) has neither ensurepip nor pip: install python3-venv (Debian, Ubuntu), or uv (pypi.org/project/uv)" >&2; \
	  exit 2; }
	rm -rf .venv
# a Python without ensurepip (slim Debian, Colab) makes an environment without pip, which is only needed to fetch uv
	$(PYTHON) -m venv .venv >/dev/null 2>&1 || $(PYTHON) -m venv --clear --without-pip .venv
	command -v uv >/dev/null || { $(BIN)/python -m pip --version >/dev/null 2>&1 && $(BIN)/python -m pip $(FETCH) uv; } || \
	  $(PYTHON) -m pip --python $(BIN)/python $(FETCH) uv
ifeq ($(TORCH),default)
	cp requirements.lock .venv/requirements.txt
else
	awk '/^[a-z]/ { skip = /^(torch|torchvision|triton|nvidia-[a-z0-9-]+|cuda-[a-z]+)==/ } !skip' requirements.lock > .venv/requirements.txt
	. $(BIN)/activate && uv pip install --quiet --only-binary :all: --torch-backend $(TORCH) \
	  $$(grep -oE '^(torch|torchvision)==[0-9.]+' requirements.lock)
endif
# compiled once, as pip does: importing torch and timm would else compile 3,000 files in every process that may not write them
	. $(BIN)/activate && uv pip install --quiet --no-deps --require-hashes --only-binary :all: --compile-bytecode \
	  -r .venv/requirements.txt
	. $(BIN)/activate && uv pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@

report: $(READY)
	$(BIN)/dfnb report --profile $(PROFILE)

publish: $(READY)
	$(BIN)/dfnb report --profile $(PROFILE) --publish

sweep: $(READY)
	$(BIN)/dfnb sweep

study: $(READY)
	$(BIN)/dfnb sweep --profile study

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell

test: lint
	$(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

test-slow: $(READY)
	$(BIN)/python -m pytest -m slow

test-browser: $(READY)
	$(BIN)/python -m pytest -m browser

# pip-audit is kept by the Python Packaging Authority; it runs in an environment of its own
audit: $(READY)
	@. $(BIN)/activate && uv tool run --quiet --from pip-audit==2.10.1 pip-audit --requirement requirements.lock \
	  --require-hashes --disable-pip --progress-spinner off > .venv/audit.txt 2>&1; status=$$?; \
	if ! grep -qiE 'known vulnerab|could not be audited' .venv/audit.txt || \
	  [ $$(grep -c 'could not be audited' .venv/audit.txt) -gt $$(($$(grep -c == requirements.lock) / 2)) ]; then \
	  echo "audit: the database of known vulnerabilities can't be reached from here; nothing was checked" >&2; exit 2; \
	fi; cat .venv/audit.txt; exit $$status

lock: $(READY)
	. $(BIN)/activate && uv pip compile --quiet --universal --python-version 3.11 --extra cluster --extra demo --extra dev --generate-hashes \
	  --only-binary :all: --no-header --no-annotate --upgrade pyproject.toml --output-file requirements.lock

clean:
	rm -rf .venv runs
