#!/usr/bin/env python3
"""Golden cases from transformers (needs: pip install torch transformers safetensors).

  hugging_face.py make DIR          small random models as Hugging Face saves them, with their logits and greedy tokens
  hugging_face.py check LIGHTHOUSE CHECKPOINT CASE   exports a checkpoint in float32, runs it with transformers, and
                                    writes a case for `lighthouse-golden CASE`
"""
import json
import pathlib
import subprocess
import sys
import tempfile

import torch
from safetensors.torch import save_file
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

LENGTH = 40
GENERATED = 24


def greedy(model, prompt, token_count):
    """The greedy continuation of `prompt`, without padding rows of the vocabulary."""
    tokens = prompt.tolist()
    for _ in range(GENERATED):
        logits = model(torch.tensor([tokens])).logits[0, -1]
        tokens.append(int(logits[:token_count].argmax()))
    return tokens[len(prompt):]


@torch.no_grad()
def write_case(path, model, token_count, meta):
    model = model.eval()
    generator = torch.Generator().manual_seed(7)
    tokens = torch.randint(0, token_count, (1, LENGTH), generator=generator)
    tensors = {
        "tokens": tokens.to(torch.int32),
        "logits": model(tokens).logits.contiguous(),
        "generated": torch.tensor(greedy(model, tokens[0], token_count), dtype=torch.int32),
    }
    save_file(tensors, path, metadata={"meta": json.dumps(meta)})


def make(folder):
    shape = dict(hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
                 max_position_embeddings=128, initializer_range=0.15, bos_token_id=256, eos_token_id=256)
    small = dict(vocab_size=257, hidden_size=16, num_attention_heads=2, num_key_value_heads=1, tie_word_embeddings=True)
    cases = {
        # More rows than tokens, grouped heads, several files.
        "hf_sharded": (dict(vocab_size=272, num_key_value_heads=2), torch.float32, "60KB"),
        "hf_llama3_tied": (dict(vocab_size=257, num_key_value_heads=1, tie_word_embeddings=True,
                                rope_parameters=dict(rope_type="llama3", rope_theta=10000.0, factor=8.0,
                                                     low_freq_factor=1.0, high_freq_factor=4.0,
                                                     original_max_position_embeddings=32)), torch.bfloat16, "1GB"),
        "hf_linear": (dict(vocab_size=257, hidden_size=16, num_attention_heads=2, num_key_value_heads=2,
                           rope_parameters=dict(rope_type="linear", rope_theta=500.0, factor=4.0)),
                      torch.float32, "1GB"),
        "hf_float16": (dict(vocab_size=257, num_key_value_heads=2), torch.float16, "1GB"),
        # Windows narrower than the sequence: in every layer, and in two of three.
        "hf_sliding": (dict(small, model_type="mistral", sliding_window=7), torch.bfloat16, "1GB"),
        "hf_sliding_layers": (dict(small, model_type="ministral", head_dim=8, sliding_window=5, num_hidden_layers=3,
                                   layer_types=["sliding_attention", "full_attention", "sliding_attention"]),
                              torch.bfloat16, "1GB"),
    }
    for name, (changes, dtype, shard_size) in cases.items():
        torch.manual_seed(sum(name.encode()))
        config = AutoConfig.for_model(**{"model_type": "llama", **shape, **changes})
        model = AutoModelForCausalLM.from_config(config).to(dtype)
        model.save_pretrained(folder / name, max_shard_size=shard_size)
        # Load the saved model: converting a model to bfloat16 would also round its rotary frequencies.
        model = AutoModelForCausalLM.from_pretrained(folder / name, dtype=torch.float32)
        write_case(folder / f"{name}.safetensors", model, 257, {"hugging_face": name, "tokenizer": "bytes"})


def check(program, checkpoint, case):
    with tempfile.TemporaryDirectory() as scratch:
        exported = pathlib.Path(scratch) / "exported"
        subprocess.run([program, "export", checkpoint, exported, "--dtype", "float32", "--max-shard-size", "10MB"],
                       check=True)
        model = AutoModelForCausalLM.from_pretrained(exported, dtype=torch.float32)
        token_count = min(model.config.vocab_size, len(AutoTokenizer.from_pretrained(exported)))  # fewer than rows
    write_case(case, model, token_count, {"checkpoint": str(pathlib.Path(checkpoint).resolve())})


if __name__ == "__main__":
    if len(sys.argv) == 3 and sys.argv[1] == "make":
        make(pathlib.Path(sys.argv[2]))
    elif len(sys.argv) == 5 and sys.argv[1] == "check":
        check(*sys.argv[2:])
    else:
        sys.exit(__doc__)
