# make app    sets up .venv and starts the app; make app PHOTOS=folder shows a folder's photos
# make test   sets up .venv and runs all tests
# make lint   checks style and formatting

VENV ?= .venv
PYTHON ?= python3

.PHONY: app test lint

app: $(VENV)/app.stamp
	$(VENV)/bin/streamlit run app.py $(if $(PHOTOS),-- --photos "$(PHOTOS)")

test: $(VENV)/dev.stamp
	$(VENV)/bin/python -m pytest --numprocesses auto --dist loadfile

lint: $(VENV)/dev.stamp
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .

$(VENV)/app.stamp: requirements.txt
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --requirement requirements.txt
	touch $@

$(VENV)/dev.stamp: requirements.txt requirements-ray.txt requirements-dev.txt
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --requirement requirements-dev.txt
	touch $@
