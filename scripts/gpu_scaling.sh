#!/usr/bin/env bash
# Measures the 530M model on 1, 2, 4, ... GPUs of this host with NCCL under mpirun, dense at 8,192 tokens and Lighthouse at
# 98,304, with whole and sharded optimizer state: tokens/s, fraction of linear scaling, communication not overlapped. Then runs
# short trainings with one global batch: differences of the losses from one rank's, reproducibility, resuming a checkpoint of
# many ranks on one, and the end of the other ranks when one is killed. Checkpoints take 6 GB of TMPDIR.
#   --build DIR   use this build instead of build/
#   --ranks LIST  such as "1 2 4"; by default all powers of two up to the number of GPUs
#   --steps N     training steps to compare (default 50; a fifth of it for Lighthouse)
#   --quick       only dense at 2,048 tokens, to see whether everything works
#   --no-speeds   only the training runs
set -uo pipefail

build=build
ranks=""
steps=50
quick=false
speeds_wanted=true
while [ $# -gt 0 ]; do
    case "$1" in
        --build) build=${2:?--build needs a folder}; shift 2 ;;
        --ranks) ranks=${2:?--ranks needs a list}; shift 2 ;;
        --steps) steps=${2:?--steps needs a number}; shift 2 ;;
        --quick) quick=true; shift ;;
        --no-speeds) speeds_wanted=false; shift ;;
        *) echo "usage: $0 [--build DIR] [--ranks LIST] [--steps N] [--quick] [--no-speeds]" >&2; exit 2 ;;
    esac
done
cd "$(dirname "$0")/.."
program=$(realpath "$build/bin/lighthouse")
gpus=$(nvidia-smi --query-gpu=index --format=csv,noheader 2>/dev/null | wc -l)
[ "$gpus" -ge 1 ] || { echo "gpu_scaling: nvidia-smi finds no GPU" >&2; exit 2; }
command -v mpirun >/dev/null || { echo "gpu_scaling: mpirun is missing (package openmpi-bin)" >&2; exit 2; }
if [ -z "$ranks" ]; then
    for ((n = 1; n <= gpus; n *= 2)); do ranks+="$n "; done
fi
largest=1
for n in $ranks; do [ "$n" -le "$largest" ] || largest=$n; done

export NCCL_NVLS_ENABLE=0 OMP_NUM_THREADS=4 OMPI_MCA_odls_base_sigkill_timeout=10
[ "$(id -u)" -ne 0 ] || export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
work=$(mktemp -d)
speeds=()
checks=()
failed=0
job=""
finish() {  # also if the script is stopped
    [ -z "$job" ] || kill "$job" 2>/dev/null
    rm -rf "$work"
    printf '\n== %s x %s, %s\n' "$gpus" "$(nvidia-smi --query-gpu=name,driver_version --format=csv,noheader | head -n 1)" "$(date +%F)"
    printf '%s\n' "${speeds[@]}" "" "${checks[@]}"
}
trap finish EXIT
trap 'exit 130' INT TERM
speed_row() { speeds+=("$(printf '%-34s %5s %12s %8s %14s' "$@")"); }
check_row() {
    checks+=("$(printf '%-60s %s' "$1" "$2")")
    echo "$2"
    [[ $2 != FAILED* ]] || failed=1
}
speed_row work ranks tokens/s linear "not overlapped"

scripts/sample_text.py 4000000 >"$work/text" || exit 1
"$program" prepare --out "$work/data" "$work/text" >/dev/null || exit 1

on_ranks() {  # N COMMAND...
    local n=$1
    shift
    mpirun -n "$n" --bind-to none -x NCCL_NVLS_ENABLE -x OMP_NUM_THREADS ${LD_LIBRARY_PATH:+-x LD_LIBRARY_PATH} \
        "$program" "$@" --set distributed.backend=nccl --set hardware.memory=74 --set schedule.warmup_steps=2
}

# NAME MICRO SETTINGS...: times a step whose batch grows with the ranks. The baseline of sharded state is one rank's whole state.
declare -A one_rank
time_step() {
    local name=$1 micro=$2 base n
    local work_name=${name%, sharded}
    shift 2
    $speeds_wanted || return 0
    for n in $ranks; do
        [ "$n" -gt 1 ] || [ "$name" = "$work_name" ] || continue
        printf '\n== %s, %s ranks\n' "$name" "$n"
        if ! on_ranks "$n" bench step configs/paper-530m-98k.yaml "$@" --set batch.micro_batch_size="$micro" \
            --set batch.global_batch_size=$((n * micro)) --steps 10 | tee "$work/out"; then
            speed_row "$name" "$n" FAILED "" ""
            failed=1
            continue
        fi
        local speed exposed
        speed=$(grep -o '[0-9,]* tokens/s' "$work/out" | tr -d ', a-z/')
        exposed=$(grep -o 'each rank, .* not overlapped' "$work/out" | sed 's/each rank, //; s/ not overlapped//')
        base=${one_rank[$work_name]:=$((speed / n))}
        speed_row "$name" "$n" "$speed" "$(awk "BEGIN { printf \"%.1f%%\", 100 * $speed / ($base * $n) }")" "$exposed"
    done
}

# RUN N STEPS SETTINGS...: trains with the same global batch on any number of ranks: two micro-batches for each rank of the
# largest group, because a sum of two numbers has the same bits in either order. The learning rate is low, because jumps of the
# loss at a high one amplify rounding.
train() {
    local run=$1 n=$2 steps=$3
    shift 3
    printf '\n== training %s on %s ranks\n' "$run" "$n"
    on_ranks "$n" train configs/paper-530m-98k.yaml --set "data.train=$work/data/train-*.bin" --set data.validation= \
        --set batch.micro_batch_size=1 --set batch.global_batch_size=$((2 * largest)) \
        --set run.deterministic=true --set optimizer.learning_rate=1e-4 --set checkpoint.every=0 \
        --set run.directory="$work/$run" "$@" \
        >"$work/log" 2>&1 || { tail -n 20 "$work/log"; return 1; }
    tail -n 1 "$work/log"
}
forget() { rm -rf "$work/$1/checkpoints"; }

# NAME RUN OTHER LIMIT [NORM_LIMIT]: if the last training finished, sets `apart` to the largest difference of two runs' losses
# and adds a row. The first step's gradient is a sum of the same numbers on any ranks, so its norm must agree too.
apart=0
compare() {
    local code=$? result
    if [ $code -ne 0 ]; then
        check_row "$1" "FAILED: training ended with exit code $code"
        return
    fi
    if result=$(python3 - "$work/$2/metrics.jsonl" "$work/$3/metrics.jsonl" "$4" "${5:-1e-5}" <<'EOF'
import json, sys
a, b = ({l["step"]: l for l in map(json.loads, open(path)) if "loss" in l} for path in sys.argv[1:3])
assert a.keys() == b.keys() and a, (len(a), len(b))
limit, norm_limit = map(float, sys.argv[3:])
loss = max(abs(a[step]["loss"] - b[step]["loss"]) for step in a)
norm = abs(a[1]["grad_norm"] / b[1]["grad_norm"] - 1)
print(f"losses of {len(a)} steps at most {loss:.1e} apart, limit {limit:.1e}; norm of the first gradient {norm:.1e}, limit {norm_limit:.1e}")
sys.exit(loss > limit or norm > norm_limit)
EOF
    ); then check_row "$1" "passed: $result"; else check_row "$1" "FAILED: $result"; fi
    apart=$(grep -o 'most [^ ]*' <<<"$result" | cut -d' ' -f2)
}

dense=(--set 'stages=[{name: s, attention: dense, steps: 10}]')
lighthouse=(--set 'stages=[{name: s, attention: lighthouse, steps: 10}]')
sharded=(--set distributed.shard_optimizer=true)
if $quick; then
    time_step "dense 2 x 2,048" 2 "${dense[@]}" --set batch.sequence_length=2048
    compared=("${dense[@]}" --set batch.sequence_length=2048)
else
    time_step "dense 4 x 8,192" 4 "${dense[@]}" --set batch.sequence_length=8192
    time_step "dense 4 x 8,192, sharded" 4 "${dense[@]}" --set batch.sequence_length=8192 "${sharded[@]}"
    time_step "Lighthouse 1 x 98,304" 1 "${lighthouse[@]}" --set batch.sequence_length=98304
    time_step "Lighthouse 1 x 98,304, sharded" 1 "${lighthouse[@]}" --set batch.sequence_length=98304 "${sharded[@]}"
    compared=("${dense[@]}" --set batch.sequence_length=8192)
fi

compared+=(--set stages.0.steps="$steps")
train one 1 "$steps" "${compared[@]}"
forget one
# The effect of another order of summation in bfloat16 on one rank.
train wide 1 "$steps" "${compared[@]}" --set batch.micro_batch_size=2
compare "dense, micro-batches of two and of one, one rank" wide one 0.03 1e-2
forget wide
limit=$(python3 -c "print(max(3 * ${apart:-0}, 1e-3))")
half=$(((steps + 1) / 2))
train many "$largest" "$steps" "${compared[@]}" --set checkpoint.every=$half
compare "dense, $largest ranks and one" many one "$limit"
train again "$largest" "$steps" "${compared[@]}"
compare "dense, $largest ranks, twice" again many 0 0
forget again
train sharded "$largest" "$steps" "${compared[@]}" "${sharded[@]}"
compare "dense, $largest ranks, sharded, and one" sharded one "$limit"
forget sharded
train many 1 "$steps" "${compared[@]}" --resume-from $half
compare "dense, begun by $largest ranks, ended by one, and one" many one "$limit"
forget many
if ! $quick; then
    compared=("${lighthouse[@]}" --set stages.0.steps=$((steps / 5)) --set batch.sequence_length=32768
        --set attention.lighthouse.top_k=512)
    train lighthouse-one 1 $((steps / 5)) "${compared[@]}"
    forget lighthouse-one
    train lighthouse-many "$largest" $((steps / 5)) "${compared[@]}"
    compare "Lighthouse 32,768, $largest ranks and one" lighthouse-many lighthouse-one 0.03
    forget lighthouse-many
fi

[ "$largest" -gt 1 ] || exit $failed
printf '\n== a rank is killed\n'
on_ranks "$largest" train configs/paper-530m-98k.yaml --set "data.train=$work/data/train-*.bin" --set data.validation= \
    "${dense[@]}" --set stages.0.steps=100000 --set batch.sequence_length=2048 --set batch.micro_batch_size=1 \
    --set batch.global_batch_size="$largest" --set checkpoint.every=0 --set run.directory="$work/killed" >"$work/log" 2>&1 &
job=$!
steps_done() { [ "$(cat "$work/killed/metrics.jsonl" 2>/dev/null | wc -l)" -ge 5 ]; }
for _ in $(seq 600); do ! steps_done || break; sleep 0.1; done
victim=$(pgrep -P "$(pgrep -P $job mpirun || echo $job)" | tail -n 1)
kill -KILL "$victim"
begin=$(date +%s)
code=0
wait $job || code=$?
job=""
seconds=$(($(date +%s) - begin))
if gone=$(grep -o 'rank [0-9]* (.* exited' "$work/log") && steps_done && [ $code -ne 0 ] && [ $seconds -lt 60 ]; then
    check_row "a killed rank stops the others" "passed within $seconds s: $(head -n 1 <<<"$gone")"
else
    tail -n 20 "$work/log"
    check_row "a killed rank stops the others" "FAILED: exit code $code after $seconds s"
fi
exit $failed
