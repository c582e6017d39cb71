# Everything runs from .venv, which is made from nothing: Python 3.11 or later and make are all it takes.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
READY := $(VENV)/.ready
PIP := $(VENV)/bin/python -m pip --disable-pip-version-check
PYTEST := $(VENV)/bin/python -m pytest --numprocesses auto --maxprocesses 4 --dist worksteal

CERTIFICATE := build/sin.attncert.json

.PHONY: help certify test test-slow gallery lint lock clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1\t\2/p' Makefile | expand -t 18

$(READY): requirements.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "make: no python3 found; set PYTHON=/path/to/python3.11" >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "make: $(PYTHON) is older than Python 3.11; set PYTHON=/path/to/python3.11" >&2; exit 1; }
	"$(PYTHON)" -m venv --clear $(VENV)
	$(PIP) install --quiet --require-hashes -r requirements.lock
	$(PIP) install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

# The kernel runs under the bare interpreter too: it must not need the packages of .venv.
certify: $(READY) ## certify sin(2*pi*x) on [0,1] within 0.05, then check the certificate
	@mkdir -p build
	$(VENV)/bin/attncert certify 'sin(2*pi*x)' --domain '[0,1]' --tol 0.05 -o $(CERTIFICATE) --force
	$(VENV)/bin/attncert check $(CERTIFICATE)
	"$(PYTHON)" verifier/kernel.py $(CERTIFICATE)

test: $(READY) ## the default tests
	$(PYTEST)

test-slow: $(READY) ## the slow tests
	$(PYTEST) -m slow

gallery: $(READY) ## make the certificates of the gallery anew
	$(VENV)/bin/python certificates/gallery/build.py

lint: $(READY) ## style, walls between the rooms, types
	VENV=$(VENV) .ci/lint

lock: ## write requirements.lock anew, for the Python in use
	rm -rf build/lock
	"$(PYTHON)" -m venv build/lock
	build/lock/bin/python -m pip --disable-pip-version-check install --quiet pip-tools
	CUSTOM_COMPILE_COMMAND='make lock' build/lock/bin/pip-compile --quiet --extra dev --all-build-deps --allow-unsafe \
	  --generate-hashes --strip-extras --no-annotate --no-emit-index-url --no-emit-find-links --no-emit-trusted-host \
	  --no-emit-options --output-file requirements.lock pyproject.toml

clean: ## remove what make made
	rm -rf $(VENV) build
