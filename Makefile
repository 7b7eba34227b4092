# Needs Python 3.11 or newer with venv, git and make; everything else is installed into .venv.
.DEFAULT_GOAL := help
.PHONY: help install demo deploy test test-compose sbom chaos soak fuzz security audit lint fmt loadtest bench bench-peers dashboards kubernetes-rules monitoring-check \
	dashboard-preview cloud-test

BIN := .venv/bin
# One process per core, four at the most: beyond that the tests' own servers wait for each other.
TEST_PROCESSES ?= $(shell n=$$(nproc 2> /dev/null || echo 2); [ $$n -gt 4 ] && n=4; echo $$n)

help: ## show this
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 20

install: ## make .venv with the gateway command and the tools
	@scripts/install.sh

deploy: install ## examine the host (gateway doctor), then build and start the stack and wait until it is healthy (SIM=1: without GPUs)
	@SIM=$(SIM) scripts/deploy.sh

demo: install ## five simulated vLLM servers and the gateway, with examples to paste (DEMO_PORT, DEMO_KEY)
	@$(BIN)/gateway demo

test: install ## the whole test suite, but for test-compose
	@$(BIN)/python -m pytest -n $(TEST_PROCESSES) --dist loadfile --ignore tests/compose

test-compose: install ## the stack in containers: kills, upgrades, certificates, rights (needs a Docker engine)
	@$(BIN)/python -m pytest tests/compose

fuzz: install ## the generated tests in rounds, each with other examples (FUZZ_SECS=900, FUZZ="tests/fuzz ...")
	@scripts/fuzz.sh $(or $(FUZZ_SECS),900) $(FUZZ)

security: install ## the attacks of tests/security, and what docs/security.md says of them (needs nginx or Docker, and openssl)
	@$(BIN)/python -m pytest tests/security tests/test_docs_security.py

audit: install ## ask a public list of vulnerabilities about every pinned package; no network is no failure
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements/audit.lock
	@$(BIN)/python -m tests.security.audit

lint: install ## style, types, which package may import which, unused dependencies
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/deptry .
	@$(BIN)/hadolint Dockerfile
	@$(BIN)/shellcheck $$(git ls-files '*.sh') .ci/run

chaos: install ## every fault of docs/testing.md made to happen, and a table of what came of it (needs nginx or Docker)
	@$(BIN)/python -m tests.chaos -n $(TEST_PROCESSES) --dist loadfile $(CHAOS_ARGS)

soak: install ## a load with departures and kills for SOAK_SECS (600), a table of what it left, .soak/soak.png where matplotlib is
	@$(BIN)/python -m tests.soak $(or $(SOAK_SECS),600) $(SOAK_ARGS)

kubernetes-rules: install ## write deploy/kubernetes' PrometheusRule anew from monitoring/prometheus/rules
	@$(BIN)/python -m monitoring.kubernetes

dashboards: install ## write monitoring/grafana/dashboards anew from the tables in monitoring/dashboards
	@$(BIN)/python -m monitoring.dashboards

monitoring-check: install ## every query of dashboards and alerts, asked of a real Prometheus after a minute of load and faults
	@$(BIN)/python -m tests.monitoring.check

dashboard-preview: install ## the same, and docs/images/overview-preview.png drawn from it
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements/bench.lock
	@$(BIN)/python -m tests.monitoring.check --preview docs/images/overview-preview.png

sbom: ## what the built image has, by name, version and licence (CycloneDX), in sbom.cdx.json
	@docker run --rm --entrypoint cat inference-gateway:local /opt/gateway/sbom.cdx.json > sbom.cdx.json

cloud-test: install ## deploy/cloud/instances.py against moto, an imitation of AWS
	@deploy/cloud/install.sh
	@$(BIN)/python -m pytest tests/deploy/test_instances.py

fmt: install ## format, and mend what can be mended
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

bench: install ## the gateway beside others, where they are installed, e.g. BENCH_ARGS=--write (see bench/README.md)
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements/bench.lock
	@$(BIN)/python -m bench.run $(BENCH_ARGS)

bench-peers: install ## vllm-router, sglang-router and LiteLLM for the benchmark (PEERS="..." for some of them)
	@bench/install_peers.sh $(PEERS)

loadtest: install ## 100 users for a minute, with Locust (USERS, SECONDS, LOADTEST_ARGS=--write, LOADTEST_URL ...; see loadtest/README.md)
	@loadtest/install.sh
	@$(BIN)/python -m loadtest $(or $(USERS),100) $(or $(SECONDS),60) $(LOADTEST_ARGS)
