# make figures   draw every figure (dvc repro), from nothing
# make test      run the tests
# make coverage  the same, and which lines they reach
# make lint      ruff and the type checker
# make docs      the documentation, site/index.html
# make lock      resolve the dependencies anew into requirements.lock

PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3)
BIN := .venv/bin
UV := env -u PIP_FIND_LINKS $(BIN)/uv pip
export PATH := $(CURDIR)/$(BIN):$(PATH)
export DVC_SITE_CACHE_DIR := $(CURDIR)/.dvc/tmp/site
export UV_COMPILE_BYTECODE := 1

.PHONY: figures test coverage lint docs lock setup
figures: setup
	dvc repro

# Memory that a training step frees stays with the process for the next one (glibc): a sixth less time on a CPU.
figures: export MALLOC_ARENA_MAX := 1
figures: export MALLOC_MMAP_MAX_ := 0
figures: export MALLOC_TRIM_THRESHOLD_ := 8000000000
figures: export MALLOC_TOP_PAD_ := 67108864

test: setup
	pytest

coverage: setup
	coverage erase
	coverage run -m pytest
	coverage combine --quiet
	coverage report

lint: setup
	ruff check .
	ruff format --check .
	ty check naflow pipeline bench
	shellcheck .ci/run .ci/figures .ci/release docs/method-study/photographs.sh
	check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	check-jsonschema --builtin-schema vendor.github-issue-forms .github/ISSUE_TEMPLATE/[!c]*.yml
	zizmor --offline --quiet .github

docs: export NO_MKDOCS_2_WARNING := 1
docs: setup
	env -u PIP_FIND_LINKS uv run --no-project --isolated --with-requirements docs/requirements.txt mkdocs build

setup: .venv/.done
.venv/.done: requirements.lock pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -q uv
	$(UV) install -q --python $(BIN)/python --require-hashes -r requirements.lock
	$(UV) install -q --python $(BIN)/python --no-deps -e .
	touch $@

lock:
	$(UV) compile -q pyproject.toml --all-extras --universal --python-version 3.11 \
		--generate-hashes --no-header --no-annotate -o requirements.lock
	$(UV) compile -q --group docs --universal --python-version 3.11 \
		--generate-hashes --no-header --no-annotate -o docs/requirements.txt
