# make repro    set up, and run the stages that are out of date; with JOBS=2, two at a time; with
#               SCHEDULER=tcp://HOST:PORT, on a Dask cluster
# make test     set up, and run the quick tests: a quarter of an hour
# make test-all run all tests; the slow ones try other processors, all kinds of remotes, every fault,
#               kills in every stage: an hour
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
# make lock     pin all dependencies anew, with hashes; UPGRADE=1: in their newest versions
#
# The first of them makes .venv, of the newest Python that it finds, or of PYTHON=/path/to/python; with
# TORCH=mine, of `python3` or PYTHON=…, whose torch and torchvision are used, and not installed anew.

VERSIONS = 3.11 3.12 3.13 3.14# of Python: those that the locks are for
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
	folder environment changed

repro: .venv/installed$(if $(SCHEDULER),-test)
	python -m stages.tools.repro --page artifacts/report/index.html \
		$(if $(SCHEDULER),--scheduler $(SCHEDULER),--jobs $(or $(JOBS),1))

test: .venv/installed-test
	$(PYTEST) -m "not slow"

test-all: .venv/installed-test
	$(PYTEST)

verify: .venv/installed-test
	$(COMMAND) commands.verify

check: .venv/installed
	python -m stages.tools.check

processors: .venv/installed-test
	$(COMMAND) commands.processors

bench: .venv/installed-test
	dvc repro --quiet
	for name in training growth pipeline processes features classifier; do \
		$(COMMAND) benchmarks.$$name || exit; done

compare: .venv/installed
	$(if $(REV),,$(error make compare needs a revision, as in: make compare REV=HEAD~1))
	python -m stages.tools.compare artifacts/compare.html $(REV) $(AND)

lint: .venv/installed-test
	ruff check
	ruff format --check
	for system in linux darwin win32; do mypy --platform $$system || exit; done

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

# Of a lock, what the environment installs: all, or all but PyTorch where another Python lends its own.
OF_TORCH = torch|torchvision|triton|nvidia-[^=]*|cuda-[^=]*
install = if [ -e .venv/torch ]; then sed -E '/^($(OF_TORCH))==/,/[^\\]$$/d' $(1) >.venv/lock.txt && \
	python -m pip install --no-deps --require-hashes -r .venv/lock.txt; \
	else python -m pip install --require-hashes -r $(1); fi

.venv/installed: $(call changed,requirements.txt,.venv/installed) | environment
	python -m pip --version >/dev/null 2>&1 || python -m ensurepip
	@echo "Installing PyTorch, DVC and what they need into .venv: this takes minutes"
	$(call install,requirements.txt)
	$(call uninstall,$@)
	cp requirements.txt $@

# The packages for tests, clusters and remotes.
.venv/installed-test: $(call changed,tests/requirements.txt,.venv/installed-test) .venv/installed
	$(call install,tests/requirements.txt)
	$(call uninstall,$@)
	cp tests/requirements.txt $@

environment: folder
	@sh stages/tools/environment.sh "$(VERSIONS)" "$(PYTHON)" "$(TORCH)"

LOCK = uv pip compile $(if $(UPGRADE),--upgrade) --quiet --generate-hashes --no-header --no-annotate \
	--no-emit-index-url --fork-strategy fewest --universal --python-version $(firstword $(VERSIONS)) pyproject.toml

PINNED = stages/core/base/versions.txt# the versions that the outputs' bytes depend on

lock: .venv/installed-test
	$(LOCK) --output-file requirements.txt
	$(LOCK) --all-extras --constraint requirements.txt --output-file tests/requirements.txt
	names=$$(sed 's/==.*//' $(PINNED) | paste -sd '|') && \
		grep -oE "^($$names)==[^ ]+" requirements.txt >$(PINNED).new && mv $(PINNED).new $(PINNED)
