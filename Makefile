# RegBench: `make` lists the targets. Each target first makes the environment that it needs.
.DEFAULT_GOAL := help
.PHONY: help setup train demo tune sweep report tensorboard evaluate published networks test test-faults engines test-engines test-fast lint docs notebooks bench bench-gpu lock methods simulations known-code clean

PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed
STUDY ?= four_way
RUN ?= $(shell ls -td outputs/runs/*/*/seed* 2>/dev/null | head -n 1)
PUBLISHED ?= $(basename $(notdir $(wildcard configs/experiment/published/*.yaml)))
ARGS ?=
# Runs of one setting, at one strength and rate, in one colour, and four curves before all others.
VIEW := ?runColorGroup=regex%3A(%5B%5E%2F%5D%2B)%2Fseed&pinnedCards=%5B%7B%22plugin%22%3A%22scalars%22%2C%22tag%22%3A%22val%2Facc%22%7D%2C%7B%22plugin%22%3A%22scalars%22%2C%22tag%22%3A%22probe%2Facc%22%7D%2C%7B%22plugin%22%3A%22scalars%22%2C%22tag%22%3A%22val%2Floss%22%7D%2C%7B%22plugin%22%3A%22scalars%22%2C%22tag%22%3A%22probe%2Floss%22%7D%5D

help: ## list the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

$(STAMP): pyproject.toml requirements.lock
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --editable .
	@touch $(STAMP)

setup: $(STAMP) ## make the environment in .venv, with locked versions
	@echo "ready: $(BIN)/python train.py --help"

train: $(STAMP) ## train one composition: make train ARGS='regularizer=batchnorm seed=1'
	$(BIN)/python train.py $(ARGS)

demo: $(STAMP) ## four settings on five seeds of the embedded digits: no download, about a minute
	$(BIN)/python train.py experiment=demo $(ARGS)
	$(BIN)/regbench report --no-table outputs/sweeps/demo

tune: $(STAMP) ## a tuned comparison on the embedded digits: search, confirm, report, in minutes
	$(BIN)/regbench tune experiment=tuned_demo $(ARGS)

sweep: $(STAMP) ## four settings on ten seeds of Fashion-MNIST: make sweep STUDY=mine ARGS='trainer.max_epochs=5'
	@# Finished runs are reported even if others failed; the exit status is the sweep's, which has printed the table.
	$(BIN)/python train.py experiment=four_way study=$(STUDY) $(ARGS); status=$$?; \
	$(BIN)/regbench report --no-table outputs/sweeps/$(STUDY) && exit $$status

report: $(STAMP) ## write a study's tables, figures and page: make report STUDY=mine
	$(BIN)/regbench report outputs/sweeps/$(STUDY)

tensorboard: $(STAMP) ## show every run in TensorBoard
	@echo 'coloured by setting: http://localhost:6006/$(VIEW)'
	$(BIN)/tensorboard --logdir outputs

evaluate: $(STAMP) ## score a finished run again: make evaluate RUN=outputs/runs/…/seed0 (default: the newest)
	$(BIN)/regbench evaluate $(RUN)

published: $(STAMP) ## reproduce docs/published.md, hours of training; finished runs are skipped: make published PUBLISHED=r5_mlp_mnist
	@set -e; for each in $(PUBLISHED); do $(BIN)/python train.py experiment=published/$$each $(ARGS); done; \
	for each in $(PUBLISHED); do \
		if [ -d outputs/sweeps/$$each ]; then $(BIN)/regbench report --no-table outputs/sweeps/$$each --out docs/published/$$each; fi; \
	done
	$(BIN)/python -m tools.published docs/published docs/published.md

networks: $(STAMP) ## score the four shipped networks on the official test set
	@set -e; for each in none dropout weight_decay "batchnorm regularizer.batchnorm.layers=maps"; do \
		echo "$${each%% *}:"; \
		$(BIN)/regbench evaluate --weights docs/published/networks/$${each%% *}.pt dataset.val_size=0 regularizer=$$each; \
	done

test: $(STAMP) ## run all tests but the long ones that break things (test-faults) or need clusters (test-engines)
	$(BIN)/python -m pytest -n auto --dist worksteal -m 'not faults and not engines'

test-faults: $(STAMP) ## kill processes, fill disks and fuzz for minutes; FAULTS_SEED=… chooses other moments
	@# By name backwards the longest come first, so that at the end no worker waits minutes for another one.
	$(BIN)/python -m pytest -n auto --dist worksteal -m faults $$(ls -r tests/faults/test_*.py)

engines: $(STAMP) ## install SLURM and Ray where they are missing
	tests/engines/slurm-two-nodes.sh install
	$(BIN)/python -m pip install --quiet 'ray>=2.40'

test-engines: engines ## sweep on SLURM and Ray, two nodes of each on this machine, for minutes; installs both where missing
	$(BIN)/python -m pytest -n 2 --dist loadfile -m engines tests/engines

test-fast: $(STAMP) ## run the quick tests only
	$(BIN)/python -m pytest -n auto --dist worksteal -m 'not slow and not faults and not engines'

lint: $(STAMP) ## check style, types and which package imports which
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: $(STAMP) ## build the documentation site: site/index.html
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet

notebooks: $(STAMP) ## run the notebooks of docs/notebooks and keep their outputs
	$(BIN)/python -m tools.notebooks docs/notebooks/*.ipynb

bench: $(STAMP) ## compare the speed with hand-written loops: make bench ARGS='--threads 1'
	$(BIN)/python -m benchmarks $(ARGS)

bench-gpu: $(STAMP) ## measure many seeds at once on a GPU: make bench-gpu ARGS='--members 1,10,40'
	$(BIN)/python -m benchmarks.together $(ARGS)

lock: $(STAMP) ## update requirements.lock to the newest compatible versions
	$(BIN)/uv pip compile --quiet --universal --upgrade --no-annotate --no-header --no-emit-index-url --no-emit-find-links --extra dev pyproject.toml --output-file requirements.lock

methods: $(STAMP) ## write docs/methods.md from the method cards
	$(BIN)/python -m tools.methods docs/methods.md

simulations: $(STAMP) ## draw the tables of docs/statistics.md and docs/tuning.md again, with fixed seeds: some minutes
	$(BIN)/python -m tools.simulations docs/statistics.md
	$(BIN)/python -m tools.simulations.tuned docs/tuning.md

known-code: $(STAMP) ## write the fingerprints of RegBench's own code, after a change that leaves all numbers as they are
	$(BIN)/python -m tools.known_code

clean: ## remove the environment and caches, never outputs/ or data/
	rm -rf .venv site .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find src tests benchmarks tools -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true
