#!/usr/bin/env bash
# Runs EleutherAI's lm-evaluation-harness on an exported model.
#   lm_eval.sh FOLDER [--tasks LIST] [more of lm_eval's own options]
# FOLDER is what `lighthouse export CHECKPOINT FOLDER` wrote. Tasks: hellaswag,arc_easy,piqa,lambada_openai unless given.
# Results go to FOLDER/lm_eval unless --output_path says otherwise.
set -euo pipefail

usage() { sed -n '2,5s/^# \{0,1\}//p' "$0" >&2; exit 2; }
[ $# -ge 1 ] && [ "${1#-}" = "$1" ] || usage
folder=$1
shift
for file in config.json tokenizer_config.json; do
    [ -f "$folder/$file" ] || { echo "lm_eval: $folder has no $file; export a model with: lighthouse export CHECKPOINT $folder" >&2; exit 2; }
done
if ! command -v lm_eval >/dev/null; then
    echo 'lm_eval: the harness is not here; get it with: pip install "lm-eval[hf]"' >&2
    exit 2
fi

tasks=(--tasks hellaswag,arc_easy,piqa,lambada_openai)
output=(--output_path "$folder/lm_eval")
for argument in "$@"; do
    case "$argument" in
        --tasks | --tasks=*) tasks=() ;;
        --output_path | --output_path=*) output=() ;;
    esac
done
exec lm_eval --model hf --model_args "pretrained=$folder" "${tasks[@]}" "${output[@]}" "$@"
