# What `sam build` makes: one layer of dependencies, and per function our own source as it is.
# sam calls `make build-<logical id>` and collects $(ARTIFACTS_DIR). Included by the Makefile, which defines UV.

SAM_FUNCTIONS := Workflows Publish Execute Executions Audit Webhooks ApiKeys Intake Health Console Drain Authorizer
SAM_TARGETS := $(SAM_FUNCTIONS:%=build-%Function)

# .pyc files are shipped: /var/task is read-only, so every cold start would compile again. Unchecked hashes, because
# deployment changes the files' times. Only an interpreter of the runtime's own minor can write them.
SAM_PYTHON = $(shell python3.13 -c 'import sys; print(sys.executable)' 2>/dev/null)
SAM_COMPILE = $(if $(SAM_PYTHON),$(SAM_PYTHON) -m compileall -q -j 0 --invalidation-mode unchecked-hash,\
	@echo "there is no python3.13 here: built without bytecode, cold starts will take longer" \#)

.PHONY: $(SAM_TARGETS) build-DependenciesLayer

$(SAM_TARGETS):
	mkdir -p "$(ARTIFACTS_DIR)"
	cp -R functions shared "$(ARTIFACTS_DIR)/"
	find "$(ARTIFACTS_DIR)" -name __pycache__ -prune -exec rm -rf {} +
	$(SAM_COMPILE) "$(ARTIFACTS_DIR)"

build-DependenciesLayer: | $(UV)
	mkdir -p "$(ARTIFACTS_DIR)/python"
	$(UV) export --quiet --frozen --no-default-groups --no-emit-project -o "$(ARTIFACTS_DIR)/requirements.txt"
	$(UV) pip install --quiet --python-version 3.13 --python-platform aarch64-manylinux_2_28 --only-binary :all: \
		--target "$(ARTIFACTS_DIR)/python" -r "$(ARTIFACTS_DIR)/requirements.txt"
	rm -rf "$(ARTIFACTS_DIR)/requirements.txt" "$(ARTIFACTS_DIR)/python/bin"
	$(SAM_COMPILE) "$(ARTIFACTS_DIR)/python"
