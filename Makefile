PYTHON ?= python3

.PHONY: help demo demo-model demo-platform ui test test-models test-long test-answers test-plane cluster-test cluster-test-long cluster-demo image bench lint clean
.DEFAULT_GOAL := help

help:  ## what a person may do here
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 22

demo:  ## install, run the main job on the shipped documents, ask it a question
	@$(PYTHON) tasks.py demo

demo-model:  ## train a small model, roll it out under load, refuse a worse one (15 minutes, 9 GB)
	@$(PYTHON) tasks.py demo-model

demo-platform:  ## every component once on this machine, the gateway with a small real model
	@$(PYTHON) tasks.py demo-platform

ui:  ## the Dagster web UI at http://127.0.0.1:3000 (ARGS=platform: of demo-platform)
	@$(PYTHON) tasks.py ui $(ARGS)

test:  ## install and run all tests (ARGS="-m 'not server'" for some)
	@$(PYTHON) tasks.py test $(ARGS)

test-models:  ## the model road with real NeMo, MLflow, vLLM and Envoy (12 minutes, 9 GB)
	@$(PYTHON) tasks.py test-models $(ARGS)

test-long:  ## sweeps of every kind of kill and bad canary, too long for CI
	@$(PYTHON) tasks.py test-long $(ARGS)

test-answers:  ## answers judged through Ragas, against real servers
	@$(PYTHON) tasks.py test-answers $(ARGS)

test-plane:  ## the gateway in a real LiteLLM proxy with a small real model
	@$(PYTHON) tasks.py test-plane $(ARGS)

cluster-test:  ## on the cluster of KUBECONFIG: refresh in pods, chart, applied configuration
	@$(PYTHON) tasks.py cluster-test $(ARGS)

cluster-test-long:  ## there: the faults and failures that are too long for CI
	@$(PYTHON) tasks.py cluster-test-long $(ARGS)

image:  ## the image for clusters (NAME=registry/platform:tag), or one of CLASS=code|parse|embed|evaluation|agent
	@$(PYTHON) tasks.py image '$(NAME)' $(CLASS)

cluster-demo:  ## there: install the chart, refresh the handbook through its web server, search
	@$(PYTHON) tasks.py cluster-demo

bench:  ## speed and memory against the floor and against peers
	@$(PYTHON) tasks.py bench $(ARGS)

lint:  ## format, lint and types, as CI checks them
	@$(PYTHON) tasks.py lint

clean:  ## remove what the demo made (.platform)
	@$(PYTHON) tasks.py clean
