# Every target sets up what it needs; a second run, or a second clone, fetches nothing again.
.DEFAULT_GOAL := help
.PHONY: help setup gpu-bundle model demo claim-tests weight-evolution layer-parallelism readme readme-check readme-records test pin browser peers bench lint

# Texts are read from here if they are here, else from the Hub.
ifneq ($(wildcard ../shared/data),)
export PRUNEBENCH_DATA ?= $(abspath ../shared/data)
endif

# cargo always builds against the link that setup makes, so it must not see a change of this variable.
unexport LIBTORCH

help: ## show this list
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 26

setup: ## link libtorch into the checkout, fetching it once per user (LIBTORCH=<folder> uses yours)
	@LIBTORCH='$(LIBTORCH)' harness/setup/libtorch.sh

gpu-bundle: setup ## build for CUDA, without needing any here, and pack it for a GPU machine (a quarter of an hour on 2 cores)
	@harness/gpu/bundle.sh

model: setup ## fetch SmolLM2-135M into the user's cache
	cargo run --quiet -- fetch smollm2-135m

demo: setup ## compare every method on the embedded model and print the table (a minute or so on 2 cores)
	cargo run -- run harness/experiments/quick.toml

WE_EXPERIMENTS = harness/experiments/papers/weight_evolution
WE_SEEDS = 0 1 2
WE_MODELS = $(foreach kind,small extreme,$(addprefix results/models/weight-evolution-$(kind)-,$(WE_SEEDS)))
WE_RESULTS = results/papers/weight_evolution
# A table without the loss of every window, which would make it 9 MB.
WITHOUT_WINDOWS = python3 -c "import csv, sys; csv.field_size_limit(2**31 - 1); rows = csv.DictReader(sys.stdin); \
	kept = [name for name in rows.fieldnames if name != 'window_nll']; \
	out = csv.DictWriter(sys.stdout, kept, extrasaction='ignore', lineterminator='\n'); out.writeheader(); out.writerows(rows)"

results/models/weight-evolution-small-%: | setup
	cargo run -- pretrain $(WE_EXPERIMENTS)/small.toml --seed $* --out $@ --resume

results/models/weight-evolution-extreme-%: | setup
	cargo run -- pretrain $(WE_EXPERIMENTS)/extreme.toml --seed $* --out $@ --resume

weight-evolution: model $(WE_MODELS) ## replicate weight evolution at a CPU size: six trainings and three sweeps (half an hour on 2 cores)
	cargo run -- run $(WE_EXPERIMENTS)/small_sweep.toml
	cargo run -- run $(WE_EXPERIMENTS)/extreme_sweep.toml
	cargo run -- run $(WE_EXPERIMENTS)/pretrained.toml
	$(WITHOUT_WINDOWS) < results/runs/weight-evolution-small/table.csv > $(WE_RESULTS)/records.csv
	for part in extreme pretrained; do \
		$(WITHOUT_WINDOWS) < results/runs/weight-evolution-$$part/table.csv > $(WE_RESULTS)/$$part.csv; done
	for seed in $(WE_SEEDS); do \
		cp results/models/weight-evolution-small-$$seed/training.json $(WE_RESULTS)/training-$$seed.json; \
		cp results/models/weight-evolution-extreme-$$seed/training.json $(WE_RESULTS)/training-extreme-$$seed.json; done
	cargo run -- claims weight_evolution --format markdown > $(WE_RESULTS)/claims.md.partial
	mv $(WE_RESULTS)/claims.md.partial $(WE_RESULTS)/claims.md
	python3 $(WE_RESULTS)/tables.py > $(WE_RESULTS)/README.md.partial
	mv $(WE_RESULTS)/README.md.partial $(WE_RESULTS)/README.md

LP = layer-parallelism
LP_EXPERIMENTS = harness/experiments/papers/layer_parallelism
LP_RESULTS = results/papers/layer_parallelism
LP_PARTS = depth shuffle slicegpt icl recovery speed ranks
LP_MAP = cargo run -- depth-map --model smollm2-135m --protocol wikitext2/stream-512@1 --windows 16
LP_PLOT = --depth-plot 'layer-parallel(end=28, pairs=*)' --depth-plot 'two-parallel(end=28, start=*)' --depth-plot 'shortgpt(blocks=*)' \
	--depth-plot 'sleb(blocks=*)' --depth-plot 'prune-range(end=*, start=12)' --depth-plot 'merge(end=*, start=12)'

layer-parallelism: model ## study layer parallelism on SmolLM2-135M (two hours on 2 cores; what is measured stays)
	$(LP_MAP) --name $(LP)-ends --method layer-parallel --length 2,4,8
	$(LP_MAP) --name $(LP)-removals --method prune-range --length 1,2,4
	-for part in $(LP_PARTS); do cargo run -- run $(LP_EXPERIMENTS)/$$part.toml; done
	cargo run -- report results/runs/$(LP)-depth $(LP_PLOT)
	cp results/runs/$(LP)-depth/depth.svg $(LP_RESULTS)
	cp results/runs/$(LP)-icl/tasks.csv $(LP_RESULTS)/icl_tasks.csv
	cp results/runs/$(LP)-ends/depth-map-layer-parallel.svg $(LP_RESULTS)/ends.svg
	cp results/runs/$(LP)-removals/depth-map-prune-range.svg $(LP_RESULTS)/removals.svg
	for part in ends removals $(LP_PARTS); do cp results/runs/$(LP)-$$part/table.csv $(LP_RESULTS)/$$part.csv; done
	cargo run -- claims layer_parallelism --format markdown > $(LP_RESULTS)/claims.md.partial
	mv $(LP_RESULTS)/claims.md.partial $(LP_RESULTS)/claims.md
	python3 $(LP_RESULTS)/tables.py > $(LP_RESULTS)/README.md.partial
	mv $(LP_RESULTS)/README.md.partial $(LP_RESULTS)/README.md

# cog runs what stands in the comments of these files and puts the output below.
COG_FILES = README.md $(sort $(wildcard docs/*.md))
COG = PYTHONPATH="$$(harness/setup/cog.sh)" python3 -m cogapp -I reports -p 'from readme import *'

readme-records: setup model ## measure again what the tables of README.md and docs show (an hour or so on 2 cores)
	cargo run -- run harness/experiments/quick.toml --results results/readme
	cargo run -- run harness/experiments/tiny.toml --results results/readme
	cargo run -- run harness/experiments/smol.toml --results results/readme

readme: setup ## put the tables into README.md and docs again, from the committed records
	cargo build --quiet
	$(COG) -r $(COG_FILES)

readme-check: setup ## fail if a table of README.md, docs or a replication is not that of its records, or a link leads nowhere
	python3 .ci/links.py
	cargo build --quiet
	$(COG) --check --diff $(COG_FILES)
	python3 $(WE_RESULTS)/tables.py | diff $(WE_RESULTS)/README.md -
	python3 $(LP_RESULTS)/tables.py | diff $(LP_RESULTS)/README.md -

# Without the reference data the tests that use SmolLM2-135M skip, visibly, and need no model.
test: setup $(if $(wildcard ../shared/golden),model) ## run every test
	cargo test --workspace $(TESTFLAGS)

claim-tests: setup ## run the tests that claims name, and note in results/papers/tests.toml that they passed
	mkdir -p target
	$(MAKE) test TESTFLAGS="-- --exact --show-output $$(python3 .ci/shown.py names)" 2>&1 | tee target/claim-tests.log
	python3 .ci/shown.py note target/claim-tests.log

pin: setup ## take over the numbers that moved with a version (results/pinned)
	PRUNEBENCH_PIN=write cargo test --workspace --test end_to_end pinned

CHROMIUM ?= chromium

browser: demo ## check the HTML page of the demo's records in Chromium (CHROMIUM=<program>)
	cargo run --quiet -- report results/runs/quick --html target/demo.html
	PYTHONPATH="$$(harness/setup/modules.sh tests/browser/requirements.txt)" \
		python3 tests/browser/page.py target/demo.html --chromium "$$(command -v $(CHROMIUM))"

peers: setup ## put the smallest models beside transformers, lm-eval and SciPy (some minutes, most of them to fetch these)
	cargo build --quiet --workspace --bins --examples
	export PYTHONPATH="$$(harness/setup/modules.sh tests/peers/requirements.txt)" && for script in tests/peers/*.py; do \
		echo "$$script --smallest" && python3 $$script --smallest || exit 1; done

bench: model ## run the criterion benches on the one build profile
	cargo bench --workspace --benches --profile dev

lint: setup ## formatting and clippy, as CI runs them
	cargo fmt --all --check
	rustfmt --edition 2024 --check methods/src/*/mod.rs methods/src/toy.rs # behind the registry's macro, where cargo fmt does not look
	cargo clippy --workspace --all-targets -- -D warnings
