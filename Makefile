# One entry for everything. `make help` prints the comments behind `##`.
# Make hands its variables on: `make run GATEWAY_PORT=9000` does as `GATEWAY_PORT=9000 make run`.
SHELL := /bin/sh
.DEFAULT_GOAL := help
.PHONY: help setup setup-test run admin demo bench fuzz test unit service integration e2e check lint types \
	format lock clean docs migrate alone image secrets up down backup restore drill pods manifests

# What is started dozens of times in a run would be compiled each time.
unexport PYTHONDONTWRITEBYTECODE

VENV ?= .venv
RUN := $(VENV)/bin/python
LINTED := shared services deploy tests bench
DOCKER ?= docker
COMPOSE = $(DOCKER) compose --file deploy/compose.yaml
TAG ?= tasklane:local
# Two doors cannot have one port, so several get a range.
ifneq ($(findstring gateway=,$(SCALE)),)
export GATEWAY_PUBLISH := $(or $(GATEWAY_PUBLISH),127.0.0.1:8080-8099)
endif

# Without PYTHON= the first interpreter that is new enough is taken; with it, that one or none.
ifeq ($(origin PYTHON),undefined)
CANDIDATES := python3 python3.14 python3.13 python3.12 python3.11 python
else
CANDIDATES := $(PYTHON)
THIS_PYTHON := --this-python
endif
FIND_PYTHON = python=; for candidate in $(CANDIDATES); do \
	if "$$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; \
	then python=$$candidate; break; fi; done; \
	if [ -z "$$python" ]; then echo "Tasklane needs Python 3.11 or newer, and none of these is:" \
	"$(CANDIDATES). Install one, or name it: make $(MAKECMDGOALS) PYTHON=/path/to/python3.12" >&2; \
	exit 1; fi
PREPARE = $(FIND_PYTHON); "$$python" -m deploy.local.environment --venv "$(VENV)" $(THIS_PYTHON)

help: ## this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## make the virtual environment with what `make run` needs
	@$(PREPARE) local

setup-test:
	@$(PREPARE) test

run: setup ## run the whole system on this machine (PostgreSQL included) until Ctrl-C
	@exec $(RUN) -m deploy.local --with-parent

admin: setup ## make an administrator of the system that runs here: make admin EMAIL=you@example.com
	@exec $(RUN) -m deploy.local.admin $(if $(EMAIL),"$(EMAIL)")

demo: setup ## try a running system with real input: make demo FILE=tasks.jsonl [URL=http://127.0.0.1:8080]
	@exec $(RUN) -m deploy.local.demo $(if $(FILE),"$(FILE)") $(if $(URL),--url "$(URL)")

bench: setup-test ## measure CPU per request of the gateway alone and of the whole path [ARGS=--quick]
	@exec $(RUN) -m bench $(ARGS)

fuzz: setup-test ## send mutated requests at a gateway and judge its answers [REQUESTS=1000000]
	@exec $(RUN) -m bench.fuzz $(if $(REQUESTS),--requests $(REQUESTS))

test: setup-test ## all tests, on a real PostgreSQL and a real Redis
	@$(RUN) -m pytest -n 3

unit: setup-test ## tests of single modules and of the house's rules
	@$(RUN) -m pytest tests/unit tests/test_architecture.py

service: setup-test ## tests of one service at a time
	@$(RUN) -m pytest -n 2 tests/service

integration: setup-test ## tests of modules together with a real PostgreSQL or Redis
	@$(RUN) -m pytest -n 2 tests/integration

e2e: setup-test ## tests of the real processes, started as `make run` starts them
	@$(RUN) -m pytest -n 2 tests/e2e

check: lint types test ## everything that a change must pass

lint: setup-test ## ruff: rules and formatting
	@$(RUN) -m ruff check $(LINTED)
	@$(RUN) -m ruff format --check $(LINTED)

types: setup-test ## mypy, strict
	@$(RUN) -m mypy

format: setup-test ## put the code into its format, and fix what ruff can fix
	@$(RUN) -m ruff check --fix $(LINTED)
	@$(RUN) -m ruff format $(LINTED)

lock: setup-test ## resolve deploy/requirements/*.in into the locked *.txt
	@$(RUN) -m deploy.local.lock $(if $(UPGRADE),--upgrade)


docs: setup ## write the settings table of the README from the code
	@$(RUN) -m deploy.settings_table

migrate: setup ## bring AUTH_DATABASE_URL and TASKS_DATABASE_URL to the present schema
	@$(RUN) -m services.auth migrate
	@$(RUN) -m services.tasks migrate

image: ## build the container image: make image [TAG=tasklane:local] [PYTHON_IMAGE=python:…@sha256:…]
	@$(DOCKER) build -f deploy/Dockerfile -t $(TAG) \
		$(if $(PYTHON_IMAGE),--build-arg PYTHON_IMAGE=$(PYTHON_IMAGE)) .

secrets: ## make what is missing of deploy/secrets and deploy/.env
	@$(FIND_PYTHON); "$$python" -m deploy.make_secrets

up: secrets ## start all in containers: make up [SCALE="gateway=2 tasks=3"] [PROFILE=observability]
	@$(COMPOSE) $(if $(PROFILE),--profile $(PROFILE)) up --detach --build --wait \
		$(foreach part,$(SCALE),--scale $(part))
	@$(COMPOSE) port gateway 8080 | sed 's|^|ready: http://|'

down: ## stop the containers; their data stays
	@$(COMPOSE) --profile observability down

backup: ## write both databases of `make up` into one archive: make backup [FILE=backups/….tar]
	@umask 077; file="$(FILE)"; file=$${file:-backups/tasklane-$$(date -u +%Y%m%dT%H%M%SZ).tar}; \
		mkdir -p "$$(dirname "$$file")" && $(COMPOSE) run --rm --no-TTY backup > "$$file.part" && \
		mv "$$file.part" "$$file" && echo "$$file"

restore: ## put an archive back, REPLACE=yes drops what is there: make restore FILE=backups/….tar
	@test -f "$(FILE)" || { echo "make restore FILE=backups/….tar" >&2; exit 2; }
	@# Without REPLACE only an empty system is filled, and nothing serves on an empty schema.
	@if [ "$(REPLACE)" = yes ]; then $(COMPOSE) stop gateway worker tasks auth; fi
	@$(COMPOSE) up --detach --wait postgres
	@status=0; $(COMPOSE) run --rm --no-TTY --env REPLACE=$(REPLACE) \
		--entrypoint "sh /backup/restore.sh" backup - < "$(FILE)" || status=$$?; \
		$(COMPOSE) up --detach --wait; exit $$status

drill: setup secrets ## restart and kill containers under load, beside a running system: needs a Docker engine
	@exec $(RUN) -m deploy.check

pods: setup-test image ## run the pods of an overlay in a Docker engine: make pods [OVERLAY=prod]
	@exec $(RUN) -m deploy.check.pods $(OVERLAY)

manifests: setup-test ## write the generated manifests, then check everything below deploy/
	@$(RUN) -m deploy.prometheus_rule
	@$(RUN) -m pytest tests/deploy

clean: ## remove the virtual environment and caches; the data in DATA_DIR stays
	@rm -rf "$(VENV)" "$(VENV).lock" .mypy_cache .pytest_cache .ruff_cache .hypothesis
	@find . -name __pycache__ -type d -not -path './.data/*' -prune -exec rm -rf {} +

# Behind services/*/Makefile: one process in the foreground.
alone: setup
	@exec $(RUN) -m deploy.local --with-parent $(PROGRAM)
