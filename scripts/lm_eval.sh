#!/usr/bin/env bash
# Runs EleutherAI's lm-evaluation-harness on an exported model.
#   lm_eval.sh FOLDER [--tasks LIST] [more of lm_eval's own options]
# FOLDER: written by `lighthouse export CHECKPOINT FOLDER`. Default tasks: hellaswag,arc_easy,piqa,lambada_openai.
# Your own tasks: --include_path DIR --tasks NAME, with their YAML files in DIR. --model_args dtype=float32 adds arguments.
# Results go to FOLDER/lm_eval, or to --output_path.
set -euo pipefail

usage() { sed -n '2,6s/^# \{0,1\}//p' "$0"; }
refuse() { echo "lm_eval: $*" >&2; exit 2; }

case "${1:-}" in
    -h | --help) usage; exit 0 ;;
    '' | -*) usage >&2; exit 2 ;;
esac
folder=$1
shift
for file in config.json tokenizer_config.json; do
    [ -f "$folder/$file" ] || refuse "$folder has no $file; export a model with: lighthouse export CHECKPOINT FOLDER"
done
[ -f "$folder/model.safetensors" ] || [ -f "$folder/model.safetensors.index.json" ] || refuse "$folder has no weights"
case "$folder" in *[,=]*) refuse "lm_eval splits at the \",\" and \"=\" in $folder; rename the folder" ;; esac

program=$(command -v lm_eval) || refuse 'the harness is not here; get it with: pip install "lm-eval[hf]"'
packages=(torch transformers accelerate)
[ -f "$folder/tokenizer.json" ] || packages+=(sentencepiece google.protobuf)
read -ra interpreter < <(sed -n '1s/^#!//p' "$program" | tr -d '\0')  # the Python interpreter that lm_eval runs in
if [[ "${interpreter[*]:-}" == *python* ]]; then
    missing=$("${interpreter[@]}" - "${packages[@]}" <<'PYTHON'
import importlib.util
import sys


def there(name):
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:  # of the parent package
        return False


print(*["protobuf" if name == "google.protobuf" else name for name in sys.argv[1:] if not there(name)])
PYTHON
    ) || refuse "${interpreter[*]}, which $program is for, does not run"
    [ -z "$missing" ] || refuse "its Python lacks packages; get them with: ${interpreter[*]} -m pip install $missing"
fi

tasks=(--tasks hellaswag,arc_easy,piqa,lambada_openai)
output=(--output_path "$folder/lm_eval")
for argument in "$@"; do
    case "$argument" in
        --tasks | --tasks=* | -t*) tasks=() ;;  # lm_eval would add a second list to the first
        --output_path | --output_path=* | -o*) output=() ;;
    esac
done
exec "$program" --model hf --model_args "pretrained=$folder" "${tasks[@]}" "${output[@]}" "$@"
