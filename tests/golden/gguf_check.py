#!/usr/bin/env python3
"""Checks that llama.cpp reads an export and that its outputs agree with lighthouse's.

  gguf_check.py LIGHTHOUSE CHECKPOINT CONVERTER CASE   exports a checkpoint in float32, converts it to GGUF with
      llama.cpp's CONVERTER (its convert_hf_to_gguf.py), compares the text of `lighthouse generate --temperature 0` with
      llama.cpp's, and writes a case with which `lighthouse-golden CASE` compares the checkpoint's logits and tokens. If
      the vocabulary has rows without a token, llama.cpp may generate one of them; lighthouse does not.

Needs: pip install llama-cpp-python numpy safetensors, and the converter's packages (torch, transformers, gguf).
"""
import itertools
import json
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
from llama_cpp import Llama
from safetensors.numpy import save_file

FLOAT32 = 0  # in ggml's enumeration of types
PROMPTS = ["Light", "The meaning of the word", "  two  spaces\nand a line", "h\u00e9llo \u2013 \U0001f680", "1, 2; 3\n\n"]
GENERATED = 24


def logits_and_greedy(model, prompt):
    """The logits after each token of the prompt, and the greedy continuation."""
    model.reset()
    model.eval(prompt)
    logits = model.scores[:len(prompt)].copy()
    tokens = []
    for _ in range(GENERATED):
        tokens.append(int(np.argmax(model.scores[model.n_tokens - 1])))
        model.eval(tokens[-1:])
    return logits, tokens


def text_of(model, tokens):
    """Tokens up to end of text, where `lighthouse generate` stops."""
    tokens = list(itertools.takewhile(lambda token: token != model.token_eos(), tokens))
    return b"".join(model.detokenize([token], prev_tokens=tokens[:1]) for token in tokens)


def main(program, checkpoint, converter, case):
    with tempfile.TemporaryDirectory() as scratch:
        exported, gguf = pathlib.Path(scratch) / "exported", pathlib.Path(scratch) / "model.gguf"
        subprocess.run([program, "export", checkpoint, exported, "--dtype", "float32"], check=True)
        subprocess.run([sys.executable, converter, exported, "--outfile", gguf, "--outtype", "f32"], check=True)
        model = Llama(str(gguf), n_ctx=0, logits_all=True, type_k=FLOAT32, type_v=FLOAT32, verbose=False)
        differing = 0
        for prompt in PROMPTS:
            tokens = model.tokenize(prompt.encode())
            logits, generated = logits_and_greedy(model, tokens)
            theirs = text_of(model, tokens + generated)
            ours = subprocess.run([program, "generate", checkpoint, "--prompt", prompt, "--temperature", "0",
                                   "--max-tokens", str(GENERATED)], check=True, stdout=subprocess.PIPE).stdout
            same = ours.removesuffix(b"\n") == theirs.removesuffix(b"\n")
            differing += not same
            print(f"{'same     ' if same else 'DIFFERENT'}  {len(tokens):3} tokens  {prompt!r}")
            if not same:
                print(f"    lighthouse: {ours}\n    llama.cpp:  {theirs}")
        save_file({"tokens": np.array([tokens], np.int32), "logits": logits[None], "generated":
                   np.array(generated, np.int32)}, case,
                  metadata={"meta": json.dumps({"checkpoint": str(pathlib.Path(checkpoint).resolve())})})
        model.close()
    return differing > 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]) if len(sys.argv) == 5 else __doc__)
