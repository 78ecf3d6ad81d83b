# Fairlead's tasks. `make help` lists them.
SHELL := /bin/bash
.DEFAULT_GOAL := help

ROOT := $(CURDIR)
BIN := $(ROOT)/bin
PROTO_DEPS := .build/proto-deps
MODULES := $(shell sed -n 's/^[[:space:]]*\.\/\(.*\)/\1/p' go.work)
# The tools that check and generate code, built from tools/go.mod's pins.
TOOLS := buf protoc-gen-go protoc-gen-go-grpc protoc-gen-grpc-gateway protoc-gen-openapiv2
export PATH := $(BIN):$(PATH)
# ONNX Runtime is loaded through C. Without a compiler the program is built without it, and says so when it is asked to serve an
# ONNX model. Names are resolved in Go in either case.
CGO_ENABLED ?= $(if $(shell command -v $(CC) 2>/dev/null),1,0)

.PHONY: help
help: ## List the tasks.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: demo
demo: deps build ## Install what is needed, start Fairlead and run its main job end to end.
	@./demo/run

.PHONY: test
test: deps ## Install what is needed and run every test, in both assemblies.
	./tools/test

.PHONY: soak
soak: deps build ## Break both assemblies at random under load for FAIRLEAD_SOAK (30m) each.
	cd test && FAIRLEAD_BIN=$(BIN)/fairlead FAIRLEAD_SOAK=$(or $(FAIRLEAD_SOAK),30m) go test -count 1 -timeout 0 -v ./failure

.PHONY: bench-dispatch
bench-dispatch: ## Simulate the choice of replicas against other rules.
	cd bench && for s in mixed even small; do go run ./dispatch -scenario $$s || exit 1; done

.PHONY: bench-scorer
bench-scorer: ## Compare the scorer with Flask behind gunicorn, which it installs.
	@FAIRLEAD_DEPS="python3-flask gunicorn" ./tools/deps
	cd scorer && go build -o $(BIN)/scorer ./cmd/scorer
	cd bench && go run ./scorer -scorer $(BIN)/scorer

.PHONY: build
build: ## Build bin/fairlead.
	CGO_ENABLED=$(CGO_ENABLED) go build -trimpath -tags netgo,osusergo -ldflags '-s -w -X main.version=$(shell git describe --always --dirty 2>/dev/null || echo unknown)' -o $(BIN)/fairlead ./cmd/fairlead

.PHONY: onnxruntime
onnxruntime: ## Fetch ONNX Runtime's shared library and put it beside bin/fairlead.
	@./tools/onnxruntime

.PHONY: deps
deps: ## Install the Debian packages that the demo and the tests need.
	@./tools/deps

.PHONY: check
check: lint-proto lint modules fresh ## Run every check but the tests: lint, contracts, modules, generated code.

.PHONY: lint
lint: $(BIN)/golangci-lint ## Lint all Go code.
	@for m in $(MODULES); do echo "lint $$m"; (cd $$m && $(BIN)/golangci-lint run --config $(ROOT)/.golangci.yml ./...) || exit 1; done

.PHONY: lint-proto
lint-proto: proto-deps ## Lint the contracts and refuse breaking changes of them.
	buf lint
	@./tools/breaking

.PHONY: modules
modules: ## Build and vet each module alone, and check that its go.mod is tidy.
	@for m in $(MODULES); do echo "module $$m"; (cd $$m && GOWORK=off go mod tidy -diff && GOWORK=off go build -o /dev/null ./... && GOWORK=off go vet ./...) || exit 1; done

.PHONY: generate
generate: proto-deps $(addprefix $(BIN)/,$(TOOLS)) ## Generate Go code and the OpenAPI document from the contracts.
	buf generate
	buf generate --template buf.gen.operations.yaml
	buf generate --template buf.gen.openapi.yaml

.PHONY: fresh
fresh: ## Check that the generated code is up to date.
	@./tools/fresh

.PHONY: fuzz
fuzz: ## Run every fuzz target for FUZZTIME (30s).
	./tools/fuzz $(or $(FUZZTIME),30s)

.PHONY: tidy
tidy: ## Tidy every go.mod.
	@for m in $(MODULES); do (cd $$m && GOWORK=off go mod tidy) || exit 1; done

.PHONY: proto-deps
proto-deps: $(PROTO_DEPS)/.done $(BIN)/buf

$(PROTO_DEPS)/.done: tools/go.mod tools/protodeps/main.go
	cd tools && GOWORK=off go run ./protodeps $(ROOT)/$(PROTO_DEPS)
	@touch $@

$(BIN)/buf: tools/go.mod
	cd tools && GOWORK=off go build -o $@ github.com/bufbuild/buf/cmd/buf
$(BIN)/protoc-gen-go: tools/go.mod
	cd tools && GOWORK=off go build -o $@ google.golang.org/protobuf/cmd/protoc-gen-go
$(BIN)/protoc-gen-go-grpc: tools/go.mod
	cd tools && GOWORK=off go build -o $@ google.golang.org/grpc/cmd/protoc-gen-go-grpc
$(BIN)/protoc-gen-grpc-gateway: tools/go.mod
	cd tools && GOWORK=off go build -o $@ github.com/grpc-ecosystem/grpc-gateway/v2/protoc-gen-grpc-gateway
$(BIN)/protoc-gen-openapiv2: tools/go.mod
	cd tools && GOWORK=off go build -o $@ github.com/grpc-ecosystem/grpc-gateway/v2/protoc-gen-openapiv2
$(BIN)/golangci-lint: tools/go.mod
	cd tools && GOWORK=off go build -o $@ github.com/golangci/golangci-lint/v2/cmd/golangci-lint
