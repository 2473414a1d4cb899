# Everything a user or a developer runs. `make demo` and `make test` need nothing but this file:
# they install what a fresh Debian or Ubuntu lacks.

.PHONY: help demo test build static kernels lint probes probes-check fixture soak queries-rust fuzz bench-record bench-pipe bench-accuracy bench-join bench-wireshark bench-events clean

# Beside everything else that is built, in a folder of its own.
QUERIES_RUST = $(abspath $(or $(CARGO_TARGET_DIR),target)/queries-rust)

help:
	@echo 'make demo          build, record live traffic (or use our recording), join, show'
	@echo 'make test          every test; those that need root and a kernel with eBPF run if they can'
	@echo 'make build         target/release/ebpfrec and target/release/ebpfjoin'
	@echo 'make static        target/static/ebpfrec: one file that needs no library where it runs'
	@echo 'make kernels       the live tests on Debian kernels from 5.10 on (KERNELS="6.1 7"), emulated; takes a while'
	@echo 'make lint          formatting and clippy, warnings denied'
	@echo 'make probes        rebuild the kernel programs (recorder/probes/); installs their toolchain'
	@echo 'make probes-check  fail if the committed kernel programs are stale'
	@echo 'make soak          record for three minutes (SOAK_SECONDS=...) and watch the memory (root)'
	@echo 'make fuzz          feed the parsers and a whole join with nonsense (FUZZ_SECONDS=... each)'
	@echo 'make queries-rust  try docs/queries-rust.md; builds polars, which takes minutes'
	@echo 'make bench-record  what recording costs, beside tcpdump and strace (root; BENCH="SECONDS ROUNDS")'
	@echo 'make bench-pipe    the memory of a join of 20 GB through a pipe (BENCH="GIGABYTES"; TMPDIR has room)'
	@echo 'make bench-accuracy  how many names are right, on traffic made up from seeds (BENCH="FLOWS SEEDS")'
	@echo 'make bench-wireshark  what the plugin adds to tshark (BENCH="PACKETS ROUNDS")'
	@echo 'make bench-events  from ten million rows of events to names: seconds and memory (BENCH="ROWS ROUNDS")'
	@echo 'make bench-join    how fast ebpfjoin is, beside cat, editcap and tcpdump (BENCH="CASE... --rounds N")'
	@echo 'make fixture       record fixtures/ again (root)'

build:
	@scripts/setup.sh build
	cargo build --release --locked

static:
	@scripts/setup.sh static
	@scripts/static.sh

kernels:
	@scripts/setup.sh kernels
	@scripts/static.sh suite
	@scripts/kernels.sh $(KERNELS)

demo:
	@scripts/setup.sh demo
	cargo build --release --locked
	@scripts/demo.sh

test:
	@scripts/setup.sh test
	cargo test --workspace --exclude recorder-ebpf --locked

lint:
	cargo fmt --all --check
	cargo clippy --workspace --exclude recorder-ebpf --all-targets --locked -- -D warnings

probes:
	@scripts/setup.sh probes
	recorder-ebpf/build.sh

probes-check:
	@scripts/setup.sh probes
	recorder-ebpf/build.sh --check

fixture: build
	scripts/record-fixture.sh

soak: build
	scripts/soak.sh $(SOAK_SECONDS)

queries-rust:
	@scripts/setup.sh build
	cargo build --locked --manifest-path tests/queries/rust/Cargo.toml --target-dir $(QUERIES_RUST)
	EBPF_QUERIES_RUST=$(QUERIES_RUST)/debug/queries cargo test --locked -p joiner --test queries rust_says

fuzz:
	@scripts/setup.sh fuzz
	scripts/fuzz.sh $(or $(FUZZ_SECONDS),60) $(FUZZ_TARGETS)

bench-record:
	@scripts/setup.sh build
	cargo bench --locked -p recorder --bench record -- $(BENCH)

bench-pipe:
	@scripts/setup.sh build
	cargo bench --locked -p joiner --bench pipe -- $(BENCH)

bench-accuracy:
	@scripts/setup.sh build
	cargo bench --locked -p joiner --bench accuracy -- $(BENCH)

bench-wireshark:
	@scripts/setup.sh test
	cargo bench --locked --profile dev -p joiner --bench wireshark -- $(BENCH)

bench-events:
	@scripts/setup.sh build
	cargo bench --locked -p joiner --bench events -- $(BENCH)

bench-join:
	@scripts/setup.sh test
	cargo bench --locked -p joiner --bench join -- $(BENCH)

clean:
	cargo clean
