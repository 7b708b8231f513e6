# make repro    set up, and run the stages that are out of date; with JOBS=2, two at a time; with
#               SCHEDULER=tcp://HOST:PORT, on a Dask cluster
# make test     set up, and run the quick tests: five minutes
# make test-all run the slow tests: other processors, all kinds of remotes, every fault, kills in
#               every stage; a quarter of an hour
# make verify   reproduce the commit from its sources, and compare the outputs with dvc.lock
# make check    rehash DVC's cache and all outputs; remove damaged files and leftover outputs
# make bench    benchmark against the lesson as one script, side by side
# make compare REV=HEAD~1   compare the workspace with a commit, branch or DVC experiment, on one
#               page; with AND=…, compare REV with another one
# make lint     check style, formatting and types
# make audit    check the dependencies for known vulnerabilities; needs a network
# make faults   try every fault, and write what was lost to docs/failures.md
# make fuzz     feed broken files to the readers, and write the outcome to docs/failures.md
# make processors  run the stages on emulated processors, and count the bytes that differ
# make lock     pin all dependencies anew, with hashes

PYTHON ?= python3.11
PYTEST = pytest --numprocesses 2 --dist worksteal
COMMAND = PYTHONPATH=.:tests python -m
export PATH := $(CURDIR)/.venv/bin:$(PATH)

.PHONY: repro test test-all verify check processors bench compare lint audit faults fuzz lock

repro: .venv/installed$(if $(SCHEDULER),-test)
	python -m stages.tools.repro --page artifacts/report/index.html \
		$(if $(SCHEDULER),--scheduler $(SCHEDULER),--jobs $(or $(JOBS),1))

test: .venv/installed-test
	$(PYTEST) -m "not slow"

test-all: .venv/installed-test
	$(PYTEST) -m slow

verify: .venv/installed-test
	$(COMMAND) commands.verify

check: .venv/installed
	python -m stages.tools.check

processors: .venv/installed-test
	$(COMMAND) commands.processors

bench: .venv/installed-test
	dvc repro --quiet
	for name in training growth pipeline processes features; do \
		$(COMMAND) benchmarks.$$name || exit; done

compare: .venv/installed
	$(if $(REV),,$(error make compare needs a revision, as in: make compare REV=HEAD~1))
	python -m stages.tools.compare artifacts/compare.html $(REV) $(AND)

lint: .venv/installed-test
	ruff check
	ruff format --check
	mypy

audit: .venv/installed-test
	pip-audit --strict --require-hashes --disable-pip --progress-spinner off -r requirements.txt

faults: .venv/installed-test
	$(COMMAND) commands.faults

fuzz: .venv/installed-test
	$(COMMAND) commands.fuzz

.venv/installed: requirements.txt
	$(PYTHON) -m venv .venv
	pip install --require-hashes -r requirements.txt
	touch $@

# The packages for tests, clusters and remotes.
.venv/installed-test: tests/requirements.txt .venv/installed
	pip install --require-hashes -r tests/requirements.txt
	touch $@

LOCK = uv pip compile --quiet --generate-hashes --no-header --no-annotate --no-emit-index-url \
	--python-version 3.11 --python-platform x86_64-manylinux_2_28 pyproject.toml

lock: .venv/installed-test
	$(LOCK) --output-file requirements.txt
	$(LOCK) --all-extras --constraint requirements.txt --output-file tests/requirements.txt
