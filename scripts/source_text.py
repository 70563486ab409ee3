#!/usr/bin/env python3
"""Writes a training and a validation text from a source tree, files in the order of their paths (docs/experiments.md).

    source_text.py TREE --out DIR      DIR/train.txt and DIR/validation.txt

Neighbouring files in a source tree repeat each other, at distances from a few lines to many files, so a long context
helps. Uses .c and .h files of 500 to 300,000 bytes in UTF-8, without generated register headers. Numbers the folders with
such files from 1 in the order of their paths and skips every third. Folders 4, 13, 22, ... are for validation, the others
for training.
"""
import argparse
import os
import sys
from pathlib import Path

GENERATED = ("_sh_mask.h", "_offset.h", "_d.h", "_default.h")
LARGEST_FOLDER = 1_500_000  # most bytes of validation text from one folder


def text_of(folder, names):
    """Yields the texts of a folder's files."""
    texts = []
    for name in sorted(names):
        path = folder / name
        if not name.endswith((".c", ".h")) or name.endswith(GENERATED) or path.is_symlink():
            continue
        text = path.read_bytes()
        if not 500 <= len(text) <= 300_000:
            continue
        try:
            text.decode("utf-8")
        except UnicodeDecodeError:
            continue
        texts.append(text)
    return b"".join(texts)


def texts_of(tree, train_bytes, validation_bytes):
    """The training text and the validation text, as lists of parts."""
    train, validation, in_train, in_validation, number = [], [], 0, 0, 0
    for folder, names in sorted((folder, names) for folder, _, names in os.walk(tree) if "/asic_reg" not in folder):
        text = text_of(Path(folder), names)
        if not text:
            continue
        number += 1
        if number % 9 == 4 and in_validation < validation_bytes and len(text) < LARGEST_FOLDER:
            validation.append(text)
            in_validation += len(text)
        elif number % 3 != 0 and in_train < train_bytes:
            train.append(text[:train_bytes - in_train])
            in_train += len(text)
    return train, validation


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tree", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--train-bytes", type=int, default=170_000_000, help="largest size of the training text")
    parser.add_argument("--validation-bytes", type=int, default=9_000_000, help="size at which the validation text ends")
    options = parser.parse_args()
    if not options.tree.is_dir():
        sys.exit(f"source_text.py: {options.tree} is not a folder")
    train, validation = texts_of(options.tree, options.train_bytes, options.validation_bytes)
    if not train or not validation:
        sys.exit(f"source_text.py: {options.tree} has too few .c and .h files")
    options.out.mkdir(parents=True, exist_ok=True)
    for name, parts in (("train.txt", train), ("validation.txt", validation)):
        partial = options.out / (name + ".partial")
        partial.write_bytes(b"".join(parts))
        partial.rename(options.out / name)
        print(f"{options.out / name}: {sum(map(len, parts)):,} bytes")


if __name__ == "__main__":
    main()
