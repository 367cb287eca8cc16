# `make help` says what there is. Everything a target needs it installs: Debian packages through
# .ci/deps (apt), Go modules through the module proxy.

SHELL       := /bin/bash
GO          ?= go
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
FUZZTIME    ?= 10s
VERSION     ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS     := -X github.com/prometheus/common/version.Version=$(VERSION) \
               -X github.com/prometheus/common/version.Revision=$(shell git rev-parse --short HEAD 2>/dev/null)

.DEFAULT_GOAL := help
.PHONY: help build test lint unit race fuzz soak bench demo demo-down docs ceph-replay ha-oracle ha-replay pve-dropin qmp-replay clean

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*##/\t/' | column -t -s "$$(printf '\t')"

build: ## bin/quorate and bin/quorate-lab
	@.ci/deps build
	$(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/ ./cmd/...

test: ## everything: lint, builds, unit tests, tests on the real daemons, fuzzing (at most 20 minutes on 2 cores)
	@.ci/deps build lab
	@for stage in lint unit race fuzz; do \
	  echo "== make $$stage"; begun=$$SECONDS; \
	  $(MAKE) --no-print-directory $$stage || exit 1; \
	  echo "== make $$stage took $$((SECONDS - begun)) s"; \
	done

lint: ## gofmt, go vet, staticcheck; the layout is checked by the tests of internal/house
	@out=$$(gofmt -l $$(git ls-files -co --exclude-standard '*.go')); [ -z "$$out" ] || { echo "gofmt -w needed: $$out"; exit 1; }
	$(GO) vet ./...
	CGO_ENABLED=0 $(GO) vet ./...
	$(GO) run $(STATICCHECK) ./...

unit: ## the build without cgo and its tests
	CGO_ENABLED=0 $(GO) build ./...
	CGO_ENABLED=0 $(GO) test -short ./...

# Tests on real daemons mostly wait for them: four packages at once keep two cores busy.
race: build ## all tests with the race detector, on real corosync and Ceph where they need them
	QUORATE_LAB=required $(GO) test -race -p 4 -timeout 18m ./...

fuzz: ## every fuzz target for FUZZTIME (default 10s)
	@bash .ci/fuzz $(FUZZTIME)

soak: ## what takes long: fuzzing for 5 minutes each, every fault of the lab, the acceptance tests ten times
	@.ci/deps build lab
	@bash .ci/fuzz 5m
	QUORATE_LAB=required QUORATE_SOAK=1 $(GO) test -race -timeout 4h ./...
	QUORATE_LAB=required $(GO) test -count=10 -timeout 4h ./internal/acceptance/...

bench: ## Go benchmarks, the table of whole-process costs, and 100 live migrations
	@.ci/deps build lab
	$(GO) test -run '^$$' -bench . -benchmem ./...
	QUORATE_LAB=required QUORATE_BENCH=1 $(GO) test -count=1 -timeout 30m -run '^TestLab(Cost|Migrations)' -v ./internal/acceptance/

demo: ## a real cluster on this machine with exporters and Prometheus; says which pages to open
	@.ci/deps build lab
	@$(MAKE) --no-print-directory -s build
	@bin/quorate-lab demo

demo-down: ## removes all of it
	@bin/quorate-lab down

docs: ## regenerates docs/metrics.md
	$(GO) test ./collector -run TestMetricsDocIsCurrent -update

ha-replay: ## compares with recorded scenarios of Proxmox's HA manager: make ha-replay SCENARIOS=DIR
	@[ -n "$(SCENARIOS)" ] || { echo "usage: make ha-replay SCENARIOS=DIR (index.json and NAME.jsonl.gz)"; exit 2; }
	@.ci/deps build
	@$(GO) run ./cmd/quorate-replay ha "$(SCENARIOS)"

ha-oracle: ## holds the alert rules of HA against the same scenarios: make ha-oracle SCENARIOS=DIR
	@[ -n "$(SCENARIOS)" ] || { echo "usage: make ha-oracle SCENARIOS=DIR (index.json and NAME.jsonl.gz)"; exit 2; }
	@.ci/deps build lab
	@$(GO) run ./cmd/quorate-replay ha-oracle "$(SCENARIOS)"

pve-dropin: ## compares with prometheus-pve-exporter on recordings: make pve-dropin RECORDINGS=DIR
	@[ -n "$(RECORDINGS)" ] || { echo "usage: make pve-dropin RECORDINGS=DIR (a directory a state)"; exit 2; }
	@.ci/deps build
	@$(GO) run ./cmd/quorate-replay pve-dropin "$(RECORDINGS)"

ceph-replay: ## compares with the mgr module on recordings: make ceph-replay RECORDINGS=DIR
	@[ -n "$(RECORDINGS)" ] || { echo "usage: make ceph-replay RECORDINGS=DIR (a directory a state)"; exit 2; }
	@.ci/deps build
	@$(GO) run ./cmd/quorate-replay ceph "$(RECORDINGS)"

qmp-replay: ## compares with recorded migrations of real QEMUs: make qmp-replay RECORDINGS=DIR
	@[ -n "$(RECORDINGS)" ] || { echo "usage: make qmp-replay RECORDINGS=DIR (a directory a migration, or a QEMU version)"; exit 2; }
	@.ci/deps build
	@$(GO) run ./cmd/quorate-replay qmp "$(RECORDINGS)"

clean: ## removes bin/
	rm -rf bin
