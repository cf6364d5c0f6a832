# docsave: `make run` starts the system, `make test` proves it. See README.md.
.POSIX:

# The longest first: so three at a time end together.
TEST_GROUPS = test-e2e test-integration-g test-integration-o-t test-integration-a-f test-faults test-integration-u-z \
	test-integration-h-n test-unit
.PHONY: help coverage requirements run test faults soak soak-load soak-bridge soak-api bench profile $(TEST_GROUPS) lint format asyncapi assets postman shell accounts restore fetch rebuild drill verify retention audit lock secrets clean broker-program test-programs

VENV = .venv
BIN = $(VENV)/bin
PIP = $(BIN)/python -m pip --disable-pip-version-check install --quiet --require-hashes
PACKAGES = docsave_services gateway_http notifier_bridge backup

help: ## this list
	@awk -F':.*## ' '/^[a-z-]+:.*## / { printf "%-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: $(VENV)/run.stamp broker-program ## start the system; ctrl-C stops it
	@exec $(BIN)/python -m docsave_services.runtime.supervise --with-parent

# The tests mostly wait (for a node to start, for a service to stop), so three groups run at a time, each with a broker
# and a database server of its own. `make test ARGS="tests/unit -x"` runs what you name, in one process.
test: $(VENV)/dev.stamp node_modules/.stamp test-programs ## all tests, or some: ARGS="tests/unit -x"
ifdef ARGS
	@$(BIN)/python -m pytest $(ARGS)
else
	@$(MAKE) --no-print-directory --keep-going --jobs=3 --output-sync=target $(TEST_GROUPS)
endif

test-faults:
	@$(BIN)/python -m pytest -q tests/faults
test-e2e:
	@$(BIN)/python -m pytest -q tests/e2e
test-unit:
	@$(BIN)/python -m pytest -q tests/unit
test-integration-a-f:
	@$(BIN)/python -m pytest -q tests/integration/test_[a-f]*.py
test-integration-g:
	@$(BIN)/python -m pytest -q tests/integration/test_g*.py
test-integration-h-n:
	@$(BIN)/python -m pytest -q tests/integration/test_[h-n]*.py
test-integration-o-t:
	@$(BIN)/python -m pytest -q tests/integration/test_[o-t]*.py
test-integration-u-z:
	@$(BIN)/python -m pytest -q tests/integration/test_[u-z]*.py

# What the unit and integration tests reach, by branches, in their own process and in those they start and end in order
# (not in those they kill). A report, no limit: in .coverage-data, as pages too.
coverage: $(VENV)/dev.stamp node_modules/.stamp test-programs ## what unit and integration tests reach, by branches
	@mkdir -p .coverage-data
	@$(BIN)/coverage erase
	-@$(BIN)/coverage run -m pytest -q $(or $(ARGS),tests/unit tests/integration)
	@$(BIN)/coverage combine --quiet
	@$(BIN)/coverage html --quiet
	@$(BIN)/coverage report

# A fault of each family, in about ten minutes; `make soak` is all of them with three seeds each, for hours, every fault
# once before any twice. What is finished is kept in .soak: the same command goes on where it was. A report names the
# command that repeats a violation. JOBS=2 attacks two systems at the same time, each with a broker and a MariaDB of its
# own; one system keeps about one processor busy.
FAULT = *
DATABASE = sqlite,mariadb
SEEDS = 1 2 3
JOBS = 1
ATTACK = $(BIN)/python -W ignore -m tests.faults.soak --fault '$(FAULT)' --database $(DATABASE) --jobs $(JOBS) $(if $(AGAIN),--again)
faults: $(VENV)/dev.stamp test-programs ## one fault of each family: ten minutes
	@$(ATTACK) --seeds 1 --quick --again
soak: $(VENV)/dev.stamp test-programs ## all faults with three seeds: hours, fewer with JOBS=2
	@$(ATTACK) --seeds "$(SEEDS)"

# Other things that take long: `make soak-load MINUTES=60` is 32 people and 1,000 sockets, beside backup and verify.
MINUTES = 60
soak-load: $(VENV)/dev.stamp test-programs ## many people and sockets for MINUTES
	@$(BIN)/python -W ignore -m tests.soak.load --minutes $(MINUTES)
soak-bridge: $(VENV)/dev.stamp test-programs node_modules/.stamp ## the notifier for a long time
	@$(BIN)/python -m pytest -q -s tests/soak/test_bridge.py
soak-api: $(VENV)/dev.stamp test-programs ## the API document against a live system: ten thousand requests, ten minutes
	@$(BIN)/python -m pytest -q -s tests/soak/test_api_document.py

# Figures of this machine, on a system of its own: a few minutes, 6 GB of disk.
bench: $(VENV)/dev.stamp node_modules/.stamp test-programs ## docsave beside other programs: a table, bench/RESULTS.md
	@sh deploy/install-packages.sh inotifywait:inotify-tools restic:restic borg:borgbackup
	@PYTHONWARNINGS=ignore $(BIN)/python -m bench $(ARGS)

profile: $(VENV)/dev.stamp test-programs ## flame graphs of each service under load, in profiles/
	@PYTHONWARNINGS=ignore $(BIN)/python -m bench.profiles $(ARGS)

lint: $(VENV)/dev.stamp ## style, types, direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --no-error-summary
	$(BIN)/lint-imports

format: $(VENV)/dev.stamp ## put the code into its style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# The events as an AsyncAPI document; a test says when it is out of date.
asyncapi: $(VENV)/run.stamp ## write docs/asyncapi.json again
	@PYTHONWARNINGS=ignore $(BIN)/python -m notifier_bridge.asyncapi > docs/asyncapi.json

# What pages load from npm packages, copied into the repository; a test says when it is out of date.
assets: node_modules/.stamp ## copy what pages load from npm packages
	@sh deploy/vendor-assets.sh

# The Postman collection from the OpenAPI document and the walk in postman/walk; a test says when it is out of date.
postman: $(VENV)/run.stamp ## make the Postman collection again
	@PYTHONWARNINGS=ignore $(BIN)/python -m postman.make

# What the system was started with, from its data directory.
SETTINGS = env="$${DOCSAVE_DATA_DIR:-data}/env"; [ -f "$$env" ] || { \
	echo "docsave: there is no $$env: start docsave, or set DOCSAVE_DATA_DIR as for its start" >&2; exit 1; }; . "$$env"

# Nameko's shell on the running system: n.rpc.files.list(user_id=1)
shell: $(VENV)/run.stamp ## Nameko's shell on the running system
	@$(SETTINGS) && PYTHONWARNINGS=ignore exec $(BIN)/nameko shell --config config.yml

# Accounts and sessions from the machine itself: make accounts ARGS="create-admin ann" (ARGS=--help lists the rest)
accounts: $(VENV)/run.stamp ## accounts and sessions: ARGS=--help
	@$(SETTINGS) && PYTHONWARNINGS=ignore exec $(BIN)/python -m docsave_services.runtime.accounts $(ARGS)

# Files out of the backup directory as plain files, without any service: make restore ARGS="--to DIR --user 3"
restore: $(VENV)/run.stamp ## files out of the backup: ARGS="--to DIR"
	@PYTHONWARNINGS=ignore exec $(BIN)/python -m backup.restore_command $(ARGS)

# Read the whole backup again, and fail if something is wrong: make verify ARGS=--repair puts right what it can.
verify: $(VENV)/run.stamp ## read the whole backup again; ARGS=--repair
	@[ ! -f "$${DOCSAVE_DATA_DIR:-data}/env" ] || . "$${DOCSAVE_DATA_DIR:-data}/env"; \
		PYTHONWARNINGS=ignore exec $(BIN)/python -m backup.verify_command $(ARGS)

# The backup in the bucket of the settings as a backup directory, for rebuild and verify: make fetch ARGS="--to DIR"
fetch: $(VENV)/run.stamp ## the backup out of its bucket: ARGS="--to DIR"
	@PYTHONWARNINGS=ignore exec $(BIN)/python -m backup.fetch_command $(ARGS)

# What the rules of retention would give up: make retention ARGS=--dry-run; without it, have it done now.
retention: $(VENV)/run.stamp ## what the rules give up: ARGS=--dry-run
	@[ ! -f "$${DOCSAVE_DATA_DIR:-data}/env" ] || . "$${DOCSAVE_DATA_DIR:-data}/env"; \
		PYTHONWARNINGS=ignore exec $(BIN)/python -m backup.retention_command $(ARGS)

# docsave from its backup directory alone, into an empty data directory and database: make rebuild ARGS="--from DIR"
rebuild: $(VENV)/run.stamp ## everything from the backup: ARGS="--from DIR"
	@PYTHONWARNINGS=ignore exec $(BIN)/python -m backup.rebuild_command $(ARGS)

# Whether the backup of the running system gives everything back: rebuilds it in a scratch place and compares.
drill: $(VENV)/run.stamp ## whether the backup gives everything back
	@$(SETTINGS) && PYTHONWARNINGS=ignore exec $(BIN)/python -m backup.drill_command $(ARGS)

# The lock files hold versions and hashes, and no address of an index.
lock: $(VENV)/dev.stamp ## pin versions and hashes of all packages
	@$(MAKE) requirements

requirements:
	env -u UV_FIND_LINKS $(BIN)/uv pip compile --quiet $(LOCK) pyproject.toml -o requirements.txt
	env -u UV_FIND_LINKS $(BIN)/uv pip compile --quiet $(LOCK) -c requirements.txt --group dev pyproject.toml -o requirements-dev.txt
	npm install --package-lock-only

LOCK = --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links \
	--no-header --no-annotate

# Known weaknesses of the locked packages, as far as this machine's registries tell of them.
audit: $(VENV)/dev.stamp node_modules/.stamp ## known weaknesses of packages
	@$(BIN)/pip-audit --disable-pip --no-deps -r requirements.txt
	@npm audit --omit=dev

# What the containers need before the first `docker compose up`.
secrets: ## what the containers need before they start
	@sh deploy/make-secrets.sh

clean: ## remove what was installed and cached
	rm -rf $(VENV) node_modules .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@sh deploy/make-venv.sh $(VENV)

$(VENV)/run.stamp: requirements.txt $(BIN)/python
	@echo "docsave: installing Python packages"
	@$(PIP) -r requirements.txt
	@touch $@

$(VENV)/dev.stamp: requirements-dev.txt $(VENV)/run.stamp
	@echo "docsave: installing Python packages for tests"
	@$(PIP) -r requirements-dev.txt
	@touch $@

node_modules/.stamp: package-lock.json
	@sh deploy/install-packages.sh node:nodejs npm:npm
	@npm ci --silent --ignore-scripts
	@touch $@

broker-program:
	@[ -n "$${DOCSAVE_AMQP_URI:-}$${DOCSAVE_AMQP_URI_FILE:-}" ] || sh deploy/install-packages.sh rabbitmq-server:rabbitmq-server

test-programs:
	@sh deploy/install-packages.sh rabbitmq-server:rabbitmq-server mariadbd:mariadb-server nginx:nginx-light zstd:zstd chromium:chromium strace:strace faketime:faketime systemd-analyze:systemd
