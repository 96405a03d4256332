# make app    sets up .venv and starts the app; make app PHOTOS=folder shows a folder's photos
# make test   sets up .venv and runs all tests
# make test-quick  runs the tests of the code itself, in under two minutes on two cores: none that are marked slow, hostile
#             (they attack files and kill processes) or browser
# make lint   checks style, formatting and types
# make test-app  installs the package as a wheel into a fresh .venv-app, which has no PyTorch, and runs the tests of what needs none
#
# The app runs without PyTorch where there is no NVIDIA GPU; make app GPU=1 installs it all the same.

VENV ?= .venv
PYTHON ?= python3
GPU ?= $(shell nvidia-smi --list-gpus 2>/dev/null)
APP = $(VENV)/requirements$(if $(GPU),,-app).stamp
DEV = $(VENV)/requirements-dev.stamp

# Installed modules are compiled when they are first imported. Under this nothing is kept, and every process compiles them
# again, for half a minute with PyTorch.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: app test test-quick test-app lint

app: $(APP)
	$(VENV)/bin/streamlit run app.py $(if $(PHOTOS),-- --photos "$(PHOTOS)")

test: $(DEV)
	$(VENV)/bin/python -m pytest --numprocesses auto --dist loadfile --no-loadscope-reorder

test-quick: $(DEV)
	$(VENV)/bin/python -m pytest -m "not slow and not hostile and not browser" --numprocesses auto --dist loadfile

test-app:
	rm -rf .venv-app build
	$(PYTHON) -m venv .venv-app
	.venv-app/bin/pip install --quiet --no-compile '.[app]' --requirement requirements-test.txt
	CAPTIONING_WITHOUT_TORCH=1 .venv-app/bin/python -m pytest tests/test_without_torch.py tests/test_main_way.py

lint: $(DEV)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/pyright --pythonpath $(VENV)/bin/python

# Without compiled modules: most are never imported, and would take a sixth of the app's environment.
$(VENV)/%.stamp: %.txt $(wildcard requirements*.txt)
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --no-compile --requirement $<
	touch $@
