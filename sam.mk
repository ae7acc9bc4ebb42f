# What `sam build` makes: one layer of dependencies, and per function its own code and `shared/`. Included by the
# Makefile, which defines UV and PYTHON. sam calls `make build-<logical id>` and collects $(ARTIFACTS_DIR).

ARCH ?= arm64
# The minor version of the runtime; another one only to run the artifacts on a machine that lacks it.
RUNTIME_PYTHON ?= 3.13
# A new text makes a new version of every function: for parameters that change without the code.
REVISION ?=
export ARCH RUNTIME_PYTHON REVISION UV

LAMBDA := .local/lambda
LAMBDA_TOOLS := $(LAMBDA)/tools
LAMBDA_READY := $(LAMBDA_TOOLS)/.ready
SAM := $(LAMBDA_TOOLS)/bin/sam
CHECKOV_READY := $(LAMBDA)/checkov/.ready
# No request is sent to AWS, telemetry included.
SAM_ENVIRONMENT := SAM_CLI_TELEMETRY=0 AWS_DEFAULT_REGION=us-east-1 AWS_EC2_METADATA_DISABLED=true
SAM_FUNCTIONS := Workflows Publish Execute Executions Audit Webhooks ApiKeys Secrets Signals Intake Health Console Drain Authorizer
SAM_TARGETS := $(SAM_FUNCTIONS:%=build-%Function)
ARTIFACTS := $(PYTHON) -m local.tools.artifacts

.PHONY: build e2e-lambda bench-cold invoke smoke-aws check-template build-for-tests $(SAM_TARGETS) build-DependenciesLayer

build: $(LAMBDA_READY) ## build what is deployed, into .aws-sam/build: ARCH=arm64 or x86_64
	@$(ARTIFACTS) interpreter >/dev/null
	@rm -rf .aws-sam/build
	@$(SAM_ENVIRONMENT) $(SAM) build --parameter-overrides Architecture=$(ARCH) >$(LAMBDA)/build.log 2>&1 \
		|| { cat $(LAMBDA)/build.log >&2; exit 1; }
	@echo "built for $(ARCH) and Python $(RUNTIME_PYTHON), in .aws-sam/build:"
	@$(ARTIFACTS) sizes .aws-sam/build

# For this machine's processor, and with its own Python when the runtime's is not installed.
build-for-tests: $(LAMBDA_READY) $(READY)
	@set -e; ARCH=$$($(ARTIFACTS) architecture); \
	$(ARTIFACTS) interpreter >/dev/null 2>&1 || RUNTIME_PYTHON=$$($(RUN) -c 'import sys; print("%d.%d" % sys.version_info[:2])'); \
	export ARCH RUNTIME_PYTHON; python=$$($(ARTIFACTS) interpreter); \
	rm -rf $(LAMBDA)/build; \
	$(SAM_ENVIRONMENT) $(SAM) build --build-dir $(LAMBDA)/build --parameter-overrides Architecture=$$ARCH \
		>$(LAMBDA)/build.log 2>&1 || { cat $(LAMBDA)/build.log >&2; exit 1; }; \
	if [ ! -e $(LAMBDA)/runtime-$$RUNTIME_PYTHON/.ready ]; then \
		$(UV) export --quiet --frozen --project local/lambda_tools --only-group runtime -o $(LAMBDA)/runtime.txt; \
		$(UV) pip install --quiet --compile-bytecode --python "$$python" --target $(LAMBDA)/runtime-$$RUNTIME_PYTHON -r $(LAMBDA)/runtime.txt; \
		touch $(LAMBDA)/runtime-$$RUNTIME_PYTHON/.ready; fi; \
	printf '{"python": "%s", "runtime": "%s"}\n' "$$python" "$(CURDIR)/$(LAMBDA)/runtime-$$RUNTIME_PYTHON" >$(LAMBDA)/build/runtime.json

# Tests of the local stack and the documentation do not concern what is deployed; `make test` runs them.
NOT_THE_ARTIFACTS := $(addprefix --ignore=tests/e2e/test_,dev.py tutorial.py openapi_fuzz.py rebuild.py)

e2e-lambda: build-for-tests ## run the built functions as Lambda does, and the end-to-end tests over them
	$(RUN) -m pytest tests/artifacts tests/e2e --artifacts $(LAMBDA)/build $(NOT_THE_ARTIFACTS) $(ARGS)

bench-cold: build-for-tests ## measure every function's first invocation, beside a bare one
	@$(RUN) -m tests.bench.cold $(LAMBDA)/build $(ARGS)

invoke: build-for-tests ## invoke a built function: FUNCTION=intake EVENT=events/intake/github_push.json
	@$(RUN) -m local invoke $(FUNCTION) $(EVENT)

smoke-aws: build-for-tests ## deploy the build into an emulator of AWS, and send it a webhook
	@set -e; echo "installing the emulator into $(LAMBDA)/smoke"; \
	UV_PROJECT_ENVIRONMENT=$(CURDIR)/$(LAMBDA)/smoke UV_PYTHON=$$($(RUN) -c "import json; print(json.load(open('$(LAMBDA)/build/runtime.json'))['python'])") \
		$(UV) sync --project local/lambda_tools --frozen --only-group smoke --no-progress --quiet
	@$(RUN) -m local smoke-aws $(LAMBDA)/build $(LAMBDA)/smoke/bin/python

$(LAMBDA_READY): local/lambda_tools/pyproject.toml local/lambda_tools/uv.lock | $(UV)
	@echo "installing the SAM CLI into $(LAMBDA_TOOLS)"
	@UV_PROJECT_ENVIRONMENT=$(CURDIR)/$(LAMBDA_TOOLS) $(UV) sync --project local/lambda_tools --frozen --no-progress --quiet
	@touch $@

# Security findings in the template; .checkov.yaml lists the accepted ones with their reasons. Sends no requests.
check-template: $(CHECKOV_READY) $(LAMBDA_READY)
	@$(LAMBDA_TOOLS)/bin/python local/lambda_tools/transform.py template.yaml >$(LAMBDA)/transformed.json
	$(LAMBDA)/checkov/bin/checkov --config-file .checkov.yaml

$(CHECKOV_READY): local/lambda_tools/pyproject.toml local/lambda_tools/uv.lock | $(UV)
	@echo "installing checkov into $(LAMBDA)/checkov"
	@UV_PROJECT_ENVIRONMENT=$(CURDIR)/$(LAMBDA)/checkov $(UV) sync --project local/lambda_tools --frozen --only-group checkov --no-progress --quiet
	@touch $@

$(SAM_TARGETS):
	@$(ARTIFACTS) function $(@:build-%=%) "$(ARTIFACTS_DIR)"

build-DependenciesLayer:
	@$(ARTIFACTS) layer "$(ARTIFACTS_DIR)"
