"""Many seeds of the whole cluster, from the release build, on every core; the closing line says how much time was simulated and how fast."""
from __future__ import annotations

import concurrent.futures
import os
import re
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from lab.build import build
from tests.result import Result

SOURCE = Path(__file__).resolve().parents[2]
SEEDS = 2000  # when nobody says how many
CHUNK = 250  # seeds of one process: large worlds are rare, and no core waits for another for long

CLOSING = re.compile(r"^(\d+) seeds, (\d+) failed; ([\d.]+) simulated hours", re.MULTILINE)


@dataclass
class Chunk:
    seeds: str
    count: int
    hours: float
    failed: bool
    said: str


def run_chunk(program: Path, first: int, last: int) -> Chunk:
    seeds = f"{first}..{last}"
    done = subprocess.run([str(program), "--seeds", seeds], capture_output=True, text=True, errors="replace", check=False)
    closing = CLOSING.search(done.stdout)
    return Chunk(seeds, int(closing[1]) if closing else 0, float(closing[3]) if closing else 0.0, done.returncode != 0 or not closing,
                 done.stderr + done.stdout)


def run(count: int = SEEDS) -> Result:
    program = build(SOURCE, "release", ("sim_world",)) / "tests/sim_world"
    started = time.monotonic()
    result = Result()
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        chunks = list(pool.map(lambda first: run_chunk(program, first, min(first + CHUNK - 1, count)), range(1, count + 1, CHUNK)))
    for chunk in chunks:
        if chunk.failed:  # it stopped at the first seed that fails, and said how to see it again
            print(f"- sim_world {chunk.seeds}\n{chunk.said[-6000:]}", flush=True)
            result.add(Result(failed=[f"sim: seeds {chunk.seeds}"]))
        else:
            result.add(Result(passed=1))
    elapsed_s = time.monotonic() - started
    hours = sum(chunk.hours for chunk in chunks)
    print(f"- sim_world: {sum(chunk.count for chunk in chunks)} seeds, {hours:.1f} simulated hours in {elapsed_s:.0f} s "
          f"({hours / elapsed_s:.2f} hours per second)", flush=True)
    return result
