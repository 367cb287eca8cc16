# `make help` says what there is. Everything a target needs it installs: Debian packages through
# .ci/deps (apt), Go modules through the module proxy.

SHELL       := /bin/bash
GO          ?= go
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
FUZZTIME    ?= 5s
VERSION     ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS     := -X github.com/prometheus/common/version.Version=$(VERSION) \
               -X github.com/prometheus/common/version.Revision=$(shell git rev-parse --short HEAD 2>/dev/null)

.DEFAULT_GOAL := help
.PHONY: help build deb test lint unit race fuzz soak bench demo demo-down docs dashboards dashboards-table ceph-replay ha-oracle ha-replay provision-proof pve-dropin pve-transcripts qmp-replay clean

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*##/\t/' | column -t -s "$$(printf '\t')"

build: ## bin/quorate and bin/quorate-lab
	@.ci/deps build
	$(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/ ./cmd/...

deb: build ## bin/quorate_VERSION_ARCH.deb, which installs and starts the exporter on a node
	@packaging/deb/build bin/quorate '$(VERSION)' bin

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

# Tests on real daemons mostly wait for them: four packages, and three tests in each, keep two cores busy.
race: build ## all tests with the race detector, on real corosync and Ceph where they need them
	QUORATE_LAB=required $(GO) test -race -p 4 -parallel 3 -timeout 18m ./...

fuzz: ## every fuzz target for FUZZTIME (default 5s)
	@bash .ci/fuzz $(FUZZTIME)

soak: ## what takes long: fuzzing for 5 minutes each, every fault of the lab, the acceptance tests ten times
	@.ci/deps build lab
	@bash .ci/fuzz 5m
	QUORATE_LAB=required QUORATE_SOAK=1 $(GO) test -race -timeout 4h ./...
	QUORATE_LAB=required $(GO) test -count=10 -timeout 4h ./internal/acceptance/...

bench: ## Go benchmarks, the tables of whole-process costs, 100 live migrations and 10,000 talks with one QEMU
	@.ci/deps build lab
	$(GO) test -run '^$$' -bench . -benchmem ./...
	QUORATE_LAB=required QUORATE_BENCH=1 $(GO) test -count=1 -run '^TestLab(Contention|AbortedQueries)' -v ./internal/source/qmp/
	QUORATE_LAB=required QUORATE_BENCH=1 $(GO) test -count=1 -timeout 40m -run '^TestLab(Cost|Migrations)' -v ./internal/acceptance/

demo: ## a real cluster on this machine with exporters and Prometheus; says which pages to open
	@.ci/deps build lab
	@$(MAKE) --no-print-directory -s build
	@bin/quorate-lab demo

demo-down: ## removes all of it
	@bin/quorate-lab down

docs: ## regenerates docs/metrics.md, and the lists of alerts in docs/alerts.md and docs/runbooks
	$(GO) test ./collector -run TestMetricsDocIsCurrent -update
	$(GO) test ./alerts -run '^Test(AlertsDoc|RunbookIndex)IsCurrent$$' -update
	$(GO) test ./provision/spec -run '^Test(Schema|SpecDoc)IsCurrent$$' -update
	$(GO) test ./provision/preflight -run '^TestChecksDocIsCurrent$$' -update

dashboards: ## regenerates dashboards/json and the list in docs/dashboards.md
	$(GO) test ./dashboards -run '^Test(DashboardsAreGenerated|DocumentationListsTheDashboards)$$' -update

provision-proof: ## kills an apply after each of its requests, on fakes of PVE 8.4 and 9, and shows that the next one converges
	@.ci/deps build
	@$(GO) run ./cmd/quorate-replay provision-proof

dashboards-table: ## runs each panel's queries in a lab that is healthy and broken in turn, and prints what they gave
	@.ci/deps build lab
	QUORATE_LAB=required $(GO) test -count=1 -v -run '^TestLabDashboards$$' ./internal/acceptance/

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

pve-transcripts: ## sends recorded requests of a real Proxmox VE to the fake one: make pve-transcripts FILE=FILE (or several)
	@[ -n "$(FILE)" ] || { echo "usage: make pve-transcripts FILE=FILE (requests with their answers, one a line of JSON)"; exit 2; }
	@.ci/deps build
	@$(GO) run ./cmd/quorate-replay pve-transcripts $(FILE)

clean: ## removes bin/
	rm -rf bin
