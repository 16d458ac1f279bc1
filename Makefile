# Targets for people; `make help` lists them. What takes more than a line is in
# scripts/. Everything works from a clean clone on Debian with Go, git and make.

GO      ?= go
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
export GO

.PHONY: help setup lab build image release test soak e2e lint fuzz bench demo clean

help: ## list the targets
	@sed -n 's/^\([a-z0-9]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

setup: ## install the Debian packages that tests and benchmarks need (root)
	@scripts/setup.sh test bench

lab: ## build the parts that take minutes, once, into a cache
	@scripts/lab.sh

build: ## build the static binary bin/fairway
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-s -w -X main.version=$(VERSION)' -o bin/fairway ./cmd/fairway

image: build ## build the image fairway around bin/fairway; nothing is pulled
	docker build -t fairway .

release: ## build static binaries and .deb packages for amd64 and arm64, checksums and SBOM into dist/
	@scripts/release.sh

test: ## run what has to pass: vet, staticcheck, tests under the race detector, end-to-end with real Docker
	@scripts/test.sh

soak: ## run everything at its full length, with fuzzing and all linters; hours. Ends with a table of figures
	@scripts/soak.sh

e2e: ## run end-to-end tests alone; ARGS for go test, FAIRWAY_SOAK=1 for the long form, FAIRWAY_E2E_ENGINE=haproxy
	@scripts/setup.sh test
	@scripts/dockerd.sh run $(GO) test -tags e2e -count=1 -timeout 60m -v $(ARGS) ./test/e2e/

lint: ## run the linters of .golangci.yml
	@scripts/lab.sh run golangci-lint run ./...

fuzz: ## run every fuzz target for FUZZTIME (10s)
	@scripts/fuzz.sh

bench: ## measure: Go benchmarks, memory, CPU per request beside nginx, haproxy and caddy
	@scripts/setup.sh bench
	@scripts/bench.sh

demo: ## show Fairway at work
	$(GO) run ./cmd/fairway demo

clean: ## remove what was built
	rm -rf bin dist
