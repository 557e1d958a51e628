# The two that most people need:  make lab   and   make test.   `make` alone lists the rest.

PYTHON ?= python3
VENV   ?= .venv
# Passed through to JupyterLab or pytest, and to pip:
#   make lab ARGS="--no-browser --port 9999"        make lab PIP_ARGS="--extra-index-url ..."
ARGS     ?=
PIP_ARGS ?=

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
# A stamp says that an extra is installed as these two files want it. It is written last, so a broken install has none.
PINS := pyproject.toml constraints.txt
# An environment does not survive being moved: where this folder was renamed, it is made anew.
MOVED := $(shell test ! -e $(VENV)/.folder || test "$$(cat $(VENV)/.folder)" = "$(CURDIR)" || echo moved)
LAB_STAMP  := $(VENV)/.installed-lab
TEST_STAMP := $(VENV)/.installed-test
CLASSROOM_STAMP := $(VENV)/.installed-classroom

.DEFAULT_GOAL := help
.PHONY: moved help lab author test coverage check notebooks student mutants gpu doctor pictures constraints check-python clean clean-venv

help: ## list what can be made
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' Makefile | awk -F'|' '{ printf "%-20s %s\n", $$1, $$2 }'

lab: $(LAB_STAMP) ## install what is missing and open the lessons in JupyterLab (your own copies, in my-lessons/)
	$(BIN)/vmamba-edu lab $(ARGS)

author: $(LAB_STAMP) ## open the lessons themselves, each kept in step with its source in notebooks/src/
	$(BIN)/vmamba-edu lab --author $(ARGS)

# First the browser by itself, which with its JupyterLab keeps two processors busy: beside other tests, pages take so long
# to answer that what is waited for may not come in time. Then the rest, whose files are shared out among the workers, and
# so are torch's threads. ARGS may leave nothing of one part, which pytest says with status 5.
WORKERS ?= 2
BROWSER := tests/browser
REST    := tests notebooks --ignore=tests/browser --nbmake --nbmake-timeout=300 -n $(WORKERS) --dist loadfile --durations=10

test: $(TEST_STAMP) ## install what is missing and run everything: browser, tests and lessons
	@failed=0; \
	$(BIN)/python -m pytest $(BROWSER) $(COVER) $(ARGS) || test $$? -eq 5 || failed=1; \
	$(BIN)/python -m pytest $(REST) $(COVER) $(ARGS) || test $$? -eq 5 || failed=1; \
	exit $$failed

coverage: ## the same, which takes longer, and say which lines no test reaches
	@rm -f .coverage .coverage.*
	@$(MAKE) --no-print-directory test COVER="--cov --cov-append --cov-report="
	$(BIN)/python -m coverage report --skip-covered

check: $(TEST_STAMP) ## lint, format, types, the arrows between the packages, lessons against their sources
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python notebooks/build.py --check

notebooks: $(LAB_STAMP) ## build the lessons from notebooks/src/
	$(BIN)/python notebooks/build.py

student: $(CLASSROOM_STAMP) ## the lessons without their solutions, in build/student/
	$(BIN)/python notebooks/student.py $(ARGS)

mutants: $(TEST_STAMP) ## change every solution a little, everywhere, and see that its check notices
	$(BIN)/python notebooks/mutants.py $(ARGS)

gpu: $(TEST_STAMP) ## the tests that need a GPU
	$(BIN)/python -m pytest tests -m gpu $(ARGS)

doctor: $(LAB_STAMP) ## say what this machine can do, and what is missing
	$(BIN)/vmamba-edu doctor

pictures: $(TEST_STAMP) ## make the pictures of the README and of all panels anew (needs Chromium)
	$(BIN)/python docs/make_pictures.py
	$(BIN)/python docs/make_panel_pictures.py

constraints: ## resolve constraints.txt anew: make constraints PYTHON=python3.11 TORCH=2.13.0
	$(PYTHON) .ci/constraints.py --torch $(TORCH) $(PIP_ARGS)

TORCH ?= $(shell sed -n 's/^torch==//p' constraints.txt)

clean: ## remove what tools left behind; your lessons and the environment stay
	rm -rf build dist htmlcov .coverage .coverage.* .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +

clean-venv: ## remove the environment; the next make installs it anew
	rm -rf $(VENV)

$(LAB_STAMP): $(PINS) $(MOVED)
	$(call install,lab)
	@touch $@

$(CLASSROOM_STAMP): $(PINS) $(MOVED)
	$(call install,classroom)
	@touch $(LAB_STAMP) $@

$(TEST_STAMP): $(PINS) $(MOVED)
	$(call install,test)
	@touch $(LAB_STAMP) $(CLASSROOM_STAMP) $@

define install
	@test -z "$(MOVED)" && $(PIP) --version >/dev/null 2>&1 || { $(MAKE) --no-print-directory check-python \
		&& $(PYTHON) -m venv --clear $(VENV) && echo "$(CURDIR)" > $(VENV)/.folder; }
	@echo "Installing into $(VENV)/. The first time this takes some minutes; PyTorch is the largest part."
	@$(PIP) install $(PIP_ARGS) -c constraints.txt -e ".[$(1)]" || { \
		echo; \
		echo "The installation did not finish; the reason stands above. Run the same make again to go on"; \
		echo "(most often the network was away or the disk is full), or start over with: make clean-venv"; \
		exit 1; } >&2
endef

check-python:
	@command -v $(PYTHON) >/dev/null || { echo "There is no $(PYTHON). Install Python 3.11 or newer, on Debian \
	and Ubuntu: sudo apt install python3 python3-venv. Or name yours: make lab PYTHON=/path/to/python" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "$(PYTHON) is $$($(PYTHON) --version 2>&1), \
	and Python 3.11 or newer is needed. If you have one, name it: make lab PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "$(PYTHON) cannot make virtual environments: on Debian \
	and Ubuntu that is a package of its own. Run: sudo apt install python3-venv" >&2; exit 1; }
