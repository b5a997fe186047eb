"""Builds the fuzz programs (preset `fuzz`) and runs each for N seconds over what is kept in tests/fuzz/corpus/TARGET and what earlier runs on
this machine found (build/fuzz/corpus/TARGET). A row per target, and one closing line. An input that breaks a program is left in
build/fuzz/findings, with the command that shows it again.

--keep  afterwards, the smallest set of inputs with the same coverage is put into tests/fuzz/corpus, to be committed.
"""
from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from lab.build import BuildFailed, build
from tests.result import Result

SOURCE = Path(__file__).resolve().parent.parent.parent
HERE = SOURCE / "tests/fuzz"
CORPUS = HERE / "corpus"
KEPT_INPUT_BYTES_MAX = 8192
LIMITS = ("-timeout=20", "-rss_limit_mb=2048")
STATUS = re.compile(r"cov: (\d+) ft: \d+ corp: (\d+)/(\S+)")
EXECUTED = re.compile(r"stat::number_of_executed_units: *(\d+)")
LEFT = re.compile(r"Test unit written to (\S+)")


@dataclass
class Row:
    target: str
    executed: int = 0
    covered: int = 0
    inputs: int = 0
    wrong: str = ""
    found: list[Path] = field(default_factory=list)


def targets() -> list[str]:
    """Every program of fuzz.cmake has its file."""
    return sorted(path.stem.removeprefix("fuzz_") for path in HERE.glob("fuzz_*.c") if "LLVMFuzzerTestOneInput" in path.read_text())


def environment() -> dict[str, str]:
    return {**os.environ, "ASAN_OPTIONS": "abort_on_error=1:handle_abort=1", "UBSAN_OPTIONS": "print_stacktrace=1"}


def run_target(built: Path, target: str, seconds: int) -> Row:
    row = Row(target)
    grown, kept, findings = built / "corpus" / target, CORPUS / target, built / "findings"
    for path in (grown, findings):
        path.mkdir(parents=True, exist_ok=True)
    program, words = built / "tests" / f"fuzz_{target}", HERE / "dict" / f"{target}.dict"
    command = [str(program), f"-max_total_time={seconds}", "-print_final_stats=1", *LIMITS, f"-artifact_prefix={findings}/{target}-"]
    command += [f"-dict={words}"] if words.exists() else []
    command += [str(grown), *([str(kept)] if kept.exists() else [])]
    with tempfile.TemporaryDirectory(prefix="coord-fuzz-") as folder:
        done = subprocess.run(command, cwd=folder, env={**environment(), "TMPDIR": folder}, stdin=subprocess.DEVNULL, capture_output=True,
                              text=True, errors="replace", check=False, preexec_fn=lambda: os.nice(10))
    log = findings / f"{target}.log"
    log.write_text(done.stdout + done.stderr, encoding="utf-8")
    seen = STATUS.findall(done.stderr)
    executed = EXECUTED.search(done.stderr)
    if seen:
        row.covered, row.inputs = int(seen[-1][0]), int(seen[-1][1])
    row.executed = int(executed[1]) if executed else 0
    row.found = [Path(path) for path in LEFT.findall(done.stderr)]
    if done.returncode != 0:
        row.wrong = f"ended with {done.returncode}"
    elif row.executed == 0:
        row.wrong = "executed nothing"
    if row.wrong:
        print(f"--- {target} {row.wrong}; the end of its output (all of it: {log})")
        print("\n".join(done.stderr.splitlines()[-40:]))
        for path in row.found:
            print(f"    again: {program} {path}", flush=True)
    return row


def keep(built: Path, target: str) -> None:
    """The inputs that are worth their place, smallest first, replace what was kept."""
    program, kept = built / "tests" / f"fuzz_{target}", CORPUS / target
    with tempfile.TemporaryDirectory(prefix="coord-fuzz-") as folder:
        merged, small = Path(folder) / "merged", Path(folder) / "small"
        merged.mkdir()
        small.mkdir()
        for source in (kept, built / "corpus" / target):
            for path in source.iterdir() if source.exists() else ():
                if path.stat().st_size <= KEPT_INPUT_BYTES_MAX:
                    shutil.copyfile(path, small / path.name)
        subprocess.run([str(program), "-set_cover_merge=1", "-use_counters=0", *LIMITS, str(merged), str(small)], cwd=folder, env={**environment(), "TMPDIR": folder},
                       stdin=subprocess.DEVNULL, capture_output=True, check=True)
        if not any(merged.iterdir()):
            return
        shutil.rmtree(kept, ignore_errors=True)
        shutil.copytree(merged, kept)


def run(seconds: int, only: list[str] | None = None, keeping: bool = False) -> Result:
    known = targets()
    wrong = [target for target in only or () if target not in known]
    if wrong:
        raise SystemExit(f"unknown target {wrong[0]!r}; expected one of {', '.join(known)}")
    built = build(SOURCE, "fuzz")
    result = Result()
    print(f"{'target':<18}{'executed':>10}{'covered':>9}{'inputs':>8}")
    for target in only or known:
        row = run_target(built, target, seconds)
        print(f"{target:<18}{row.executed:>10}{row.covered:>9}{row.inputs:>8}{'  FAILED' if row.wrong else ''}", flush=True)
        if row.wrong:
            result.failed.append(f"fuzz: {target}")
            continue
        result.passed += 1
        if keeping:
            keep(built, target)
    return result


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests/fuzz/run", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=60, help="for each target (default 60)")
    parser.add_argument("--keep", action="store_true", help="put the inputs worth keeping into tests/fuzz/corpus")
    parser.add_argument("targets", nargs="*", metavar="TARGET")
    options = parser.parse_args()
    try:
        result = run(options.seconds, options.targets, options.keep)
    except BuildFailed as error:
        print(error, file=sys.stderr)
        result = Result(failed=["fuzz: the build"])
    for name in result.failed:
        print(f"failed: {name}")
    print(result.line())
    return 1 if result.failed or result.passed == 0 else 0
