# `make` alone lists the targets. They need Go; -race needs a C compiler, and
# tools/servers.sh lists what `servers` needs.

GO        ?= go
FUZZTIME  ?= 1m
COUNT     ?= 100
BENCHARGS ?=

# go.work is for people. Here every module stands alone, as in its users' builds.
export GOWORK := off

# The stores in this process and the stores on servers. Their tests run the conformance
# suite, on servers with one member and, in the subtest THREE, with three.
EMBEDDED := ./mem ./bolt
ON_SERVERS := ./consul ./etcd/v2 ./etcd/v3 ./zookeeper
THREE := 'Conformance$$/three'

.PHONY: help
help:
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# The packages whose tests start real servers.
SERVERS := ./consul/... ./etcd/... ./zookeeper ./test/servers ./election ./kvdbslog \
	./examples/health ./examples/leader ./examples/quickstart ./internal/testing/bench ./internal/testing/lockttl \
	./internal/testing/backups ./internal/testing/transfers

# A module of its own, whose tests start servers at the default ports.
OUTSIDE := test/outside

# Modules of their own: a backend outside of this module, hooks that need other modules, and
# the command. Of their tests, only those named TestOutage… and TestServer… start servers.
MODULES := examples/backend examples/observed plugin/kvdbprom plugin/kvdbprom/mixin plugin/kvdbotel cmd/kvdb
MODULES_SERVERS := '^Test(Outage|Server)'

# Packages with tests about memory and allocations, which the race detector changes.
MEASURED := ./mem ./backup

.PHONY: test
test: ## run all tests that need no servers, with the race detector
	$(GO) test -race -timeout 40m $$($(GO) list ./... | grep -v -x -F "$$($(GO) list $(SERVERS))")
	$(GO) test -run 'Memory|Alloc' $(MEASURED)
	set -e; for module in $(MODULES); do $(GO) -C $$module test -race -skip $(MODULES_SERVERS) ./...; done

.PHONY: test-servers
test-servers: servers ## run the tests that need real servers, with the race detector
	CI=true $(GO) test -race -p 2 -timeout 60m $(SERVERS)
	CI=true $(GO) -C $(OUTSIDE) test -timeout 30m ./...
	set -e; for module in $(MODULES); do CI=true $(GO) -C $$module test -race -timeout 30m -run $(MODULES_SERVERS) ./...; done

.PHONY: outages
outages: servers ## run the suite with its cases about outages, and two minutes of faults, on each store with servers
	CI=true $(GO) test -race -p 1 -timeout 0 -run Conformance $(ON_SERVERS) -args -kvdb.outages -kvdb.all
	CI=true $(GO) test -race -p 1 -timeout 0 -run TestFaults $(ON_SERVERS) -args -kvdb.faults=2m
	CI=true $(GO) test -race -timeout 0 ./internal/testing/transfers -args -kvdb.all

.PHONY: short
short: ## run the quick tests only, without the race detector
	$(GO) test -short ./...
	$(GO) -C cmd/kvdb test -short -skip $(MODULES_SERVERS) ./...

.PHONY: stress
stress: ## run tests at full size, and the suite on mem and bolt COUNT times in random order
	$(GO) test -race -timeout 0 ./mem ./internal/tree -args -kvdb.keys=1000000
	$(GO) test -race -timeout 0 ./bolt -args -kvdb.all -kvdb.keys=100000 -kvdb.kills=200
	$(GO) test -race -timeout 0 ./internal/testing/modeltest -args -kvdb.rounds=425
	$(GO) test -race -shuffle=on -count=$(COUNT) -timeout 0 -run Conformance $(EMBEDDED)

.PHONY: fuzz
fuzz: ## run every fuzz target for FUZZTIME
	@set -e; for module in . cmd/kvdb; do for package in $$($(GO) -C $$module list ./...); do \
		listed=$$($(GO) -C $$module test -list '^Fuzz' $$package); \
		for target in $$(echo "$$listed" | grep '^Fuzz' || true); do \
			echo "== $$package $$target"; \
			$(GO) -C $$module test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 10x $$package; \
		done; \
	done; done

.PHONY: lint
lint: ## run gofmt, go vet and staticcheck (configured in staticcheck.conf)
	@unformatted=$$(gofmt -l $$(git ls-files -co --exclude-standard '*.go')); \
	if [ -n "$$unformatted" ]; then echo "not gofmt-clean:"; echo "$$unformatted"; exit 1; fi
	$(GO) vet ./...
	$(GO) tool -modfile=tools/lint/go.mod staticcheck ./...
	set -e; for module in $(OUTSIDE) $(MODULES); do $(GO) -C $$module vet ./...; done

.PHONY: generate
generate: ## write the generated files
	$(GO) generate ./...
	$(GO) -C cmd/kvdb generate ./...

.PHONY: bench
bench: servers ## measure against the raw stores and write BENCHMARKS.md
	$(GO) run ./internal/testing/bench -o BENCHMARKS.md $(BENCHARGS)

.PHONY: matrix
matrix: servers ## write the table in docs/capabilities.md
	@set -e; reports=$$(mktemp -d); trap 'rm -rf "$$reports"' EXIT; \
	$(GO) test -run Conformance $(EMBEDDED) -args -kvdb.report="$$reports"; \
	CI=true $(GO) test -p 2 -run $(THREE) $(ON_SERVERS) -args -kvdb.report="$$reports"; \
	$(GO) run ./internal/testing/matrix "$$reports" docs/capabilities.md

.PHONY: servers
servers: ## build the real servers for the tests (cached)
	tools/servers.sh
