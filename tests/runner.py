"""Behind tests/run: which kind needs which build, in which order, and the closing line."""
from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Callable

from lab.build import PROGRAMS, BuildFailed, build
from tests import programs, tidy
from tests.fuzz import fuzzing
from tests.model import check as model
from tests.result import Result
from tests.sim import mutants, seeds

SOURCE = Path(__file__).resolve().parent.parent
PYTHON = "/usr/bin/python3"
FUZZ_S, FUZZ_SHORT_S = 60, 5  # for each program
SOAK_CUT = (1, 1)  # minutes and seed of the soak that is part of e2e


def run_e2e(only: str) -> Result:
    built = build(SOURCE, "release", (*PROGRAMS, "coordd_next", "lab_relay", "faultfs"))
    report = built / f"{only}.result"
    report.unlink(missing_ok=True)
    command = [PYTHON, "-m", "tests.e2e", "--build", str(built), "--result", str(report), "--set", only]
    ended = subprocess.run(command, cwd=SOURCE, check=False).returncode
    if not report.exists():
        return Result(failed=[f"{only}: the runner ended with {ended} and no result"])
    passed, skipped, *failed = report.read_text(encoding="utf-8").splitlines()
    return Result(int(passed), int(skipped), failed)


def run_soak(minutes: float, seed: int | None) -> Result:
    built = build(SOURCE, "release", (*PROGRAMS, "lab_relay"))
    command = [PYTHON, "-m", "tests.soak", "--build", str(built), "--minutes", str(minutes)]
    if seed is not None:
        command += ["--seed", str(seed)]
    ended = subprocess.run(command, cwd=SOURCE, check=False).returncode
    return Result(passed=1) if ended == 0 else Result(failed=["soak"])


def run_quickstart() -> Result:
    """The main job, as a person starts it."""
    print("- the quickstart does what it says", flush=True)
    done = subprocess.run([str(SOURCE / "quickstart"), "--json"], cwd=SOURCE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          check=False)
    try:
        answer = json.loads(done.stdout)
        good = done.returncode == 0 and answer["ok"] and answer["writes"]["lost"] == 0 and answer["writes"]["split_brain"] == 0
    except (ValueError, KeyError, TypeError):
        good = False
    if good:
        print(f"  ok {answer['elapsed_s']:.1f} s, the service was back after {answer['phases_ms']['total'] / 1000:.2f} s", flush=True)
        return Result(passed=1)
    print(f"  FAILED with {done.returncode}\n{done.stderr[-4000:]}{done.stdout}", flush=True)
    return Result(failed=["e2e: quickstart"])


def run_tidy() -> Result:
    return tidy.run(SOURCE, build(SOURCE, "release", PROGRAMS))


def run_bench() -> Result:
    built = build(SOURCE, "release", PROGRAMS)
    ended = subprocess.run([str(SOURCE / "tests/bench/failover"), "--build", str(built)], cwd=SOURCE, check=False).returncode
    return Result(passed=1) if ended == 0 else Result(failed=["bench: failover"])


def run_programs(kind: str) -> Result:
    return programs.run_kind(build(SOURCE, "debug"), kind)


def run_sim(count: int) -> Result:
    return run_programs("sim").plus(seeds.run(count))


KINDS: dict[str, Callable[[], Result]] = {
    "unit": lambda: run_programs("unit"),
    "sim": lambda: run_sim(seeds.SEEDS),
    "mutants": mutants.run,
    "integration": lambda: run_programs("integration"),
    "e2e": lambda: run_quickstart().plus(run_e2e("e2e")).plus(run_soak(*SOAK_CUT)),
    "tidy": run_tidy,
    "model": model.run,
    "bench": run_bench,
    "network": lambda: run_e2e("network"),
    "fuzz": lambda: fuzzing.run(FUZZ_S),
    "fuzz-short": lambda: fuzzing.run(FUZZ_SHORT_S),
}
DEFAULT = ("unit", "sim", "integration", "e2e", "tidy")


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests/run", description=__doc__)
    kinds = dict(KINDS, soak=lambda: run_soak(options.minutes, options.seed), sim=lambda: run_sim(options.seeds))
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=f"one of {', '.join(kinds)}; default: {' '.join(DEFAULT)}")
    parser.add_argument("--minutes", type=float, default=30, help="of soak (default: 30)")
    parser.add_argument("--seeds", type=int, default=seeds.SEEDS, help=f"of sim, in the release build (default: {seeds.SEEDS})")
    parser.add_argument("--seed", type=int, help="of soak (default: another one each time, printed)")
    options = parser.parse_args()
    wrong = [kind for kind in options.kinds if kind not in kinds]
    if wrong:
        parser.error(f"unknown kind {wrong[0]!r}; expected one of {', '.join(kinds)}")
    total = Result()
    for kind in options.kinds or DEFAULT:
        started = time.monotonic()
        print(f"=== {kind}", flush=True)
        try:
            result = kinds[kind]()
        except BuildFailed as error:
            print(error, file=sys.stderr)
            result = Result(failed=[f"{kind}: the build"])
        print(f"{kind}: {result.line()} in {time.monotonic() - started:.0f} s", flush=True)
        total.add(result)
    for name in total.failed:
        print(f"failed: {name}")
    print(total.line())
    return 1 if total.failed or total.passed == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
