# make repro    set up, and run the stages that are out of date; with JOBS=2, two at a time; with
#               SCHEDULER=tcp://HOST:PORT, on a Dask cluster
# make test     set up, and run the quick tests: seven minutes
# make test-all run the slow tests: other processors, all kinds of remotes, every fault, kills in
#               every stage; half an hour
# make verify   reproduce the commit from its sources, and compare the outputs with dvc.lock
# make check    rehash DVC's cache and all outputs; remove damaged files and leftover outputs
# make bench    benchmark against the lesson as one script, side by side
# make compare REV=HEAD~1   compare the workspace with a commit, branch or DVC experiment, on one
#               page; with AND=…, compare REV with another one
# make lint     check style, formatting and types
# make audit    check the dependencies for known vulnerabilities; needs a network
# make faults   try every fault, and write what was lost to docs/failures.md
# make fuzz     feed broken files to the readers, and write the outcome to docs/failures.md
# make processors  run the stages on emulated processors, ARM among them, and with other settings
#               and versions of PyTorch; count the bytes that differ
# make lock     pin all dependencies anew, with hashes

VERSION = 3.11# of Python: the one that the locks are for
PYTHON ?= python$(VERSION)# makes .venv
PYTEST = pytest --numprocesses 2 --dist worksteal
COMMAND = PYTHONPATH=.:tests python -m
export PATH := $(CURDIR)/.venv/bin:$(PATH)
# What would bring in other modules, hide ours, drop assertions, wait at the end, or stop DVC.
unexport PYTHONHOME PYTHONPATH PYTHONSAFEPATH PYTHONOPTIMIZE PYTHONINSPECT PYTHONWARNINGS
# DVC would run the stages in the user's own shell, which may be none; and file names are UTF-8,
# whatever the user's locale.
export SHELL
export PYTHONUTF8 := 1

.PHONY: repro test test-all verify check processors bench compare lint audit faults fuzz lock \
	folder python changed

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

NO_GIT = error: DVC needs a git repository. If this is an unpacked ZIP file, type: \
	git init && git add . && git commit -m start
BRACES = error: DVC cannot work in a folder that has braces in its path
NO_QUEUE = warning: in a folder that has \#, ? or letters beyond ASCII in its path, DVC cannot run \
	experiments in its queue (dvc exp run --queue or --temp)

# Where DVC cannot work, it is said before anything is installed.
folder:
	@git -c safe.directory='*' rev-parse >/dev/null 2>&1 || { echo '$(NO_GIT)' >&2; exit 1; }
	@! pwd -P | grep -q '[{}]' || { echo '$(BRACES)' >&2; exit 1; }
	@! pwd -P | LC_ALL=C grep -q '[#?]\|[^ -~]' || echo '$(NO_QUEUE)' >&2

# What is installed, as a copy of its lock: only the content of a lock counts, not its date.
changed = $(shell cmp -s $(1) $(2) || echo changed)

# Uninstalls what the lock had, of which there is a copy, and no lock has any more. Packages that
# somebody has added by hand stay.
uninstall = test ! -e $(1) || for name in $$(grep -oE '^[[:alnum:]._-]+==' $(1)); do \
	grep -q "^$$name" requirements.txt tests/requirements.txt || \
	python -m pip uninstall --yes "$${name%==}" || exit; done

.venv/installed: $(call changed,requirements.txt,.venv/installed) | folder python
	test -e .venv/bin/activate || $(PYTHON) -m venv .venv
	python -m pip --version >/dev/null 2>&1 || python -m ensurepip
	python -m pip install --require-hashes -r requirements.txt
	$(call uninstall,$@)
	cp requirements.txt $@

# The packages for tests, clusters and remotes.
.venv/installed-test: $(call changed,tests/requirements.txt,.venv/installed-test) .venv/installed
	python -m pip install --require-hashes -r tests/requirements.txt
	$(call uninstall,$@)
	cp tests/requirements.txt $@

# One line instead of a .venv that mixes two versions of Python, is for another lock, or was moved.
python:
	@wrong() { echo "error: $$*" >&2; exit 1; }; \
	version() { "$$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null; }; \
	if [ -e .venv/bin/python ] || [ -L .venv/bin/python ]; then \
		again="remove .venv, and run make again"; \
		found=$$(version .venv/bin/python) || wrong "the Python of .venv is gone: $$again"; \
		[ "$$found" = $(VERSION) ] || \
			wrong ".venv has Python $$found, but requirements.txt is for $(VERSION): $$again"; \
		script=; ! [ -e .venv/bin/dvc ] || read -r script <.venv/bin/dvc; \
		script=$${script%% *}; [ -e "$${script#??}" ] || [ -z "$$script" ] || \
			wrong ".venv was made in another folder, as its scripts say: $$again"; \
	fi; \
	if [ "$(origin PYTHON)" != file ] || ! [ -e .venv/bin/activate ]; then \
		found=$$(version "$(PYTHON)") || wrong "$(PYTHON) does not run: install Python" \
			"$(VERSION), or say where it is: make PYTHON=/path/to/python$(VERSION)"; \
		[ "$$found" = $(VERSION) ] || \
			wrong "$(PYTHON) is Python $$found, but requirements.txt is for $(VERSION)"; \
	fi

LOCK = uv pip compile --quiet --generate-hashes --no-header --no-annotate --no-emit-index-url \
	--python-version $(VERSION) --python-platform x86_64-manylinux_2_28 pyproject.toml

VERSIONS = stages/core/base/versions.txt# of the packages that the outputs' bytes depend on

lock: .venv/installed-test
	$(LOCK) --output-file requirements.txt
	$(LOCK) --all-extras --constraint requirements.txt --output-file tests/requirements.txt
	names=$$(sed 's/==.*//' $(VERSIONS) | paste -sd '|') && \
		grep -oE "^($$names)==[^ ]+" requirements.txt >$(VERSIONS).new && mv $(VERSIONS).new $(VERSIONS)
