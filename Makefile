# What people run: make demo, make test; and the longer things: make bench, make fuzz.

SHELL := /bin/bash
GO ?= go
BIN := $(CURDIR)/bin
LDFLAGS := -s -w
# Without what urfave/cli would write manuals with: half a millisecond of each start.
BUILD := -trimpath -tags urfave_cli_no_docs -ldflags "$(LDFLAGS)"
# What no library of C is linked into; static, so that it runs wherever it is copied.
STATIC := CGO_ENABLED=0 $(GO) build $(BUILD)
FUZZTIME ?= 30s

.PHONY: all build demo test lint cross bench fuzz model faults clean setup install kills

all: build

# regkey once more, linked with the smart card library: what regkey becomes where a token is needed.
TWIN := CGO_ENABLED=1 $(GO) build $(BUILD) -o $(BIN)/regkey-hardware ./cmd/regkey

## build: the programs, into bin/; regkey-hardware where a C compiler and libpcsclite-dev are there
build:
	$(STATIC) -o $(BIN)/ ./cmd/...
	@if pkg-config --exists libpcsclite 2>/dev/null || test "$$(uname -s)" = Darwin; then echo '$(TWIN)'; $(TWIN); \
	else echo "build: no regkey-hardware, as libpcsclite-dev and pkg-config are not here: this regkey reaches no hardware tokens (make setup installs them)"; fi

## install: build, and copy the programs to $(PREFIX)/bin
PREFIX ?= $(HOME)/.local
install: build
	install -d $(PREFIX)/bin
	install -m 755 $(BIN)/regkey $(BIN)/cargo-credential-regkey $(BIN)/regkey-registry $(PREFIX)/bin/
	if test -e $(BIN)/regkey-hardware; then install -m 755 $(BIN)/regkey-hardware $(PREFIX)/bin/; fi

## demo: the main job before your eyes, in a temporary folder
demo:
	@./scripts/setup demo
	$(GO) run ./internal/demo

## test: all tests, with the race detector; three packages at a time, as they wait for terminals and cargo; the longest first
test: setup
	$(GO) test -race -p 3 -timeout 15m ./internal/e2e ./cmd/regkey ./...

## faults: stop every operation at every call in every way; half an hour or more. The tests run a sample
faults: setup
	REGKEY_FAULTS=all $(GO) test ./cmd/regkey -run '^TestFaults$$' -v -count=1 -timeout 75m
	REGKEY_FAULTS=all $(GO) test ./enroll -run '^TestResumeOutlivesFailingFiles$$' -count=1
	REGKEY_FAULTS=all $(GO) test ./keys -run '^Test(ProtectStopped|CreateFails)$$' -v -count=1

## kills: kill everybody who has a part in a token, and pull the token out, at every moment; some minutes. The tests take every third
kills: setup
	REGKEY_KILLS=all $(GO) test ./internal/e2e -run '^Test(Killed|PulledOutWhileRotating)$$' -v -count=1 -timeout 30m

## setup: install what is missing, saying what
setup:
	@./scripts/setup

## lint: format, vet, staticcheck, and builds for other systems
lint: setup
	@unformatted=$$(gofmt -l $$(git ls-files '*.go')); test -z "$$unformatted" || { echo "not gofmt-ed: $$unformatted"; exit 1; }
	$(GO) vet ./...
	$(GO) tool -modfile=tools.mod staticcheck ./...

## cross: everything without cgo, and for darwin and windows
cross:
	CGO_ENABLED=0 $(GO) build ./...
	CGO_ENABLED=0 GOOS=darwin GOARCH=arm64 $(GO) build ./cmd/... ./keys/... ./hardware/... ./token/... ./enroll/... ./registryclient/... ./cargo/... ./registry/...
	CGO_ENABLED=0 GOOS=windows $(GO) build ./cmd/... ./keys/... ./hardware/... ./token/... ./enroll/... ./registryclient/... ./cargo/... ./registry/...

## bench: every benchmark; what has a bound prints its ratio to what it is compared with
bench: setup
	$(GO) test -run '^$$' -bench . -benchmem ./...

## fuzz: every fuzz target for FUZZTIME (30s)
fuzz:
	@set -e; for package in $$($(GO) list ./...); do \
	  for target in $$($(GO) test -list '^Fuzz' $$package | grep '^Fuzz' || true); do \
	    echo "$$package $$target"; $(GO) test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) $$package; \
	  done; done

## model: a million steps of the keyset rules against the model (some 5 minutes of one core); SEED=… repeats one run
model:
	REGKEY_MODEL_STEPS=1000000 REGKEY_MODEL_SEED=$(SEED) $(GO) test ./enroll -run 'TestModel$$' -count=1 -v -timeout 60m

clean:
	rm -rf $(BIN)
