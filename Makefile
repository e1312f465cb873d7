# Thin on purpose: the logic is Python in book/_make. Paths stay relative, so that a folder with a
# space in its name works, and nothing here is newer than make 3.81.

PYTHON =
python = .venv/bin/python

.PHONY: help environment book test test-portable serve slides pdf notebooks experiments lab lint mutants audit bench bench-smoke clean

help:
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-13s %s\n", $$1, $$2 }' Makefile
	@echo "PYTHON=... chooses the interpreter (3.11 to 3.14), else the newest one found is taken."
	@echo "make experiments NAMES=... measures these only; python -m bnlib.experiments --help: more."

# Any Python from 3.6 on can start environment.py, which looks for a supported one itself.
environment:
	@for start in "$(PYTHON)" python3 python3.14 python3.13 python3.12 python3.11 python; do \
	  "$$start" -c 'import sys; sys.exit(sys.version_info < (3, 6))' > /dev/null 2>&1 && \
	  exec "$$start" book/_make/environment.py $(OPTIONS) "$(PYTHON)"; \
	done; echo "No Python was found: install Python 3.11, 3.12, 3.13 or 3.14." >&2; exit 1

book: environment ## execute every notebook and build the pages in _build/html
	@$(python) book/_make/build.py

# Files side by side, those of a notebook's cells or of a browser never split; in the order of
# `testpaths` and of tests/conftest.py, which have their reasons.
workers = -n logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder
# Each with one thread for products of matrices, or they wait for each other's processors.
test test-portable: export OPENBLAS_NUM_THREADS = 1

test: environment ## build the book, then run every test; ends with the count
	@$(python) book/_make/build.py; built=$$?; $(python) -m pytest $(workers) && exit $$built

test-portable: environment ## the same where other digits are printed: verdicts and tolerances must hold
	@$(python) book/_make/build.py; built=$$?; $(python) -m pytest -p portable $(workers) && exit $$built

serve: environment ## show the built book on localhost
	@$(python) book/_make/serve.py

slides: environment ## each moving figure of the built book as one file, in _build/slides
	@$(python) book/_make/slides.py

pdf: environment ## the built book as one file to print, _build/book.pdf, by the machine's Chromium
	@$(python) book/_make/pdf.py

notebooks: environment ## run the notebooks again and store what they print; rewrites the ledger
	@$(python) book/_make/notebooks.py

experiments: environment ## measure what is missing in results; goes on where it stopped
	@$(python) -m bnlib.experiments run $(NAMES)

lab: environment ## open the notebooks in JupyterLab, to run and to change
	@$(python) book/_make/home.py -m jupyterlab book

lint: OPTIONS = --lint
lint: environment ## check style and types
	@$(python) -m ruff check && $(python) -m ruff format --check && $(python) -m mypy
	@$(python) -m ruff format --check --line-length 70 book/*.ipynb homework/*.ipynb

mutants: OPTIONS = --mutants
mutants: environment ## change bnlib in thousands of places; the tests must notice
	@$(python) tests/mutation.py

bench: environment ## time beside PyTorch and JAX in tables and pictures; rewrites benchmarks/results
	@$(python) benchmarks/environment.py && _build/peers/bin/python -m benchmarks

bench-smoke: environment ## the same in a minute: is anything much slower than it was?
	@$(python) benchmarks/environment.py && _build/peers/bin/python -m benchmarks.smoke

audit: OPTIONS = --mutants
audit: environment ## the long checks, an hour or more: STEPS=... runs these only
	@$(python) tests/audit.py $(STEPS)

clean: ## remove the built pages and the caches; .venv stays
	rm -rf _build .pytest_cache .ruff_cache .mypy_cache .hypothesis .coverage*
