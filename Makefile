# Berth. `make demo` and `make test` do all of their own set-up; `make help` lists the rest.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

# Bytecode of the checkout is kept, also where the environment says not to: the tests start hundreds of processes.
export PYTHONDONTWRITEBYTECODE :=

IMAGES := core validate train
UV := $(or $(shell command -v uv),.tools/bin/uv)
BERTH := .venv/core/bin/berth

# TFDV 1.21 needs glibc 2.39 (Debian 13, Ubuntu 24.04); before that the last version with a wheel, 1.16.
GLIBC := $(lastword $(shell getconf GNU_LIBC_VERSION 2>/dev/null))
OLD_GLIBC := $(filter-out 2.39,$(shell printf '%s\n' 2.39 $(GLIBC) | sort -V | head -1))
LOCK_core := docker/core/requirements.lock
LOCK_validate := docker/validate/requirements$(if $(OLD_GLIBC),-tfdv1.16).lock
LOCK_train := docker/train/requirements.lock
LOCK_torch := benchmarks/requirements-torch.lock

# Docker or Podman, and what the images' labels say.
ENGINE := $(or $(shell command -v docker),$(shell command -v podman),docker)
REVISION = $(shell git describe --always --abbrev=40 --exclude='*' --dirty)
CODE = $(shell python3.11 -c 'from berth.code_version import code_version; print(code_version())')

.PHONY: help setup setup-test demo demo-pretrain test test-code test-fast test-images lint ui bench-data bench-train bench-pretrain bench-quality bench-serve compile images push-images locks clean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/\1|\2/' | column -t -s '|'

# An environment is there once its image's check passes. What the check imports is compiled by that, which is most of what
# a run needs; to compile all that is installed takes three times as long.
setup: $(IMAGES:%=.venv/%/.ready) ## Make the environments, one per image, from its lock file
setup-test: $(IMAGES:%=.venv/%/.ready-to-test)

demo: setup ## Fine-tune BERT on real text messages through the whole pipeline
	@$(BERTH) run examples/sms-spam/config.yaml

demo-pretrain: setup ## Pre-train the encoder on the same messages, without their labels
	@$(BERTH) pretrain examples/pretraining/config.yaml

# Tests run in the environment of the image that they test, which is core where no other is named, in JOBS processes.
# A folder that many tests look at is made once for all of them: tests/support/once.py. Processes that import much are
# forks: of the core environment by tests/support/forks.py, of the train environment by tests/support/train_forks.py.
# Where eatmydata is installed, nothing waits for the disk: what tests write need not survive a power cut.
JOBS ?= 2
FAST_DISK := $(shell command -v eatmydata)
PYTEST = -m pytest -n $(JOBS) --dist worksteal
TESTS_validate := tests/berth/statistics tests/components/validate
TESTS_train := tests/berth/encoders tests/berth/explaining tests/berth/training tests/berth/models/test_decision_rule.py \
  tests/components/train tests/components/vocabulary tests/components/evaluate tests/components/pretrain tests/components/evaluate_encoder
NOT_core := $(TESTS_validate) $(TESTS_train) tests/e2e tests/images

test: test-code test-images ## Check style and types, run all tests, build the images and run the pipeline in them

test-code: setup-test lint
	$(FAST_DISK) .venv/core/bin/python $(PYTEST) tests $(NOT_core:%=--ignore=%)
	$(FAST_DISK) .venv/validate/bin/python $(PYTEST) $(TESTS_validate)
	$(FAST_DISK) .venv/train/bin/python $(PYTEST) $(TESTS_train)
	$(FAST_DISK) .venv/core/bin/python $(PYTEST) --dist loadfile tests/e2e

test-fast: setup-test ## The tests for the inner loop: neither TensorFlow nor a process for each test
	$(FAST_DISK) .venv/core/bin/python $(PYTEST) tests/pipeline/config tests/pipeline/dags tests/pipeline/cluster tests/pipeline/schedules \
	  tests/berth/tracking tests/components/compare tests/components/finish tests/components/ingest -m 'not slow'

test-images: .venv/core/.ready-to-test ## Build the images and run the pipeline in them; skipped where no engine answers
	.venv/core/bin/python -m pytest -rs tests/images

lint: setup-test ## Check style, types and which module may import which
	.venv/core/bin/ruff check .
	.venv/core/bin/ruff format --check .
	.venv/core/bin/lint-imports --no-logo --no-cache
	.venv/core/bin/mypy

ui: setup ## Open the MLflow UI on 127.0.0.1
	@$(BERTH) ui

bench-data: setup ## Compare ingest and validate with pandas and TFDV's own functions (10 minutes, 6 GB of disk)
	.venv/core/bin/python -m benchmarks.ingest
	.venv/validate/bin/python -m benchmarks.validate

bench-train: setup .venv/torch/.ready ## Compare training with the original recipe and PyTorch (20 minutes, 5 GB of disk)
	.venv/train/bin/python -m benchmarks.train
	.venv/train/bin/python -m benchmarks.train --startup

bench-pretrain: setup .venv/torch/.ready ## Compare pre-training with transformers (10 minutes, 5 GB of disk)
	.venv/train/bin/python -m benchmarks.pretrain

bench-quality: setup ## Compare what `source:` alone gives with TF-IDF, on data of PyPI packages (2 hours)
	.venv/core/bin/python -m benchmarks.quality

bench-serve: setup ## Compare the exported model's signatures with the original recipe's export (4 minutes)
	.venv/train/bin/python -m benchmarks.serve

compile: setup ## Write pipeline.yaml and pretraining.yaml
	@$(BERTH) compile
	@$(BERTH) compile --pipeline pretraining

images: $(IMAGES:%=image-%) ## Build the images with Docker or Podman (GPU=1: train with CUDA)
image-%:
	$(NEED_PYTHON)
	DOCKER_BUILDKIT=1 $(ENGINE) build --network=host --file docker/$*/Dockerfile \
	  --build-arg CODE=$(CODE) --build-arg REVISION=$(REVISION) \
	  $(if $(GPU),$(if $(filter train,$*),--build-arg LOCK=requirements-gpu.lock)) --tag berth-$*:$(REVISION) --tag berth-$* .

push-images: .venv/core/.ready ## Push the images to REGISTRY=host/path and write their digests to images.lock.yaml
	@.venv/core/bin/python -m pipeline.image_lock '$(ENGINE)' '$(REGISTRY)'

clean: ## Remove the environments (runs and models in .berth/ stay)
	rm -rf .venv .tools

# Lock files: every package with hashes, no index address, so that any index or mirror serves them.
COMPILE = $(UV) pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-emit-index-url --custom-compile-command 'make locks'
locks: $(UV) ## Resolve the requirements.in of docker/, tests/ and benchmarks/ again
	$(COMPILE) docker/core/requirements.in -o docker/core/requirements.lock
	for name in requirements requirements-tfdv1.16; do $(COMPILE) docker/validate/$$name.in \
	  --excludes docker/validate/excludes.txt --overrides docker/validate/overrides.txt -o docker/validate/$$name.lock; done
	$(COMPILE) docker/train/requirements.in --excludes docker/train/excludes.txt -o docker/train/requirements.lock
	$(COMPILE) docker/train/requirements-gpu.in --excludes docker/train/excludes.txt --constraints docker/train/requirements.lock -o docker/train/requirements-gpu.lock
	$(COMPILE) tests/requirements.in --constraints docker/core/requirements.lock -o tests/requirements.lock
	$(COMPILE) tests/requirements-core.in --constraints docker/core/requirements.lock --constraints tests/requirements.lock -o tests/requirements-core.lock
	$(COMPILE) benchmarks/requirements-torch.in -o benchmarks/requirements-torch.lock

define NEED_PYTHON
@python3.11 -c '' 2>/dev/null || { echo 'Berth needs Python 3.11, and no python3.11 on the PATH works. Install it: apt-get install python3.11 (Debian 12), or pyenv install 3.11.' >&2; exit 1; }
endef

.SECONDEXPANSION:
.venv/%/.ready: $$(LOCK_$$*) pyproject.toml | $(UV)
	$(NEED_PYTHON)
	@echo "setting up .venv/$* from $<"
	@$(UV) venv --quiet --clear --python python3.11 .venv/$*
	@$(UV) pip sync --quiet --python .venv/$* --require-hashes $<
	@$(if $(filter core,$*),$(UV) pip install --quiet --python .venv/core --no-deps --no-build-isolation --editable .)
	@$(if $(wildcard docker/$*/check.py),_KFP_RUNTIME=true .venv/$*/bin/python docker/$*/check.py >.venv/$*/check.log 2>&1 || { cat .venv/$*/check.log >&2; exit 1; })
	@touch $@

.venv/%/.ready-to-test: tests/requirements.lock .venv/%/.ready
	@for lock in $^; do case $$lock in tests/*) $(UV) pip install --quiet --python .venv/$* --no-deps --require-hashes -r $$lock;; esac; done
	@touch $@
.venv/core/.ready-to-test: tests/requirements-core.lock

.tools/bin/uv: docker/uv.lock
	$(NEED_PYTHON)
	@python3.11 -m pip --version >/dev/null 2>&1 || { echo 'Berth needs uv, or pip to install it with. Install one: apt-get install python3-pip.' >&2; exit 1; }
	@echo "installing uv into .tools/"
	@python3.11 -m pip install --quiet --disable-pip-version-check --root-user-action ignore --upgrade --target .tools --require-hashes -r $<
	@touch $@
