PYTHON ?= python3

.PHONY: help demo ui test bench lint clean cluster-test cluster-demo
.DEFAULT_GOAL := help

help:  ## what a person may do here
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 22

demo:  ## install, run the main job on the shipped documents, ask it a question
	@$(PYTHON) tasks.py demo

ui:  ## the Dagster web UI at http://127.0.0.1:3000
	@$(PYTHON) tasks.py ui

test:  ## install and run all tests (ARGS="-m 'not server'" for some)
	@$(PYTHON) tasks.py test $(ARGS)

bench:  ## speed and memory against the floor and against peers
	@$(PYTHON) tasks.py bench $(ARGS)

lint:  ## format, lint and types, as CI checks them
	@$(PYTHON) tasks.py lint

cluster-test:  ## the tests that need a cluster (KUBECONFIG, PP_TEST_IMAGE; ARGS="tests/cluster")
	@$(PYTHON) tasks.py cluster-test $(ARGS)

cluster-demo:  ## the chart installed there, the handbook refreshed through its web server
	@$(PYTHON) tasks.py cluster-demo

clean:  ## remove what the demo made (.platform)
	@$(PYTHON) tasks.py clean
