# `make demo` shows a small cluster being repaired, `make test` runs every test, `make check` the quick ones.

.PHONY: setup demo test check story golden parse build alerts
.DEFAULT_GOAL := help

export CARGO_TERM_PROGRESS_WHEN ?= auto
LAB := $(or $(CARGO_TARGET_DIR),target)/debug/ossci-lab
PARTS := $(abspath $(or $(CARGO_TARGET_DIR),target))/slowest-parts

# Runs $(2) and notes how long it took, as part $(1) of a test run.
timed = start=$$(date +%s); $(2) && printf '%8d s  %s\n' $$(($$(date +%s) - start)) '$(1)' >>$(PARTS)

.NOTPARALLEL:

.PHONY: help
help:
	@echo "make demo     builds everything, breaks GPUs in a small cluster and shows the repairs (KEEP=1: stays until Ctrl-C)"
	@echo "make test     builds everything and runs every test"
	@echo "make check    format, lints, unit tests, style: no root, no Go, about 3 minutes with a warm target/"
	@echo "make story STORY=x   plays one story of tests/stories in a lab of its own"
	@echo "make golden   rewrites the expected files of the quick tests (docs, exposition, parser tables); review the diff"
	@echo "make parse TOOL=rocm-smi FILE=output.txt   shows what the exporter makes of a recorded output"
	@echo "make soak     a storm over a thousand nodes; every story with the remediator killed at every durable write (hours; resumes)"
	@echo "make soak-vm  real reboots and reimages on virtual machines; then dpkg killed at each step of a reimage (45 minutes)"
	@echo "make setup    builds the pinned tools into the cache, which demo and test do first"

.PHONY: toolchain
toolchain:
	@command -v cargo >/dev/null || { echo "error: cargo is missing: install Rust from rustup.rs" >&2; exit 1; }
	@command -v cc >/dev/null || { echo "error: a C compiler is missing: install it with apt-get install gcc" >&2; exit 1; }

# The lab runs in namespaces of its own, which only root may create. Checked before a long build.
.PHONY: root
root:
	@[ "$$(id -u)" = 0 ] || { echo "error: the lab needs root for its namespaces: run sudo -E env PATH=\"\$$PATH\" make" >&2; exit 1; }

build: toolchain
	@$(call timed,cargo build,cargo build --workspace --locked)

setup: toolchain
	@mkdir -p $(dir $(PARTS))
	@$(call timed,cargo build of the lab,cargo build --locked --package ossci-tests --bin ossci-lab)
	@$(call timed,setup of the tools,$(LAB) setup)

demo: root setup build
	@$(LAB) demo $(if $(KEEP),--keep)

.PHONY: fresh-parts
fresh-parts:
	@mkdir -p $(dir $(PARTS)) && rm -f $(PARTS)

# Everything that needs neither root nor a control plane. Of the inputs of `decide` it takes a sample.
QUICK := --package ossci-base --package ossci-exporter --package ossci-remediator
check: toolchain
	@mkdir -p $(dir $(PARTS))
	@$(call timed,cargo fmt,cargo fmt --all --check)
	@$(call timed,cargo clippy,cargo clippy --quiet --workspace --all-targets --locked -- -D warnings)
	@$(call timed,unit tests,cargo test --quiet --locked $(QUICK) -- --skip every_input)
	@$(call timed,house and style,cargo test --quiet --locked --package ossci-tests --lib --test all -- house:: style:: tests::)

# First what fails fastest, then the control plane and the stories. More threads than cores: most tests wait for a story.
test: root fresh-parts check setup build
	@$(call timed,every input of decide,cargo test --quiet --locked --package ossci-remediator --lib -- every_input)
	OSSCI_PARTS=$(PARTS) cargo test --locked --package ossci-tests -- --test-threads=16
	@$(call timed,virtual machines,$(LAB) vm reboot-heals order-doubled packages-heal)
	@echo "the slowest parts:"
	@sort -rn $(PARTS) | head -n 10

story: root setup build
	@[ -n "$(STORY)" ] || { echo "error: name a story: make story STORY=reboot-heals" >&2; exit 1; }
	@files="$$(find tests/stories -name '$(STORY).story')"; \
	[ -n "$$files" ] || { echo "error: there is no story $(STORY) in tests/stories" >&2; exit 1; }; $(LAB) story $$files

golden: toolchain
	@UPDATE_EXPECTED=1 cargo test --quiet --locked $(QUICK)
	@git --no-pager diff --stat

parse: toolchain
	@[ -n "$(TOOL)" ] && [ -n "$(FILE)" ] || { echo "error: make parse TOOL=rocm-smi FILE=output.txt" >&2; exit 1; }
	@cargo run --quiet --locked --package ossci-exporter -- parse $(TOOL) $(FILE)

# Every story of tests/stories/cuts with the remediator killed at every durable write, before and after its answer. What was
# played is kept in the ledger; the campaign is complete when nothing is left. Before that a storm over a thousand nodes.
.PHONY: soak
LEDGER := $(abspath $(or $(CARGO_TARGET_DIR),target))/cuts.ledger
soak: root setup build
	@$(LAB) storm
	@$(LAB) cuts --ledger $(LEDGER) tests/stories/cuts/*.story

# Stories of real machines: qemu, a kubelet and the disk that they boot from come into the cache the first time.
.PHONY: soak-vm
soak-vm: root setup build
	@$(LAB) vm
	@$(LAB) dpkg-cuts

# Renders the alert rules from alerts/source and alerts/thresholds.yml.
alerts: toolchain
	cargo run --quiet --locked --package ossci-remediator -- rules --thresholds alerts/thresholds.yml --out alerts

# The exporter as one static file, for hosts whose C library is older than ours: TARGET=aarch64-unknown-linux-gnu for the other kind.
# glibc's own warning about static programs that resolve names is no matter: the exporter resolves none.
TARGET ?= x86_64-unknown-linux-gnu
.PHONY: static
static: export RUSTFLAGS = -C target-feature=+crt-static
static: export CC_aarch64_unknown_linux_gnu ?= aarch64-linux-gnu-gcc
static: export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER ?= aarch64-linux-gnu-gcc
static: toolchain
	cargo build --release --locked --package ossci-exporter --target $(TARGET)

# A line for each figure: name, value, unit, what it is compared with, ratio, target, met or MISSED.
.PHONY: bench bench-rules bench-routing bench-remediator bench-agents bench-exporter
bench: bench-rules bench-routing bench-remediator bench-agents bench-exporter
bench-rules: setup build
	@$(LAB) bench rules
bench-routing: root setup build
	@$(LAB) bench routing

bench-remediator: root setup
	@cargo build --release --workspace --locked
	@status=0; $(dir $(LAB))../release/ossci-lab bench remediator || status=1; \
	$(dir $(LAB))../release/ossci-lab bench fleet || status=1; \
	cargo bench --quiet --locked --package ossci-remediator --bench decide || status=1; \
	exit $$status

# One agent beside an idle client, and the API server with 5,000 agents' watches; then orders to a virtual machine.
bench-agents: root setup
	@cargo build --release --workspace --locked
	@status=0; $(dir $(LAB))../release/ossci-lab bench agents || status=1; \
	$(dir $(LAB))../release/ossci-lab bench orders || status=1; \
	exit $$status

# Beside node_exporter and Python with prometheus-client, on a machine that does nothing else; the D state needs root.
bench-exporter: setup
	@NODE_EXPORTER="$$($(LAB) tool node_exporter | tail -n 1)" && PYTHONPATH="$$(dirname "$$(dirname "$$($(LAB) tool prometheus_client | tail -n 1)")")" && \
	export NODE_EXPORTER PYTHONPATH && cargo bench --quiet --locked --package ossci-exporter --bench exporter
