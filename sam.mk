# What `sam build` makes: one layer of dependencies, and per function our own source as it is.
# sam calls `make build-<logical id>` and collects $(ARTIFACTS_DIR).

SAM_FUNCTIONS := Workflows Publish Execute Executions Audit Webhooks ApiKeys Intake Health Console Drain Authorizer
SAM_PYTHON_VERSION := 3.13

.PHONY: $(SAM_FUNCTIONS:%=build-%Function) build-DependenciesLayer

# .pyc files are shipped: /var/task is read-only, so every cold start would compile again. Unchecked hashes, because
# deployment changes the files' times. Only an interpreter of the runtime's minor can write them.
$(SAM_FUNCTIONS:%=build-%Function):
	mkdir -p "$(ARTIFACTS_DIR)"
	cp -R functions shared "$(ARTIFACTS_DIR)/"
	find "$(ARTIFACTS_DIR)" -name __pycache__ -prune -exec rm -rf {} +
	uv run --no-project --python $(SAM_PYTHON_VERSION) python -m compileall -q --invalidation-mode unchecked-hash "$(ARTIFACTS_DIR)"

build-DependenciesLayer:
	mkdir -p "$(ARTIFACTS_DIR)/python"
	uv export --locked --no-default-groups --no-emit-project --quiet -o "$(ARTIFACTS_DIR)/requirements.txt"
	UV_COMPILE_BYTECODE_TIMEOUT=300 PYC_INVALIDATION_MODE=unchecked-hash uv pip install --quiet \
		--python-version $(SAM_PYTHON_VERSION) --python-platform aarch64-manylinux_2_28 --only-binary :all: \
		--compile-bytecode --target "$(ARTIFACTS_DIR)/python" -r "$(ARTIFACTS_DIR)/requirements.txt"
	rm "$(ARTIFACTS_DIR)/requirements.txt"
