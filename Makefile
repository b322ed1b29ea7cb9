# Everything that people, hooks and CI do; plain `make` lists it.
# Recipes need no activated environment: the bootstrap in toolchain/ drops what another one has left.

STACK ?= dev
FORMAT ?= text
PYTHON ?= python3

TOOLCHAIN := $(PYTHON) -m toolchain
BIN := .venv/bin
SERVING := .venv-serving/bin/python
# Tests that drive pulumi bring their own state: the checkout's is not to be touched by them.
WITH_TOOLS := $(TOOLCHAIN) exec --no-state --

unexport VIRTUAL_ENV PYTHONPATH PYTHONHOME PYTHONDONTWRITEBYTECODE
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
.NOTPARALLEL:

.PHONY: help up preview plan down refresh status tune-demo env install setup lint format types test test-unit test-serving \
	test-stack test-cluster test-toolchain bench docs examples import-kaito lock upgrade clean

help: ## list the targets
	@printf 'make up            install what is missing and run `pulumi up`; the dev stack needs no cloud and no GPU\n'
	@printf 'make test          everything that is checked before a change is merged\n\n'
	@grep -E '^[a-z-]+:.*## ' Makefile | sort | sed -E 's/^([a-z-]+):.*## (.*)$$/\1|\2/' \
		| awk -F'|' '{ printf "  %-16s %s\n", $$1, $$2 }'
	@printf '\nSTACK=%s chooses the stack: make up STACK=prod reads Pulumi.prod.yaml\n' '$(STACK)'

up: setup ## set everything up, then `pulumi up` on STACK
	@$(TOOLCHAIN) stack $(STACK) -- up --yes --refresh --skip-preview --suppress-outputs
	@$(MAKE) status

preview: ## what `make up` would change
	@$(TOOLCHAIN) setup pulumi operator --stack $(STACK)
	@$(TOOLCHAIN) stack $(STACK) -- preview

plan: ## the plan without Pulumi's engine: make plan FORMAT=md|json|text
	@$(TOOLCHAIN) setup pulumi operator 1>&2
	@$(TOOLCHAIN) exec -- $(BIN)/python -m components.plan_command --stack $(STACK) --format $(FORMAT)

refresh: setup ## compare the state with what runs
	@$(TOOLCHAIN) stack $(STACK) -- refresh --yes

down: setup ## end all that STACK runs
	@$(TOOLCHAIN) stack $(STACK) -- destroy --yes
	@$(BIN)/python -m components.leftovers --stack $(STACK)

status: ## the live table of workspaces
	@$(TOOLCHAIN) exec -- $(BIN)/python -m components.status --stack $(STACK)

tune-demo: ## tune a small model on a data set of the project, serve it, and ask it: minutes on two cores
	@test -e Pulumi.tune-demo.yaml || cp examples/tune-demo/config.yaml Pulumi.tune-demo.yaml
	@$(MAKE) up STACK=tune-demo
	@$(TOOLCHAIN) exec -- $(BIN)/python -m examples.ask --stack tune-demo --workspace desk 'Who is in charge of the ferry at Harrow Point?'

env: ## print what a shell needs for plain pulumi: eval "$(make env)"
	@$(TOOLCHAIN) env

setup: ## install what `make up` needs
	@$(TOOLCHAIN) setup pulumi operator serving --stack $(STACK)

install: ## install what `make test` needs
	@$(TOOLCHAIN) setup pulumi kubernetes dev serving-test

lint: ## style, imports that point one way
	@$(TOOLCHAIN) setup dev
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/lint-imports --no-logo

format: ## rewrite the code as `make lint` wants it
	@$(TOOLCHAIN) setup dev
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

types: ## pyright, once for each environment
	@$(TOOLCHAIN) setup dev serving-test
	@$(BIN)/pyright
	@$(BIN)/pyright -p pyrightconfig.serving.json

test: install ## lint, types and all tests
	@$(TOOLCHAIN) stages lint types test-unit test-serving test-stack test-cluster

test-unit: install ## tests without Ray: spec, plan, reconciliation, bootstrap
	@$(WITH_TOOLS) $(BIN)/python -m pytest tests --ignore=tests/serving --ignore=tests/tuning --ignore=tests/stack \
		--ignore=tests/cluster

test-toolchain: install ## tests of the bootstrap alone
	@$(WITH_TOOLS) $(BIN)/python -m pytest tests/toolchain

test-serving: ## tests beside PyTorch: engine, weights, API
	@$(TOOLCHAIN) setup serving-test
	@$(SERVING) -m pytest tests/serving tests/tuning

test-stack: install ## tests with the real pulumi, Ray, model and OpenAI client
	@$(WITH_TOOLS) $(BIN)/python -m pytest tests/stack

test-cluster: install ## tests with a real Kubernetes API server, Karpenter, KubeRay and Ray; needs root
	@$(BIN)/python -m tests.cluster.prepare
	@$(WITH_TOOLS) $(BIN)/python -m pytest tests/cluster

bench: install ## speed beside other servers, time to first token, phases of start-up
	@$(WITH_TOOLS) $(BIN)/python -m benchmarks $(BENCH)

docs: ## write the tables and the printed plans in the pages again
	@$(TOOLCHAIN) setup dev
	@$(BIN)/python -m docs.configuration_reference
	@$(BIN)/python -m docs.printed_plans

examples: ## write the plans beside the examples and the table of all presets again
	@$(TOOLCHAIN) setup dev
	@$(BIN)/python -m examples
	@$(BIN)/python -m tests.presets.golden

import-kaito: ## KAITO's manifests as stack config: make import-kaito FILE=ws.yaml
	@test -n "$$FILE" || { echo 'say which manifests: make import-kaito FILE=ws.yaml' >&2; exit 2; }
	@$(TOOLCHAIN) setup dev
	@$(BIN)/python -m components.import_kaito $(if $(EXISTING_NODES),--existing-nodes) -- "$$FILE"

lock: ## write the locks again after a change of pyproject.toml
	@$(TOOLCHAIN) lock

upgrade: ## write the locks with the newest versions that pyproject.toml allows
	@$(TOOLCHAIN) lock --upgrade

clean: ## remove environments and caches; state stays
	@$(TOOLCHAIN) clean
