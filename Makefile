# Lunette. `make help` lists what this file does.
#
# Everything is installed from Debian packages, named in DEPS and TEST_DEPS; everything built lands in build/.

DEPS      = gcc make pkg-config libc6-dev libluajit2-5.1-dev libcurl4-openssl-dev libevent-dev libssl-dev libutf8proc-dev \
            libsqlite3-dev libhiredis-dev libglib2.0-dev libyaml-dev tzdata ca-certificates curl
TEST_DEPS = lua5.1 lua-cjson lua-busted lua-socket lua-posix libcmocka-dev nginx openssl lua-check valgrind prometheus redis-server sqlite3 jq \
            chromium chromium-driver fonts-dejavu-core
CLIENT_DEPS = nodejs npm python3 python3-venv
# nginx's Lua module goes with the LuaJIT that is built with (libluajit2); with Debian's other one, libluajit-5.1-2, it does not.
BENCH_DEPS = nginx libnginx-mod-http-lua lua-cjson haproxy openssl valgrind
FUZZ_DEPS = clang libclang-rt-14-dev llvm

BUILD  ?= build
CC     ?= gcc
OPT    ?= -O2
WARN    = -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wwrite-strings -Wno-missing-field-initializers
LIBS    = luajit libcurl libevent libssl libcrypto libutf8proc sqlite3 hiredis glib-2.0
# What only the commands need (core/cli): no part of the library.
CLI_LIBS = yaml-0.1
CFLAGS ?= $(OPT) -g
# What makes a mistake in memory harder to use. The checks of _FORTIFY_SOURCE need an optimizer, and are the sanitizers' own affair where there is one.
# HARDEN= and HARDEN_LINK= leave them out. Instructions for a request, by callgrind: 194.0 thousand with and without. Not -fcf-protection (195.5): the
# linker marks a program for it only if all of its parts are, which Debian's start files and LuaJIT are not, so nothing would look at it.
HARDEN_CPU  = $(if $(filter aarch64,$(shell uname -m)),-mbranch-protection=standard)
FORTIFY     = $(if $(or $(SAN),$(filter -O0,$(CFLAGS))),,-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3)
HARDEN      = -fstack-protector-strong -fstack-clash-protection $(HARDEN_CPU) $(FORTIFY)
HARDEN_LINK = -Wl,-z,relro -Wl,-z,now -Wl,-z,noexecstack
# Recursive, not immediate: pkg-config is there only once `deps` has run.
ALL_CFLAGS = -std=gnu11 $(WARN) $(CFLAGS) $(SAN_FLAGS) $(HARDEN) -fno-strict-aliasing -fno-common -D_GNU_SOURCE -pthread -Icore $$(pkg-config --cflags $(LIBS) $(CLI_LIBS))
ALL_LIBS   = $$(pkg-config --libs $(LIBS)) -lm -pthread
PROGRAM_LIBS = $(ALL_LIBS) $$(pkg-config --libs $(CLI_LIBS))

# make SAN=address (or thread): the same targets, built with a sanitizer into a folder of its own.
comma := ,
SAN ?=
ifneq ($(SAN),)
BUILD     := build-$(SAN)
OPT       := -O1
SAN_FLAGS := -Wno-format-truncation -fsanitize=$(SAN)$(if $(filter address,$(SAN)),$(comma)undefined) -fno-sanitize-recover=all -fno-omit-frame-pointer
endif

SOURCES := $(sort $(wildcard core/*/*.c))
OBJECTS := $(SOURCES:%.c=$(BUILD)/%.o) $(BUILD)/bundle.o
INTERNAL := $(BUILD)/internal.a
# What a host program links: all floors below cli. Only the functions of core/lunette.h are seen from outside (visibility), nothing else is.
SHARED  := $(BUILD)/liblunette.so.0
STATIC  := $(BUILD)/liblunette.a
EMBEDDED = $(filter-out $(BUILD)/core/cli/%,$(OBJECTS))
BUNDLED := $(filter-out lua/meta/%,$(sort $(wildcard lua/*.lua lua/*/*.lua policies/*.lua) core/gateway/page.html))
VERSION := $(shell sed -n 's/.*LUN_VERSION "\(.*\)"/\1/p' core/gateway/version.h)

PREFIX     ?= /usr/local
BINDIR     ?= $(PREFIX)/bin
LIBDIR     ?= $(PREFIX)/lib
INCLUDEDIR ?= $(PREFIX)/include
MANDIR     ?= $(PREFIX)/share/man
FUZZ_TARGETS := $(filter-out tests/fuzz/libfuzzer.c,$(sort $(wildcard tests/fuzz/*.c)))
UNITS   := $(patsubst tests/unit/%.c,$(BUILD)/tests/%,$(sort $(wildcard tests/unit/test_*.c)))

.PHONY: all deps test-deps bench bench-others bench-deps bench-micro bench-instructions build library install uninstall units run test test-unit test-policy test-e2e test-clients test-tokens fuzz fuzzers sanitize sanitize-address sanitize-thread stress stress-money claims lint layers docs examples picture mutants help clean
all: deps
	@$(MAKE) --no-print-directory -j$$(nproc) build

help: ## what this file does
	@sed -n 's/^\([a-z-]*\):.*## /\1: /p' Makefile | awk -F': ' '{ printf "make %-18s %s\n", $$1, $$2 }'

deps: ## installs what a build needs (Debian packages; asks sudo when not root)
	@tests/tools/install $(DEPS)

test-deps: deps
	@tests/tools/install $(TEST_DEPS)

build: $(BUILD)/lunette $(BUILD)/lunette.1 library

# -E: C modules that specs of policies require (`lunette test`) take Lua's functions from the program.
$(BUILD)/lunette: $(BUILD)/core/cli/main.o $(INTERNAL)
	@echo '  ld  $@'
	@$(CC) $(CFLAGS) $(SAN_FLAGS) -pie $(HARDEN_LINK) -o $@ $< -Wl,--whole-archive $(INTERNAL) -Wl,--no-whole-archive $(PROGRAM_LIBS) -Wl,-E

$(INTERNAL): $(filter-out $(BUILD)/core/cli/main.o,$(OBJECTS))
	@rm -f $@
	@ar qcs $@ $^

library: $(SHARED) $(STATIC)

# nodelete: libcurl's resolver threads, which are not waited for, may still run when a host has called dlclose.
$(SHARED): $(EMBEDDED)
	@echo '  ld  $@'
	@$(CC) $(CFLAGS) $(SAN_FLAGS) -shared $(HARDEN_LINK) -Wl,-soname,$(@F) -Wl,-z,nodelete $(if $(SAN),,-Wl$(comma)-z$(comma)defs) -o $@ $(EMBEDDED) $(ALL_LIBS)

# One object, so that its own hidden names can be made local.
$(STATIC): $(EMBEDDED)
	@echo '  ar  $@'
	@ld -r -o $(BUILD)/liblunette.o $(EMBEDDED)
	@objcopy --localize-hidden $(BUILD)/liblunette.o
	@rm -f $@
	@ar qcs $@ $(BUILD)/liblunette.o

$(BUILD)/lunette.1: $(BUILD)/lunette tests/tools/man
	@tests/tools/man $(BUILD)/lunette >$@ || { rm -f $@; exit 1; }

$(BUILD)/%.o: %.c Makefile
	@mkdir -p $(@D)
	@echo '  cc  $<'
	@$(CC) $(ALL_CFLAGS) -fPIC -fvisibility=hidden -MMD -MP -c -o $@ $<

# The files of lua/ and policies/, and the dashboard, are part of the binary, so that one file is enough.
$(BUILD)/bundle.S: $(BUNDLED) tests/tools/bundle Makefile
	@mkdir -p $(@D)
	@tests/tools/bundle $(BUNDLED) >$@
$(BUILD)/bundle.o: $(BUILD)/bundle.S
	@$(CC) -c -o $@ $<

# Tests in several files: test_walk.c and walk_*.c.
PARTED = $(addprefix $(BUILD)/tests/test_,walk member)
$(foreach noun,walk member,$(eval $(BUILD)/tests/test_$(noun): $(wildcard tests/unit/$(noun)_*.[ch])))
$(BUILD)/tests/%: tests/unit/%.c $(INTERNAL) Makefile
	@mkdir -p $(@D)
	@echo '  cc  $<'
	@$(CC) $(ALL_CFLAGS) -Itests/unit -MMD -MP -o $@ $< $(wildcard $(patsubst $(BUILD)/tests/test_%,tests/unit/%_*.c,$(filter $(PARTED),$@))) $(if $(filter $(BUILD)/tests/test_corpus,$@),$(FUZZ_TARGETS)) $(INTERNAL) $(PROGRAM_LIBS) $$(pkg-config --libs cmocka)

$(BUILD)/tests/test_corpus: $(FUZZ_TARGETS) tests/fuzz/fuzz.h

# lunette.pc, and lunette-static.pc for programs that take the library into themselves.
PC = printf '%s\n' 'prefix=$(PREFIX)' 'includedir=$(patsubst $(PREFIX)/%,$${prefix}/%,$(INCLUDEDIR))' 'libdir=$(patsubst $(PREFIX)/%,$${prefix}/%,$(LIBDIR))' '' 'Name: lunette' 'Description: a gateway to language models, inside a program' \
     'Version: $(VERSION)' 'Cflags: -I$${includedir}' $(1)
FILES = $(BINDIR)/lunette $(LIBDIR)/liblunette.so.0 $(LIBDIR)/liblunette.so $(LIBDIR)/liblunette.a $(LIBDIR)/pkgconfig/lunette.pc $(LIBDIR)/pkgconfig/lunette-static.pc \
        $(INCLUDEDIR)/lunette.h $(MANDIR)/man1/lunette.1
install: build ## program, library, lunette.h, lunette.pc and man page, into PREFIX (/usr/local) below DESTDIR
	@install -d $(foreach d,$(sort $(dir $(FILES))),'$(DESTDIR)$(d)')
	@install -m 755 $(BUILD)/lunette '$(DESTDIR)$(BINDIR)/lunette'
	@install -m 644 $(SHARED) $(STATIC) '$(DESTDIR)$(LIBDIR)'
	@ln -sf liblunette.so.0 '$(DESTDIR)$(LIBDIR)/liblunette.so'
	@$(call PC,'Requires.private: $(LIBS)' 'Libs: -L$${libdir} -llunette') >'$(DESTDIR)$(LIBDIR)/pkgconfig/lunette.pc'
	@$(call PC,'Requires: $(LIBS)' 'Libs: $${libdir}/liblunette.a -lm -pthread') >'$(DESTDIR)$(LIBDIR)/pkgconfig/lunette-static.pc'
	@install -m 644 core/lunette.h '$(DESTDIR)$(INCLUDEDIR)'
	@install -m 644 $(BUILD)/lunette.1 '$(DESTDIR)$(MANDIR)/man1'
	@$(if $(DESTDIR),:,ldconfig 2>/dev/null || echo 'Run ldconfig as root, so that programs find liblunette.so.0.')

uninstall: ## removes what install put there
	rm -f $(foreach f,$(FILES),'$(DESTDIR)$(f)')

run: all ## builds and starts the gateway of examples/quickstart on 127.0.0.1:4000
	@$(BUILD)/lunette serve examples/quickstart/gateway.lua

test: test-deps ## unit, policy and end-to-end tests, layers; ends with `N passed, N failed`
	@$(MAKE) --no-print-directory -j$$(nproc) build units
	@tests/tools/run --layers --unit $(BUILD)/tests --policy --e2e $(BUILD)/lunette

# What end-to-end and stress specs drive a gateway with.
DRIVERS := $(addprefix $(BUILD)/tests/,load biller buyers crowd)
$(DRIVERS): $(BUILD)/tests/%: tests/stress/%.c Makefile
	@mkdir -p $(@D)
	@echo '  cc  $<'
	@$(CC) -std=gnu11 $(WARN) $(OPT) -g -D_GNU_SOURCE -MMD -MP -o $@ $< $$(pkg-config --libs libevent openssl)

PRELOADED := $(addprefix $(BUILD)/tests/,powercut.so wallclock.so calls.so)
$(PRELOADED): $(BUILD)/tests/%.so: tests/stress/%.c Makefile
	@mkdir -p $(@D)
	@echo '  cc  $<'
	@$(CC) -std=gnu11 $(WARN) $(OPT) -g -D_GNU_SOURCE -pthread -fPIC -shared -MMD -MP -o $@ $<

$(BUILD)/tests/parts: tests/stress/parts.c $(INTERNAL) Makefile
	@mkdir -p $(@D)
	@echo '  cc  $<'
	@$(CC) $(ALL_CFLAGS) -MMD -MP -o $@ $< $(INTERNAL) $(ALL_LIBS)

# Says the bound and the estimate of requests, for tests/tokens.
$(BUILD)/tests/reckon: tests/tokens/reckon.c $(INTERNAL) Makefile
	@mkdir -p $(@D)
	@echo '  cc  $<'
	@$(CC) $(ALL_CFLAGS) -MMD -MP -o $@ $< $(INTERNAL) $(ALL_LIBS)

units: $(UNITS) $(DRIVERS) $(PRELOADED)

test-unit: test-deps units ## only the C units
	@tests/tools/run --unit $(BUILD)/tests
test-policy: test-deps build ## only the policy specs, on the virtual clock
	@tests/tools/run --policy --lunette $(BUILD)/lunette
test-e2e: test-deps build ## only the end-to-end specs, on real sockets
	@tests/tools/run --e2e $(BUILD)/lunette

# Under TSan only what has threads; not what measures a policy's CPU time, which is another there.
THREADED := test_builder,test_renewal,test_changes,test_reactor,test_metrics,test_limit,test_budget,test_draw,test_store,test_writer,test_snapshot,test_registry,test_server,test_inquire,reload,reload_load,settings,admin,attacks,metrics,record,remote,report,events,test_cache,cache,test_canary,canary,test_probe,probes,money,money_fleet
SANITIZED = $(MAKE) --no-print-directory -j$$(nproc) SAN=$(1) build units
sanitize: sanitize-address sanitize-thread ## all tests under ASan (leaks too) and UBSan, those with threads under TSan; two lines `N passed, N failed`
sanitize-address: test-deps
	@$(call SANITIZED,address)
	@E2E_END=term UBSAN_OPTIONS=print_stacktrace=1 tests/tools/run --unit build-address/tests --policy --e2e build-address/lunette
sanitize-thread: test-deps
	@$(call SANITIZED,thread)
	@TEST_JOBS=1 TSAN_OPTIONS=second_deadlock_stack=1 tests/tools/run --unit build-thread/tests --e2e build-thread/lunette --only $(THREADED)

stress: test-deps ## minutes: a gateway reloaded every 50 ms under load, crowds of clients that are idle, slow or deaf, a thousand broken versions, the cost of each part of a reload
	@$(MAKE) --no-print-directory -j$$(nproc) build units $(BUILD)/tests/parts
	@for n in 4 1000; do $(BUILD)/tests/parts $$n || exit 1; done
	@STRESS_FIGURES=1 $(BUILD)/tests/test_policy_attacks
	@STRESS_LINES=10000000 $(BUILD)/tests/test_journal && STRESS_KILLS=$${STRESS_KILLS:-200} $(BUILD)/tests/test_ledger_kill
	@failed=0; for spec in tests/stress/reload_spec.lua tests/stress/crowd_spec.lua tests/e2e/broken_spec.lua tests/e2e/unruly_spec.lua tests/e2e/attacks_spec.lua; do \
	    LUNETTE=$(abspath $(BUILD)/lunette) STRESS_FIGURES=1 STRESS_MUTANTS=$${STRESS_MUTANTS:-1000} STRESS_UNRULY=$${STRESS_UNRULY:-1500} STRESS_KILLS=$${STRESS_KILLS:-100} \
	    lua5.1 /usr/bin/busted --output=plainTerminal --lpath "tests/e2e/?.lua" --pattern _spec $$spec || failed=1; done; exit $$failed

# STRESS_MONEY_…: tests/stress/README.md.
stress-money: test-deps ## many minutes: that hard limits hold: a million questions, gateways killed, power cut, Redis killed; and what they cost
	@$(MAKE) --no-print-directory -j$$(nproc) build units
	@failed=0; BUDGET_MODEL_RUNS=$${BUDGET_MODEL_RUNS:-100} $(BUILD)/tests/test_budget_model || failed=1; \
	MEMBER_MUTANTS=1 MEMBER_SCHEDULES=$${MEMBER_SCHEDULES:-200000} $(BUILD)/tests/test_member || failed=1; \
	for spec in tests/stress/money_cost_spec.lua tests/e2e/money_spec.lua tests/e2e/money_kills_spec.lua tests/e2e/money_fleet_spec.lua; do \
	    LUNETTE=$(abspath $(BUILD)/lunette) STRESS_FIGURES=1 STRESS_MONEY_REQUESTS=$${STRESS_MONEY_REQUESTS:-1000000} STRESS_MONEY_KILLS=$${STRESS_MONEY_KILLS:-200} \
	    STRESS_MONEY_CUTS=$${STRESS_MONEY_CUTS:-200} STRESS_MONEY_RESTARTS=$${STRESS_MONEY_RESTARTS:-20} \
	    lua5.1 /usr/bin/busted --output=plainTerminal --lpath "tests/e2e/?.lua" --pattern _spec $$spec || failed=1; done; exit $$failed

# CLAIMS_REQUESTS, CLAIMS_SEED, …: tests/claims/README.md.
claims: test-deps build $(BUILD)/tests/load ## minutes: a day of traffic with providers that fail, claimed against reached; exit status 1 if one is not
	@failed=0; $(BUILD)/lunette test tests/claims/day_spec.lua || failed=1; \
	LUNETTE=$(abspath $(BUILD)/lunette) lua5.1 /usr/bin/busted --output=plainTerminal --lpath "tests/e2e/?.lua" --pattern _spec tests/claims/carried_spec.lua || failed=1; \
	exit $$failed

# Minutes, with nothing else running: BENCH_ROUNDS, BENCH_ONLY, …: tests/bench/README.md.
BENCHES := $(addprefix $(BUILD)/tests/bench_,load upstream)
$(BENCHES): $(BUILD)/tests/bench_%: tests/bench/%.c Makefile
	@mkdir -p $(@D)
	@echo '  cc  $<'
	@$(CC) -std=gnu11 $(WARN) $(OPT) -g -D_GNU_SOURCE -MMD -MP -o $@ $< $$(pkg-config --libs libssl libcrypto)

$(BUILD)/tests/bench_micro: tests/bench/micro.c $(INTERNAL) Makefile
	@mkdir -p $(@D)
	@echo '  cc  $<'
	@$(CC) $(ALL_CFLAGS) -MMD -MP -o $@ $< $(INTERNAL) $(ALL_LIBS)

bench-deps: test-deps
	@tests/tools/install $(BENCH_DEPS)
BENCH = LUNETTE=$(abspath $(BUILD)/lunette) lua5.1 tests/bench
bench: bench-deps build $(BENCHES) $(BUILD)/tests/crowd $(BUILD)/tests/calls.so ## minutes: what requests and streams cost beside nginx, nginx with Lua and HAProxy, and how that grows; build/bench.json
	@$(BENCH)/bench.lua $(BUILD)/bench.json
bench-others: bench-deps build $(BENCHES) ## minutes: the same beside Portkey (npm) and LiteLLM (PyPI), installed below build/; build/bench-others.json
	@tests/tools/install $(CLIENT_DEPS)
	@tests/bench/install-others $(abspath $(BUILD))/others
	@$(BENCH)/others.lua $(BUILD)/bench-others.json
bench-micro: bench-deps build $(BUILD)/tests/bench_micro ## what parts of a request's work take, each alone: head, JSON, events, policy, log line, metrics, ledger
	@$(BENCH)/parts.lua
bench-instructions: bench-deps build $(BENCHES) $(BUILD)/tests/bench_micro ## instructions of a request, an event and those parts, beside tests/bench/instructions.txt; fails on 5 % more. KEEP=1 writes that file
	@$(BENCH)/instructions.lua $(if $(KEEP),keep)

test-clients: deps build ## the official SDKs of npm and PyPI against the gateway
	@tests/tools/install $(CLIENT_DEPS)
	@tests/clients/run $(BUILD)/lunette

test-tokens: deps build $(BUILD)/tests/reckon ## the bound and the estimate of input tokens against tokenizers of npm
	@tests/tools/install $(CLIENT_DEPS)
	@tests/tokens/run $(BUILD)/tests/reckon

# TIME: seconds for each target (60). TARGET: one of tests/fuzz, or several ("json sse"); all. RUNS: executions at most. KEEP=1: what was found worth
# keeping is added to tests/fuzz/corpus.
fuzz: test-deps ## coverage-guided fuzzing of what reads others' bytes; TIME=60 TARGET=json. Exit status 1 on a finding
	@tests/tools/install $(FUZZ_DEPS)
	@$(MAKE) --no-print-directory -j$$(nproc) CC=clang BUILD=build-fuzz OPT=-O1 \
	    SAN_FLAGS='-fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer' fuzzers
	@TIME='$(TIME)' RUNS='$(RUNS)' KEEP='$(KEEP)' tests/fuzz/run build-fuzz $(or $(TARGET),$(FUZZ_TARGETS:tests/fuzz/%.c=%))

fuzzers: $(FUZZ_TARGETS:tests/fuzz/%.c=$(BUILD)/fuzz/%)
$(BUILD)/fuzz/%: tests/fuzz/%.c tests/fuzz/libfuzzer.c tests/fuzz/fuzz.h $(INTERNAL) Makefile
	@mkdir -p $(@D)
	@echo '  cc  $<'
	@$(CC) $(ALL_CFLAGS) -fsanitize=fuzzer -DTARGET=fuzz_$* -o $@ $< tests/fuzz/libfuzzer.c $(INTERNAL) $(PROGRAM_LIBS)

lint: test-deps all ## luacheck, fields that policies name, compiler warnings as errors, includes that climb
	@luacheck --quiet --config tests/.luacheckrc lua policies tests examples
	@tests/tools/fields
	@$(MAKE) --no-print-directory layers

layers: ## no include may climb or go in a circle
	@tests/tools/layers

# The tests of pages write them too.
docs: test-deps units ## puts right what pages say of the code's tables
	@for t in $(patsubst tests/unit/%.c,$(BUILD)/tests/%,$(shell grep -l PAGE_WRITES tests/unit/test_*.c)); do $$t --write || exit 1; done
	@WRITE_PAGES=1 $(BUILD)/lunette test tests/policy/systems/transcripts_spec.lua

examples: test-deps all ## runs every example, and what its page says
	@examples/run $(BUILD)/lunette

picture: test-deps all ## makes the picture of the dashboard in README.md anew (a minute)
	@tests/tools/picture $(BUILD)/lunette core/gateway/page.webp

mutants: test-deps all ## breaks the walk, and the protocol of shared limits, on purpose, and says which tests notice (minutes)
	@$(MAKE) --no-print-directory $(BUILD)/tests/test_member
	@MEMBER_MUTANTS=1 $(BUILD)/tests/test_member
	@tests/tools/mutants

clean: ## removes what was built
	rm -rf build build-*

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
