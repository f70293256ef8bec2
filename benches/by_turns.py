"""Times something in PyTorch and our own bench of the same by turns: a busy machine slows whichever runs at the time."""

import argparse
import re
import subprocess
import time

import torch


def options(runs):
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=runs)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--ours", nargs="*", default=[], help="paths of our benches; without them only PyTorch is timed")
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    torch.manual_seed(0)
    return chosen


def least_ms(call, runs):
    times = []
    with torch.inference_mode():
        for _ in range(runs):
            start = time.perf_counter()
            call()
            times.append(1e3 * (time.perf_counter() - start))
    return min(times)


def ours_ms(executables, bench):
    line = bench.split("::")[-1]
    for executable in executables:
        output = subprocess.run([executable, "--bench", bench], capture_output=True, text=True, check=True).stdout
        if found := re.search(rf"─ {line}\s+([\d.]+) (ms|s)\b", output):
            number, unit = found.groups()
            return float(number) * (1e3 if unit == "s" else 1)
    raise SystemExit(f"{bench} is in none of: {' '.join(executables)}")


def compare(name, call, bench, chosen):
    """Prints the fastest run of each, and their ratio."""
    theirs, own = [], []
    for _ in range(chosen.rounds):
        theirs.append(least_ms(call, chosen.runs))
        own += [ours_ms(chosen.ours, bench)] if chosen.ours else []
    line = f"{name}: least {min(theirs):.1f} ms"
    if own:
        line += f"; this program {min(own):.1f} ms; ratio {min(own) / min(theirs):.2f}"
    print(line, flush=True)
