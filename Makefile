# One door: what people run, and what CI runs.

PYTHON ?= python3.11
BIN := .venv/bin
READY := .venv/.installed

.PHONY: setup demo test lint bench-attack bench-label bench-delays kafka schemas lock clean bench-learner bench-crash test-faults bench-stream

setup: $(READY)  ## .venv with the locked dependencies; again only when these have changed

$(READY): requirements.lock pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/pip install --disable-pip-version-check -r requirements.lock
	$(BIN)/pip install --disable-pip-version-check -q --no-deps --no-build-isolation -e .
	touch $@

demo: setup  ## the whole loop on real data, here
	$(BIN)/freshrank demo

test: lint  ## everything: unit, integration and end to end, on the embedded broker and on Apache Kafka
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest

bench-learner: setup  ## the learner's speed, size, drift, bad data; BENCH='--only quality --logs …' → table, build/bench-learner.json
	OMP_NUM_THREADS=2 $(BIN)/python -m tests.bench.learner $(BENCH)

bench-crash: setup  ## a learner killed 20 times over 300,000 labels on Apache Kafka, beside one left alone
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.bench.crash $(BENCH)

test-faults: setup  ## killed workers, lost brokers, poison, full disks: nothing is lost; real Kafka, up to 15 minutes
	OMP_NUM_THREADS=1 timeout --kill-after=30 15m $(BIN)/python -m pytest -m faults tests/faults

lint: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

bench-label: setup  ## exposures a second that one core labels, memory by the log's length → table, build/bench-label.json
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.bench.label $(BENCH)

bench-delays: setup  ## what early labels win back of waiting for the window → table, build/bench-delays.{json,png}
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.bench.delays $(BENCH)

bench-attack: setup  ## robots that push an item, with and without trust → table, build/bench-attack.{json,png}
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.bench.attack $(BENCH)

bench-stream: setup  ## the stream worker on Apache Kafka, against its bars; BENCH=--short
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.bench.stream $(BENCH)

kafka: setup  ## a real Apache Kafka in the foreground, from Maven Central
	$(BIN)/python deploy/kafka/server.py

schemas: setup  ## the JSON Schema of every record, for producers in other languages
	$(BIN)/python -m schemas.json

lock:  ## the newest dependencies that pyproject.toml allows → requirements.lock
	rm -rf build/lock
	$(PYTHON) -m venv build/lock
	build/lock/bin/pip install --disable-pip-version-check -q '.[dev]'
	build/lock/bin/pip freeze --all | grep -v -E '^(freshrank|pip|wheel)\b' | sed 's/+[a-z0-9.]*$$//' > requirements.lock
	rm -rf build/lock

clean:  ## all that was made here, but .venv
	rm -rf build dist *.egg-info .freshrank .mypy_cache .pytest_cache .ruff_cache .hypothesis deploy/kafka/target
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +
