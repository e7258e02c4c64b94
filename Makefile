# Everything sets itself up: `make demo` on a fresh clone is enough.
PYTHON ?= python3
BIN := .venv/bin
CASE ?= 11
CHAT ?= slack
FAULT ?= pipeline
CHANGED := .venv/installed
PEERS := .venv/peers

.PHONY: setup demo demo-chat demo-lineage up test check bench bench-aggregator bench-attribution bench-audit bench-diagnosis bench-lineage bench-runbook torture-aggregator torture-runbook protos clean
.DELETE_ON_ERROR:

setup: $(CHANGED)

# pip installs torch, because it alone honours a machine's own wheel folders; uv is ten times
# faster with the rest.
$(CHANGED): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt torch uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python -c constraints.txt -e '.[dev]'
	touch $@

demo: setup
	@$(BIN)/python -m clients.drill.demo --case $(CASE) $(ARGS)

demo-chat: setup
	@$(BIN)/python -m tests.chat.demo --chat $(CHAT) $(ARGS)

demo-lineage: setup
	@$(BIN)/python -m clients.drill.tiers.demo --fault $(FAULT) $(ARGS)

up: setup
	@$(BIN)/python -m deploy.local $(ARGS)

test: setup
	$(BIN)/pytest -n auto --dist loadscope $(ARGS)

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	protos/check.sh
	$(BIN)/hadolint deploy/Dockerfile deploy/chatbot.Dockerfile
	$(BIN)/check-jsonschema --builtin-schema vendor.compose-spec deploy/compose.yaml
	$(BIN)/yamllint --strict deploy

bench: $(PEERS)
	$(BIN)/python -m tests.bench $(if $(QUICK),--quick)

bench-attribution: setup
	@$(BIN)/python -m tests.bench.attribution $(if $(QUICK),--quick)

bench-aggregator: setup
	@$(BIN)/python -m tests.bench.aggregator $(if $(QUICK),--quick)

# The packages that diagnosis is measured against take long to install, and nothing else needs them.
$(PEERS): $(CHANGED)
	$(BIN)/uv pip install --quiet --python $(BIN)/python -c constraints.txt -e '.[peers]'
	touch $@

bench-diagnosis: $(PEERS)
	@$(BIN)/python -m tests.bench.diagnosis $(if $(QUICK),--quick)

bench-runbook: setup
	@$(BIN)/python -m tests.bench.runbook $(if $(QUICK),--quick)

bench-lineage: setup
	@$(BIN)/python -m tests.bench.lineage $(if $(QUICK),--quick)

bench-audit: setup
	@$(BIN)/python -m tests.bench.audit $(if $(QUICK),--quick)

torture-aggregator: setup
	@$(BIN)/python -m tests.torture.aggregator $(if $(QUICK),--quick)

torture-runbook: setup
	@$(BIN)/python -m tests.torture.runbook $(if $(QUICK),--quick)

protos:
	protos/generate.sh

clean:
	rm -rf .venv protos/.venv .aftershock
