#!/usr/bin/env bash
# Checks everything that needs a GPU: builds, runs tests and golden cases, times training steps, prints one table at the end.
#   --build DIR    use this build instead of building
#   --sanitize     also run the kernel tests under compute-sanitizer (memcheck, racecheck): some minutes
#   --peer SCRIPT  also time this PyTorch program, which accepts --seq, --batch and --checkpoint, for each step
set -euo pipefail

build=""
sanitize=false
peer=""
while [ $# -gt 0 ]; do
    case "$1" in
        --build) build=$(realpath -- "${2:?--build needs a folder}"); shift 2 ;;
        --peer) peer=$(realpath -- "${2:?--peer needs a file}"); shift 2 ;;
        --sanitize) sanitize=true; shift ;;
        *) echo "usage: $0 [--build DIR] [--sanitize] [--peer SCRIPT]" >&2; exit 2 ;;
    esac
done

cd "$(dirname "$0")/.."
say() { printf '\n== %s\n' "$*"; }
if ! nvidia-smi >/dev/null 2>&1; then
    echo "gpu_check: nvidia-smi finds no GPU" >&2
    exit 2
fi
if [ -z "$build" ]; then
    build=$PWD/build
    ./scripts/setup.sh
    cmake -S . -B "$build" -G Ninja -DLIGHTHOUSE_CUDA=ON
    cmake --build "$build"
fi
logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT
table=()
failed=0
row() { table+=("$(printf '%-58s %s' "$1" "$2")"); }

# NAME COMMAND...: adds a row with the result; prints the command's output if it failed.
check() {
    local name=$1
    shift
    say "$name"
    if "$@" >"$logs/out" 2>&1; then
        tail -n 2 "$logs/out"
        row "$name" passed
    else
        cat "$logs/out"
        row "$name" FAILED
        failed=1
    fi
}

check "kernel tests" "$build/bin/test_kernels" --gtest_brief=1
check "training tests" "$build/bin/test_gpu" --gtest_brief=1
for case in tests/golden/cases/*.safetensors; do
    for dtype in float32 bfloat16; do
        check "golden $(basename "$case" .safetensors) in $dtype" \
            "$build/bin/lighthouse-golden" --device cuda --dtype $dtype --indices-from-file "$case"
    done
done
if $sanitize; then
    for tool in memcheck racecheck; do  # without cuDNN's kernels
        check "kernel tests under $tool" compute-sanitizer --tool $tool --error-exitcode 1 --report-api-errors no \
            "$build/bin/test_kernels" --gtest_brief=1 --gtest_filter='-*/AttentionTest.*bfloat16:*/DocumentsTest.*bfloat16:*Dilated*bfloat16:*AMillionTokens*:*OrderTest.Graph*'
    done
fi

# NAME ARGUMENTS...: runs `lighthouse bench` with its output in out; adds a row if the run fails.
bench() {
    local name=$1
    shift
    say "$name"
    "$build/bin/lighthouse" bench "$@" | tee "$logs/out" && return
    row "$name" FAILED
    failed=1
    return 1
}

# NAME SEQUENCE BATCH OPTIONS...: times a step of the paper's model with the options.
time_step() {
    local name=$1 sequence=$2 batch=$3
    shift 3
    bench "$name" step configs/paper-530m-98k.yaml --set batch.sequence_length="$sequence" \
        --set batch.micro_batch_size="$batch" --set batch.global_batch_size="$batch" --set hardware.memory=74 \
        "$@" || return 0
    row "$name" "$(grep -o '[0-9,]* tokens/s, MFU [0-9.]*' "$logs/out")"
}
time_dense_step() { time_step "$@" --set stages.0.attention=dense; }
# With --peer: times the peer's step.
time_peer() {
    [ -n "$peer" ] || return 0
    say "the peer, $*"
    python3 "$peer" "$@" >"$logs/out" 2>"$logs/err" || cat "$logs/err"
    row "  the peer, $*" "$(grep -o '"tokens_per_s": [0-9]*' "$logs/out" || echo FAILED)"
}

# NAME OPTIONS...: times one layer; the last line becomes a row.
time_layer() {
    local name=$1
    shift
    bench "$name" attention --device cuda "$@" || return 0
    row "$name" "$(awk 'END {print $9, "ms forward,", $11, "ms with backward,", $18, "of dense"}' "$logs/out")"
}

# NAME OPTIONS...: times decoding token by token.
time_generate() {
    local name=$1
    shift
    bench "$name" generate --device cuda "$@" || return 0
    row "$name" "$(grep -o '[0-9]* tokens/s' "$logs/out" | head -n 1), $(grep -o '[0-9]*% of the data sheet' "$logs/out")"
}

time_peer --seq 4096 --batch 8
time_dense_step "530M dense, 8 x 4,096" 4096 8 --breakdown
time_dense_step "530M dense, 8 x 4,096, deterministic" 4096 8 --set run.deterministic=true
time_peer --seq 8192 --batch 4
time_dense_step "530M dense, 4 x 8,192" 8192 4
time_peer --seq 98304 --batch 1 --checkpoint --steps 3
time_dense_step "530M dense, 1 x 98,304" 98304 1 --steps 3
time_dense_step "530M dense, 1 x 98,304, deterministic" 98304 1 --steps 2 --set run.deterministic=true
time_dense_step "1.5B (28 x 1,536, grouped), 32 x 1,024, 4 accumulated" 1024 32 --steps 4 \
    --set batch.global_batch_size=128 --set model.hidden_size=1536 --set model.num_hidden_layers=28 \
    --set model.num_attention_heads=12 --set model.num_key_value_heads=2 --set model.intermediate_size=8960 \
    --set model.vocab_size=151936 --set model.tie_word_embeddings=true --set optimizer.state_dtype=bfloat16
time_layer "layer, N = 32,768" --sequence-lengths 32768 --breakdown
time_layer "layer, N = 98,304" --sequence-lengths 98304 --breakdown
time_layer "layer, N = 98,304, deterministic" --sequence-lengths 98304 --deterministic
time_layer "layer, N = 524,288" --sequence-lengths 524288 --repeats 1 --breakdown
time_step "530M Lighthouse, four layers dense, 1 x 98,304" 98304 1 --steps 5 --breakdown
time_step "530M Lighthouse, four layers dense, deterministic" 98304 1 --steps 3 --set run.deterministic=true
time_step "530M Lighthouse, no layer dense, 1 x 98,304" 98304 1 --steps 5 --set 'attention.lighthouse.dense_layers=[]'
if [ "$(nvidia-smi --query-gpu=memory.total --format=csv,noheader,nounits | head -n 1)" -gt 130000 ]; then
    say "530M Lighthouse, a million tokens"
    "$build/bin/lighthouse" bench step configs/paper-530m-1m.yaml --warmup 1 --steps 1 | tee "$logs/out" || failed=1
    row "530M Lighthouse, a million tokens" "$(grep -o '[0-9,]* tokens/s, MFU [0-9.]*' "$logs/out" || echo FAILED)"
fi

time_generate "530M generating, 2,048 places"
time_generate "530M generating after 30,000 tokens" --prompt 30000 --context 32768

say "$(nvidia-smi --query-gpu=name,driver_version --format=csv,noheader | head -n 1), $(date +%F)"
printf '%s\n' "${table[@]}"
exit $failed
