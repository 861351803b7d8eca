# make figures   draw every figure (dvc repro), from nothing; what can be drawn, where a network is not to be had
# make test      run the tests
# make coverage  the same, and which lines they reach
# make rehearsal the profile paper on stand-ins, and what a missing or worse network costs: docs/rehearsal.md
# make lint      ruff and the type checker
# make docs      the documentation, site/index.html; what it shows of real photographs is drawn by the next two:
# make gallery   docs/gallery
# make notebooks docs/notebooks, executed anew
# make lock      resolve the dependencies anew into requirements.lock, and uv into bootstrap.lock

PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3)
BIN := .venv/bin
UV := env -u PIP_FIND_LINKS $(BIN)/uv pip
export PATH := $(CURDIR)/$(BIN):$(PATH)
export DVC_SITE_CACHE_DIR := $(CURDIR)/.dvc/tmp/site
export UV_COMPILE_BYTECODE := 1

.PHONY: figures rest test coverage rehearsal lint docs gallery notebooks lock setup
figures: setup
	@echo "First a real flow, in about a minute: flow.png. Then what params.yaml names: by default nine networks learn."
	dvc repro flow
	dvc repro --keep-going || { make rest; exit 1; }
	python -m pipeline.document drawings=figures

# The numbers and the page of what was drawn, after a `dvc repro --keep-going` that could not draw everything.
knob = $(shell sed -n 's/^$(1): *\([^ ]*\).*/\1/p' params.yaml)
rest: setup
	-python -m pipeline.evaluate results=results drawings=$(call knob,drawings) knobs=params.yaml seed=$(call knob,seed)
	python -m pipeline.report results=results drawings=$(call knob,drawings) knobs=params.yaml

# Memory that a training step frees stays with the process for the next one (glibc): a sixth less time on a CPU.
figures rehearsal: export MALLOC_ARENA_MAX := 1
figures rehearsal: export MALLOC_MMAP_MAX_ := 0
figures rehearsal: export MALLOC_TRIM_THRESHOLD_ := 8000000000
figures rehearsal: export MALLOC_TOP_PAD_ := 67108864

test: setup
	pytest

coverage: setup
	coverage erase
	coverage run -m pytest
	coverage combine --quiet
	coverage report

rehearsal: setup
	PYTHONPATH=.:tests python -m rehearsal

lint: setup
	ruff check .
	ruff format --check .
	ty check naflow pipeline bench
	shellcheck .ci/run .ci/figures .ci/release .ci/slurm docs/method-study/*.sh
	check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	check-jsonschema --builtin-schema vendor.github-issue-forms .github/ISSUE_TEMPLATE/[!c]*.yml
	zizmor --offline --quiet .github

docs: export NO_MKDOCS_2_WARNING := 1
docs: setup
	env -u PIP_FIND_LINKS uv run --no-project --isolated --with-requirements docs/requirements.txt mkdocs build

gallery: setup
	python -m pipeline.gallery drawings=docs/gallery

notebooks: setup
	python -m docs.execute docs/notebooks/*.ipynb

setup: .venv/.done
.venv/.done: bootstrap.lock requirements.lock pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -q --require-hashes -r bootstrap.lock
	$(UV) install -q --python $(BIN)/python --require-hashes -r requirements.lock
	$(UV) install -q --python $(BIN)/python --no-deps -e .
	touch $@

lock:
	$(UV) compile -q pyproject.toml --all-extras --universal --python-version 3.11 \
		--generate-hashes --no-header --no-annotate -o requirements.lock
	echo uv | $(UV) compile -q - --universal --python-version 3.11 \
		--generate-hashes --no-header --no-annotate --upgrade -o bootstrap.lock
	$(UV) compile -q --group docs --universal --python-version 3.11 \
		--generate-hashes --no-header --no-annotate -o docs/requirements.txt
	$(UV) compile -q --group audit --universal --python-version 3.11 \
		--generate-hashes --no-header --no-annotate -o .github/audit.txt
