#!/usr/bin/env python3
"""Prints pseudo-random words, the same on every machine, for checks that compare losses: sample_text.py BYTES"""
import random
import sys

size = int(sys.argv[1])
draw = random.Random(1)
syllables = [consonant + vowel for consonant in "bdfgklmnprst" for vowel in "aeiou"]
words = ["".join(draw.choices(syllables, k=draw.randint(1, 4))) for _ in range(2000)]
frequencies = [1 / rank for rank in range(1, len(words) + 1)]
while size > 0:
    line = " ".join(draw.choices(words, frequencies, k=12)).capitalize() + ".\n"
    size -= sys.stdout.write(line)
