#!/usr/bin/env bash
# Tests several ranks on a machine with one GPU. Trains a tiny dense model for 40 steps: without a launcher; as one rank with
# NCCL; as two ranks that share the GPU, through MPI and host memory, with whole and with sharded optimizer state. Continues a
# checkpoint of two ranks on one, and kills a rank. Compares the losses (in bfloat16 against the effect of another micro-batch
# size) and prints a table at the end.
#   scripts/gpu_ranks.sh [--build DIR]     default: build
set -uo pipefail
build=build
case "$#:${1:-}" in
    0:) ;;
    2:--build) build=$2 ;;
    *) echo "usage: $0 [--build DIR]" >&2; exit 2 ;;
esac
cd "$(dirname "$0")/.."
program=$(realpath "$build/bin/lighthouse")
nvidia-smi >/dev/null 2>&1 || { echo "gpu_ranks: nvidia-smi finds no GPU" >&2; exit 2; }
command -v mpirun >/dev/null || { echo "gpu_ranks: mpirun is missing (package openmpi-bin)" >&2; exit 2; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export NCCL_NVLS_ENABLE=0 OMP_NUM_THREADS=2
[ "$(id -u)" -ne 0 ] || export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
scripts/sample_text.py 1000000 >"$work/text" || exit 1
"$program" prepare --out "$work/data" "$work/text" >/dev/null || exit 1
cat >"$work/run.yaml" <<EOF
run: {name: ranks, directory: $work/run, device: cuda, deterministic: true}
model: {vocab_size: 257, hidden_size: 256, intermediate_size: 512, num_hidden_layers: 4, num_attention_heads: 4, num_key_value_heads: 2}
data: {train: "$work/data/train-*.bin", validation: "$work/data/val-*.bin"}
batch: {sequence_length: 512, micro_batch_size: 1, global_batch_size: 8}
stages: [{name: dense, attention: dense, steps: 40}]
optimizer: {learning_rate: 3.0e-4}
schedule: {warmup_steps: 5}
checkpoint: {every: 20, keep: 3}
evaluation: {every: 20, batches: 4}
distributed: {bucket: 0.5}
hardware: {memory: 8}
EOF
table=()
failed=0
row() { table+=("$(printf '%-52s %s' "$1" "$2")"); }

# NAME RUN OTHER LIMIT COMMAND...: compares the losses with those of run OTHER. Sets `largest` to the largest difference.
largest=0
compare() {
    local name=$1 run=$2 other=$3 limit=$4
    shift 4
    printf '\n== %s\n' "$name"
    if ! "$@" >"$work/log" 2>&1; then
        tail -n 30 "$work/log"
        row "$name" FAILED
        failed=1
        return
    fi
    grep -E "ranks by|host memory" "$work/log"
    local result
    if result=$(python3 - "$work/$other/metrics.jsonl" "$work/$run/metrics.jsonl" "$limit" <<'EOF'
import json, sys
a, b = ([l["loss"] for l in map(json.loads, open(path)) if "loss" in l] for path in sys.argv[1:3])
assert len(a) == len(b) == 40, (len(a), len(b))
difference = max(abs(x - y) for x, y in zip(a, b))
print(f"largest difference of losses {difference:.1e}, limit {float(sys.argv[3]):.1e}")
sys.exit(difference > float(sys.argv[3]))
EOF
    ); then row "$name" "passed: $result"; else row "$name" "FAILED: $result"; failed=1; fi
    largest=$(grep -o 'losses [^,]*' <<<"$result" | cut -d' ' -f2)
}
train() { "$program" train "$work/run.yaml" --set run.directory="$work/$1" "${@:2}"; }
ranks() {  # N RUN SETTINGS...
    mpirun --oversubscribe --bind-to none -n "$1" "$program" train "$work/run.yaml" --set run.directory="$work/$2" "${@:3}"
}

compare "one rank, float32" plain32 plain32 0 train plain32 --set run.dtype=float32
compare "two ranks through MPI, float32" mpi32 plain32 1e-5 ranks 2 mpi32 --set run.dtype=float32
compare "two ranks through MPI, sharded, float32" sharded32 plain32 1e-5 \
    ranks 2 sharded32 --set run.dtype=float32 --set distributed.shard_optimizer=true
compare "one rank" plain plain 0 train plain
compare "one rank through NCCL" nccl plain 1e-5 ranks 1 nccl --set distributed.backend=nccl
compare "one rank through NCCL, again" nccl2 plain 1e-5 ranks 1 nccl2 --set distributed.backend=nccl
# In bfloat16, forty steps amplify rounding: the effect of micro-batches of two on one rank gives the limit.
compare "one rank, micro-batches of two" wide plain 0.1 train wide --set batch.micro_batch_size=2
limit=$(python3 -c "print(3 * max($largest, 1e-3))")
compare "two ranks through MPI" mpi plain "$limit" ranks 2 mpi
compare "two ranks through MPI, again" mpi2 mpi 0 ranks 2 mpi2
compare "two ranks through MPI, sharded" sharded plain "$limit" ranks 2 sharded --set distributed.shard_optimizer=true
cp -r "$work/sharded" "$work/resumed"
compare "its checkpoint of step 20, continued by one" resumed plain "$limit" train resumed --resume-from 20

printf '\n== a rank is killed\n'
ranks 2 killed --set stages.0.steps=100000 >"$work/log" 2>&1 &
job=$!
for _ in $(seq 600); do [ ! -d "$work/killed/checkpoints/step-00000020" ] || break; sleep 0.1; done
victim=$(pgrep -P "$(pgrep -P $job mpirun || echo $job)" | tail -n 1)
kill -KILL "$victim"
begin=$(date +%s)
code=0
wait $job || code=$?
if grep "exited: " "$work/log" && [ $code -ne 0 ] && [ $(($(date +%s) - begin)) -lt 60 ]; then
    row "a killed rank stops the other" "passed within $(($(date +%s) - begin)) s, exit code $code"
else
    tail -n 20 "$work/log"
    row "a killed rank stops the other" FAILED
    failed=1
fi

printf '\n== %s, %s\n' "$(nvidia-smi --query-gpu=name,driver_version --format=csv,noheader | head -n 1)" "$(date +%F)"
printf '%s\n' "${table[@]}"
exit $failed
