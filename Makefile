# make repro    set everything up and run what changed of the pipeline; with JOBS=2, two stages at a
#               time; with SCHEDULER=tcp://HOST:PORT, on a Dask cluster
# make test     set everything up and run the tests: some minutes
# make test-all run the rest of the tests, which takes long: other processors, all kinds of remotes,
#               all faults, kills in every stage
# make verify   reproduce what is committed from its sources, and compare with dvc.lock
# make check    look for files in DVC's cache, and outputs, that are not what DVC takes them for
# make bench    measure against the lesson as one script, side by side
# make compare REV=HEAD~1   set a run next to what is here, on one page: a commit, a branch, or an
#               experiment of DVC; with AND=…, next to another one
# make lint     check style, formatting and types
# make audit    ask for known vulnerabilities of the dependencies; needs a network
# make faults   try every fault, and write what was lost to docs/failures.md
# make fuzz     feed the readers with broken files, and write what they did to docs/failures.md
# make processors  run the stages on emulated processors, and count the bytes that differ
# make lock     pin every dependency anew, with hashes

PYTHON ?= python3.11
PYTEST = pytest --numprocesses 2 --dist worksteal
COMMAND = PYTHONPATH=.:tests python -m
export PATH := $(CURDIR)/.venv/bin:$(PATH)

.PHONY: repro test test-all verify check processors bench compare lint audit faults fuzz lock

repro: .venv/installed$(if $(SCHEDULER),-test)
	$(if $(SCHEDULER),python -m stages.core.repro --scheduler $(SCHEDULER),\
	$(if $(JOBS),python -m stages.core.repro --jobs $(JOBS),dvc repro))

test: .venv/installed-test
	$(PYTEST) -m "not slow"

test-all: .venv/installed-test
	$(PYTEST) -m slow

verify: .venv/installed-test
	$(COMMAND) commands.verify

check: .venv/installed
	python -m stages.core.cache

processors: .venv/installed-test
	$(COMMAND) commands.processors

bench: .venv/installed-test
	dvc repro --quiet
	for name in training growth pipeline processes features; do \
		$(COMMAND) benchmarks.$$name || exit; done

compare: .venv/installed
	$(if $(REV),,$(error make compare needs a revision, as in: make compare REV=HEAD~1))
	python -m stages.core.compare artifacts/compare.html $(REV) $(AND)

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

# The tests' packages and those for a cluster.
.venv/installed-test: tests/requirements.txt .venv/installed
	pip install --require-hashes -r tests/requirements.txt
	touch $@

LOCK = uv pip compile --quiet --generate-hashes --no-header --no-annotate --no-emit-index-url \
	--python-version 3.11 --python-platform x86_64-manylinux_2_28 pyproject.toml

lock: .venv/installed-test
	$(LOCK) --output-file requirements.txt
	$(LOCK) --all-extras --constraint requirements.txt --output-file tests/requirements.txt
