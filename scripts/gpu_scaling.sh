#!/usr/bin/env bash
# The 530M model on 1, 2, 4, ... GPUs of this host through NCCL under mpirun, dense at 8,192 tokens and Lighthouse at 98,304,
# whole and sharded optimizer state. Prints tokens/s, its ratio to linear, communication that was not overlapped, and the
# largest difference of losses over a short training run from one rank's with the same global batch.
#   --build DIR   use this build instead of build/
#   --ranks LIST  "1 2 4" instead of all powers of two up to the GPUs that are here
#   --steps N     training steps that are compared (default 50)
#   --quick       dense at 2,048 tokens alone, to see whether everything works
set -uo pipefail

build=build
ranks=""
steps=50
quick=false
while [ $# -gt 0 ]; do
    case "$1" in
        --build) build=${2:?--build needs a folder}; shift 2 ;;
        --ranks) ranks=${2:?--ranks needs a list}; shift 2 ;;
        --steps) steps=${2:?--steps needs a number}; shift 2 ;;
        --quick) quick=true; shift ;;
        *) echo "usage: $0 [--build DIR] [--ranks LIST] [--steps N] [--quick]" >&2; exit 2 ;;
    esac
done
cd "$(dirname "$0")/.."
program=$(realpath "$build/bin/lighthouse")
gpus=$(nvidia-smi --query-gpu=index --format=csv,noheader 2>/dev/null | wc -l)
[ "$gpus" -ge 1 ] || { echo "gpu_scaling: nvidia-smi finds no GPU here" >&2; exit 2; }
command -v mpirun >/dev/null || { echo "gpu_scaling: mpirun is missing (package openmpi-bin)" >&2; exit 2; }
if [ -z "$ranks" ]; then
    for ((n = 1; n <= gpus; n *= 2)); do ranks+="$n "; done
fi
largest=1
for n in $ranks; do [ "$n" -le "$largest" ] || largest=$n; done

export NCCL_NVLS_ENABLE=0 OMP_NUM_THREADS=4 OMPI_MCA_odls_base_sigkill_timeout=10
[ "$(id -u)" -ne 0 ] || export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
table=()
failed=0
row() { table+=("$(printf '%-34s %5s %12s %8s %14s %14s' "$@")"); }
row work ranks tokens/s linear "not overlapped" "loss differs"

# Text that is the same everywhere.
find docs include src kernels -type f | sort | xargs cat >"$work/text"
"$program" prepare --out "$work/data" "$work/text" >/dev/null || exit 1

on_ranks() {  # N COMMAND...
    local n=$1
    shift
    mpirun -n "$n" --bind-to none -x NCCL_NVLS_ENABLE -x OMP_NUM_THREADS ${LD_LIBRARY_PATH:+-x LD_LIBRARY_PATH} \
        "$program" "$@"
}

# NAME SETTINGS...: times each number of ranks, with a batch that grows with it, and compares short runs of one batch.
measure() {
    local name=$1
    shift
    local base=""
    for n in $ranks; do
        printf '\n== %s, %s ranks\n' "$name" "$n"
        local compared=("$@" --set batch.global_batch_size=$((largest * micro)))
        if ! on_ranks "$n" bench step configs/paper-530m-98k.yaml "$@" --set batch.global_batch_size=$((n * micro)) \
            --set distributed.backend=nccl --steps 10 | tee "$work/out"; then
            row "$name" "$n" FAILED "" "" ""
            failed=1
            continue
        fi
        local speed exposed
        speed=$(grep -o '[0-9,]* tokens/s' "$work/out" | tr -d ', a-z/')
        exposed=$(grep -o 'each rank, .* not overlapped' "$work/out" | sed 's/each rank, //; s/ not overlapped//')
        [ -n "$base" ] || base=$((speed / n))
        local run="$work/$(tr -c 'a-z0-9\n' '-' <<<"$name")-$n"
        if ! on_ranks "$n" train configs/paper-530m-98k.yaml "${compared[@]}" --set distributed.backend=nccl \
            --set "data.train=$work/data/train-*.bin" \
            --set data.validation= --set stages.0.steps="$steps" --set checkpoint.every=0 --set run.directory="$run" \
            >"$work/log" 2>&1; then
            tail -n 20 "$work/log"
            row "$name" "$n" "$speed" "" "$exposed" FAILED
            failed=1
            continue
        fi
        rm -rf "$run/checkpoints"
        [ -f "$work/reference-$micro-$sequence" ] || cp "$run/metrics.jsonl" "$work/reference-$micro-$sequence"
        local difference
        difference=$(python3 - "$work/reference-$micro-$sequence" "$run/metrics.jsonl" <<'EOF'
import json, sys
a, b = ([l["loss"] for l in map(json.loads, open(path)) if "loss" in l] for path in sys.argv[1:])
assert len(a) == len(b)
print(f"{max(abs(x - y) for x, y in zip(a, b)):.1e}")
EOF
)
        row "$name" "$n" "$speed" "$(awk "BEGIN { printf \"%.1f%%\", 100 * $speed / ($base * $n) }")" "$exposed" "$difference"
    done
}

only_stage='stages=[{name: s, attention: dense, steps: 10}]'
lighthouse_stage='stages=[{name: s, attention: lighthouse, steps: 10}]'
for sharded in false true; do
    label=$([ $sharded = true ] && echo ", sharded" || echo "")
    common=(--set distributed.shard_optimizer=$sharded --set hardware.memory=74 --set schedule.warmup_steps=10)
    if $quick; then
        micro=2 sequence=2048
        measure "dense 2 x 2,048$label" "${common[@]}" --set "$only_stage" --set batch.sequence_length=2048 --set batch.micro_batch_size=2
        continue
    fi
    micro=4 sequence=8192
    measure "dense 4 x 8,192$label" "${common[@]}" --set "$only_stage" --set batch.sequence_length=8192 --set batch.micro_batch_size=4
    micro=1 sequence=98304
    measure "Lighthouse 1 x 98,304$label" "${common[@]}" --set "$lighthouse_stage" --set batch.sequence_length=98304 --set batch.micro_batch_size=1
done

printf '\n== %s, %s\n' "$(nvidia-smi --query-gpu=name,driver_version --format=csv,noheader | head -n 1)" "$(date +%F)"
printf '%s\n' "${table[@]}"
exit $failed
