# Every task of this project in one word; `make help` lists them. Nothing but make and a Python >= 3.11 is needed.

# Whatever Python there is: install.py looks for a better one itself, and says so where there is none.
PYTHON ?= $(shell for name in python3 python3.13 python3.12 python3.11; do \
	command -v $$name && break; done)
BIN := .venv/bin

.DEFAULT_GOAL := help
.PHONY: help install demo run check test test-all lint format bench bench-virtual crash generations fleet rolling restarts storm soak fuzz clean

help: ## say what there is
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/  make \1|\2/p' Makefile | column -t -s '|' 2>/dev/null \
	|| sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/  make \1  \2/p' Makefile

install: ## make .venv from requirements.lock (instant when it is there)
	@test -n "$(PYTHON)" || { echo "tickertape: no Python was found; install Python 3.11 or newer" >&2; exit 1; }
	@$(PYTHON) install.py

demo: install ## chat in a page on this machine, with a tiny model or with the one that OPENAI_* names
	@DISCORD_TOKEN= SLACK_BOT_TOKEN= SLACK_APP_TOKEN= TICKERTAPE_PLAYGROUND=on $(BIN)/python -m bot

run: install ## start the bot as the environment, .env and config/tickertape.toml say
	@$(BIN)/python -m bot

check: install ## try the tokens and the model, and say what is missing
	@$(BIN)/python -m bot check

# Modules are compiled once, whatever the environment says: compiling them in every process takes seconds.
PYTEST = PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest

# Of each property, `make test` alone tries fewer examples; within `make test-all` it tries all.
EXAMPLES = --hypothesis-profile=fewer-examples

# `make lint` runs the architecture tests.
test: install ## run the unit, contract and virtual-clock tests and a slice of those with sockets (under a minute)
	@$(PYTEST) -m "not slow" $(EXAMPLES) --ignore=tests/test_architecture.py

test-all: EXAMPLES =
# Its tests are skipped without PostgreSQL, but not here.
test-all: export TICKERTAPE_REQUIRE_POSTGRES = 1
test-all: test ## run `make test` with all examples, then all other tests
	@$(PYTEST) -m "slow and not alone"
	@$(PYTEST) -m alone -n 0

lint: install ## check style, types, imports and the length of functions
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@$(BIN)/mypy install.py
	@$(PYTEST) -n 0 tests/test_architecture.py

format: install ## put the code into the usual form
	@$(BIN)/ruff format
	@$(BIN)/ruff check --fix

# `make bench WRITE=--write` keeps what is measured in benchmarks/results.
WRITE ?=

bench: bench-virtual ## measure what a reader waits for, processor time and memory
	@$(BIN)/python -m benchmarks.load.realtime $(WRITE)
	@$(BIN)/python -m benchmarks.cpu.cost $(WRITE)
	@$(BIN)/python -m benchmarks.load.scale $(WRITE)

bench-virtual: install ## measure what a reader waits for, on the virtual clock alone
	@$(BIN)/python -m benchmarks $(WRITE)

crash: install ## kill the bot, stop it, and lose its model, each in the middle of a hundred answers
	@$(BIN)/python -m tests.stress.crash

generations: install ## let nine generations of processes write to one journal, ten times
	@$(BIN)/python -m tests.stress.generations

fleet: install ## run three processes on PostgreSQL for ten minutes, kill one every 30 s, and deploy in between
	@$(BIN)/python -m tests.stress.fleet

rolling: install ## restart the bot four times under load, then kill the last one
	@$(BIN)/python -m tests.stress.rolling

restarts: install ## restart the bot on Slack ten times within a minute, and count 429s
	@$(BIN)/python -m tests.stress.restarts

storm: install ## send 10,000 events on each platform and to Slack's request URL, some twice, over connections that break
	@$(BIN)/python -m tests.stress.storm

soak: install ## keep twenty answers live for an hour, and see that nothing grows
	@$(BIN)/python -m tests.stress.soak

# `make fuzz SEED=7 SECONDS=60` looks elsewhere, or for a shorter time.
SEED ?= 1
SECONDS ?= 600

fuzz: install ## try every property and pairs of faults with other examples, for ten minutes
	@$(BIN)/python -m tests.stress.fuzz --seed $(SEED) --seconds $(SECONDS)

clean: ## remove what was made, but for .venv
	rm -rf build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +
