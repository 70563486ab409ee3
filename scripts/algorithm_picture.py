#!/usr/bin/env python3
"""Draws docs/lighthouse-attention.svg with gnuplot: a small example of the entries that Lighthouse Attention gathers."""
import pathlib
import subprocess

TOKENS, FACTOR, LEVELS = 64, 4, 3
EXPANDED = {2: [1, 3], 1: [5, 13]}  # the selected entries, top-k = 2 at each level above 0
COLOURS = ["#059669", "#2563eb", "#ea580c"]  # of levels 0, 1, 2
PALE = "#e2e8f0"
TEXT = "#334155"

script = []


def box(left, bottom, right, top, colour):
    script.append(
        f"set object rect from {left + 0.08},{bottom} to {right - 0.08},{top} fc rgb '{colour}' fs solid 1 noborder"
    )


def label(x, y, text, align="left", size=13, colour=TEXT):
    script.append(f"set label '{text}' at {x},{y} {align} font ',{size}' textcolor rgb '{colour}'")


def gathered():
    """(level, index) of every gathered entry, in causal order."""
    entries = [(LEVELS - 1, i) for i in range(TOKENS // FACTOR ** (LEVELS - 1))]
    for level, indices in EXPANDED.items():
        entries += [(level - 1, FACTOR * i + child) for i in indices for child in range(FACTOR)]
    return sorted(entries, key=lambda e: ((e[1] + 1) * FACTOR ** e[0] - 1, e[0]))


def draw_pyramid(entries):
    for level in reversed(range(LEVELS)):
        size, bottom = FACTOR**level, 6.2 + 1.5 * level
        for i in range(TOKENS // size):
            box(i * size, bottom, (i + 1) * size, bottom + 0.8, COLOURS[level] if (level, i) in entries else PALE)
        for i in EXPANDED.get(level, []):
            for side in (0, 1):
                x = (i + side) * size
                script.append(f"set arrow from {x},{bottom} to {x},{bottom - 0.7} nohead dt 2 lc rgb '{TEXT}'")
            if level == LEVELS - 1:
                label((i + 0.5) * size, bottom + 0.4, "expanded", "center", 11, "#ffffff")
        name = "tokens" if level == 0 else f"means of {size} tokens"
        label(-1, bottom + 0.55, f"level {level}", "right")
        label(-1, bottom + 0.2, name, "right", 10)


def draw_gathered(entries):
    width = TOKENS / len(entries)
    for place, (level, _) in enumerate(entries):
        box(place * width, 3.9, (place + 1) * width, 4.7, COLOURS[level])
    label(-1, 4.45, f"{len(entries)} of {TOKENS} rows", "right")
    label(-1, 4.1, "causal order", "right", 10)
    label(32, 5.25, "gather what the scores chose; ordinary causal attention among these", "center")


def draw_scattered(entries):
    label(32, 3.1, "scatter: an entry speaks once all its tokens are past; where levels meet, they are added", "center")
    for level in range(LEVELS):
        size, bottom = FACTOR**level, 0.6 + 0.7 * level
        for i in range(TOKENS // size):
            first = i * size + size - 1
            if (level, i) in entries:
                box(first, bottom, min(first + size, TOKENS), bottom + 0.5, COLOURS[level])
    label(-1, 1.65, "outputs", "right")
    label(-1, 1.3, f"at {TOKENS} positions", "right", 10)
    script.append(f"set arrow from 0,0.25 to {TOKENS},0.25 filled lc rgb '{TEXT}'")
    label(TOKENS, -0.15, "time", "right", 11)


def main():
    target = pathlib.Path(__file__).resolve().parent.parent / "docs" / "lighthouse-attention.svg"
    script.extend(
        [
            "set terminal svg size 900,560 dynamic font 'sans-serif,13' name 'lighthouse' background '#ffffff' noenhanced",
            "unset border\nunset tics\nunset key",
            f"set xrange [-12:{TOKENS + 1}]\nset yrange [-0.4:10.6]",
            "set lmargin 1\nset rmargin 1\nset tmargin 1\nset bmargin 1",
        ]
    )
    entries = gathered()
    draw_pyramid(entries)
    draw_gathered(entries)
    draw_scattered(entries)
    label(32, 10.35, "a pyramid of means; scores choose which entries are expanded (grey: not gathered)", "center")
    script.append("plot NaN notitle\n")
    svg = subprocess.run(["gnuplot", "-"], input="\n".join(script), capture_output=True, text=True, check=True).stdout
    lines = [line.rstrip() for line in svg.splitlines() if line.strip()]
    target.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(f"{target} shows {len(entries)} gathered entries of {TOKENS} tokens")


if __name__ == "__main__":
    main()
