# Builds, tests and benchmarks of the repository; `make` lists the targets.

.PHONY: setup demo test check story golden parse build alerts
.DEFAULT_GOAL := help

export CARGO_TERM_PROGRESS_WHEN ?= auto
LAB := $(or $(CARGO_TARGET_DIR),target)/debug/ossci-lab
PARTS := $(abspath $(or $(CARGO_TARGET_DIR),target))/slowest-parts

# Runs $(2) and records its duration as part $(1) of a test run.
timed = start=$$(date +%s); $(2) && printf '%8d s  %s\n' $$(($$(date +%s) - start)) '$(1)' >>$(PARTS)

.NOTPARALLEL:

.PHONY: help
help:
	@echo "make demo     builds everything, breaks GPUs in a small cluster and shows the repairs (KEEP=1: runs until Ctrl-C)"
	@echo "make test     builds everything and runs every test"
	@echo "make check    checks format, lints, unit tests and style without root or Go (about 3 minutes with a warm target/)"
	@echo "make story STORY=x   plays one story of tests/stories in its own lab"
	@echo "make golden   rewrites the expected files of the quick tests (docs, exposition, parser tables); review the diff"
	@echo "make parse TOOL=rocm-smi FILE=output.txt   shows what the exporter parses from a recorded output"
	@echo "make soak     runs a storm on a thousand nodes, and every cut story with the remediator killed at every durable write (hours; resumes)"
	@echo "make soak-vm  reboots and reimages virtual machines, and kills dpkg at each step of a reimage (45 minutes)"
	@echo "make images   builds the container images as OCI archives (needs buildah and iperf3)"
	@echo "make release  programs, images, chart, Debian package, bills of materials and checksums (needs buildah, iperf3 and dpkg-deb)"
	@echo "make setup    builds the pinned tools into the cache; demo and test do this first"

.PHONY: toolchain
toolchain:
	@command -v cargo >/dev/null || { echo "error: cargo is missing: install Rust from rustup.rs" >&2; exit 1; }
	@command -v cc >/dev/null || { echo "error: a C compiler is missing: install it with apt-get install gcc" >&2; exit 1; }

# The lab creates namespaces, which needs root. This is checked before a long build.
.PHONY: root
root:
	@[ "$$(id -u)" = 0 ] || { echo "error: the lab needs root for its namespaces: run sudo -E env PATH=\"\$$PATH\" make" >&2; exit 1; }

build: toolchain
	@$(call timed,cargo build,cargo build --workspace --locked)

setup: toolchain
	@mkdir -p $(dir $(PARTS))
	@$(call timed,cargo build of the lab,cargo build --locked --package ossci-lab)
	@$(call timed,setup of the tools,$(LAB) setup)

demo: root setup build
	@$(LAB) demo $(if $(KEEP),--keep)

.PHONY: fresh-parts
fresh-parts:
	@mkdir -p $(dir $(PARTS)) && rm -f $(PARTS)

# Everything that needs neither root nor a control plane, with a sample of the inputs of `decide`.
QUICK := --package ossci-base --package ossci-exporter --package ossci-remediator --package ossci-lab
check: toolchain
	@mkdir -p $(dir $(PARTS))
	@$(call timed,cargo fmt,cargo fmt --all --check)
	@$(call timed,cargo clippy,cargo clippy --quiet --workspace --all-targets --locked -- -D warnings)
	@$(call timed,unit tests,cargo test --quiet --locked $(QUICK) -- --skip every_input)
	@$(call timed,house and style,cargo test --quiet --locked --package ossci-tests -- house:: style::)

# The fastest to fail run first, then the control plane and the stories. There are more threads than
# cores, because most tests wait for a story.
test: root fresh-parts check setup build
	@$(call timed,cargo deny,$(LAB) deny)
	@$(call timed,every input of decide,cargo test --quiet --locked --package ossci-remediator --lib -- every_input)
	OSSCI_PARTS=$(PARTS) cargo test --locked --package ossci-tests -- --test-threads=16
	@$(call timed,life of the chart,$(LAB) chart-life)
	@$(call timed,mails and kills,$(LAB) mail-kills --times 7)
	@$(call timed,virtual machines,$(LAB) vm reboot-heals packages-heal)
	@echo "the slowest parts:"
	@sort -rn $(PARTS) | head -n 10

story: root setup build
	@[ -n "$(STORY)" ] || { echo "error: STORY is not set: make story STORY=reboot-heals" >&2; exit 1; }
	@files="$$(find tests/stories -path '*/$(STORY).story')"; \
	[ -n "$$files" ] || { echo "error: tests/stories has no story $(STORY)" >&2; exit 1; }; $(LAB) story $$files

golden: toolchain
	@UPDATE_EXPECTED=1 cargo test --quiet --locked $(QUICK)
	@git --no-pager diff --stat

parse: toolchain
	@[ -n "$(TOOL)" ] && [ -n "$(FILE)" ] || { echo "error: make parse TOOL=rocm-smi FILE=output.txt" >&2; exit 1; }
	@cargo run --quiet --locked --package ossci-exporter -- parse $(TOOL) $(FILE)

# Each sample of the exporter cut at each byte; random weeks of the world around `decide`; a storm
# on a thousand nodes; then every story of tests/stories/cuts with the remediator killed at every
# durable write, before and after the response. The ledger records the runs that are done; the
# campaign is complete when none is left.
.PHONY: soak
LEDGER := $(abspath $(or $(CARGO_TARGET_DIR),target))/cuts.ledger
soak: root setup build
	OSSCI_EVERY_BYTE=1 cargo test --quiet --release --locked --package ossci-exporter --test all -- no_prefix_of
	OSSCI_WORLD_RUNS=500 OSSCI_WORLD_MORE_EVENTS=1 cargo test --quiet --locked --package ossci-remediator --lib -- random_weeks every_input_of
	@$(LAB) storm
	@$(LAB) mail-kills --times 100
	@$(LAB) cuts --ledger $(LEDGER) tests/stories/cuts/*.story

# Stories on virtual machines. The first run fetches qemu, a kubelet and the VM's disk image into
# the cache.
.PHONY: soak-vm
soak-vm: root setup build
	@$(LAB) vm
	@$(LAB) dpkg-cuts
	@$(LAB) reimage-cases --states 1

# Renders the alert rules from alerts/source and alerts/thresholds.yml.
alerts: toolchain
	cargo run --quiet --locked --package ossci-remediator -- rules --thresholds alerts/thresholds.yml --out alerts
	cargo run --quiet --locked --package ossci-remediator -- dashboards --thresholds alerts/thresholds.yml --out grafana

# The container images as OCI archives in target/images; needs buildah and iperf3.
.PHONY: images
images: toolchain
	cargo build --release --locked --package ossci-remediator --package ossci-exporter
	@cargo build --quiet --locked --package ossci-lab
	@$(LAB) images --programs $(dir $(LAB))../release --out $(dir $(LAB))../images

# Programs, images, chart, Debian package of the exporter, bills of materials and checksums in
# target/release-files; needs buildah, iperf3 and dpkg-deb.
.PHONY: release
release: setup static
	cargo build --release --locked --package ossci-remediator --package ossci-exporter
	@$(LAB) release --programs $(dir $(LAB))../release --out $(dir $(LAB))../release-files \
	  --exporter $(dir $(LAB))../$(TARGET)/release/ossci-exporter

# Renders the plain manifests of deploy/ from the chart.
.PHONY: manifests
manifests: setup
	@$(LAB) manifests

# The exporter as one static binary, for hosts with an older C library than the build host. For
# arm64: TARGET=aarch64-unknown-linux-gnu. glibc warns about name resolution in static programs; the
# exporter resolves no names.
TARGET ?= x86_64-unknown-linux-gnu
.PHONY: static
static: export RUSTFLAGS = -C target-feature=+crt-static
static: export CC_aarch64_unknown_linux_gnu ?= aarch64-linux-gnu-gcc
static: export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER ?= aarch64-linux-gnu-gcc
static: toolchain
	cargo build --release --locked --package ossci-exporter --target $(TARGET)

# One line per figure: name, value, unit, baseline, ratio, target, met or MISSED.
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

# One agent beside an idle client, the API server with the watches of 5,000 agents, then orders to a
# virtual machine.
bench-agents: root setup
	@cargo build --release --workspace --locked
	@status=0; $(dir $(LAB))../release/ossci-lab bench agents || status=1; \
	$(dir $(LAB))../release/ossci-lab bench orders || status=1; \
	exit $$status

# Compares with node_exporter and with Python's prometheus-client, on an otherwise idle machine. The
# test of the D state needs root.
bench-exporter: setup
	@NODE_EXPORTER="$$($(LAB) tool node_exporter | tail -n 1)" && PYTHONPATH="$$(dirname "$$(dirname "$$($(LAB) tool prometheus_client | tail -n 1)")")" && \
	export NODE_EXPORTER PYTHONPATH && cargo bench --quiet --locked --package ossci-exporter --bench exporter
