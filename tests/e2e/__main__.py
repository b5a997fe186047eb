"""Runs scenarios on real parts: `/usr/bin/python3 -m tests.e2e --build build/release [--set e2e|network] [WORD...]`.

A WORD picks the scenarios whose name contains it. A scenario that fails shows the end of each log and keeps its work directory.
"""
from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
import traceback
from pathlib import Path

from lab.processes import leave_on_signals
from lab.sites import Lab
from tests.e2e import by_hand, coordinators, disks, failsafe, members, network, site_loss, stalls, upgrade  # noqa: F401  (they register their scenarios)
from tests.e2e.scenario import ALL, Scenario, Skipped, Stage
from tests.result import Result

SOURCE = Path(__file__).resolve().parent.parent.parent
LOG_LINES = 12


def run(scenario: Scenario, build: Path) -> Result:
    print(f"- {scenario.name.replace('_', ' ')}", flush=True)
    work = Path(tempfile.mkdtemp(prefix="coord-e2e-", dir="/tmp"))
    started = time.monotonic()
    said: list[str] = []
    try:
        with Lab(work, build, source=SOURCE, profile=scenario.profile, isolated=scenario.isolated, mode=scenario.mode,
                 timing=scenario.timing, nodes=scenario.nodes, first=scenario.first) as lab:
            stage = Stage(lab, said.append)
            try:
                stage.open()
                scenario.act(stage)
            except Skipped:
                raise
            except Exception:
                said.append(describe(lab))
                raise
    except Skipped as why:
        print(f"  skipped: {why}", flush=True)
        shutil.rmtree(work)
        return Result(skipped=1)
    except Exception as error:
        print("\n".join(said))
        frames = "".join(traceback.format_tb(error.__traceback__)[-2:])
        print(f"  FAILED after {time.monotonic() - started:.1f} s: {error}\n{frames}{tails(work)}  (all logs: {work}/log)", flush=True)
        return Result(failed=[f"e2e: {scenario.name}"])
    shutil.rmtree(work)
    print("\n".join(said + [f"  ok {time.monotonic() - started:.1f} s"]), flush=True)
    return Result(passed=1)


def describe(lab: Lab) -> str:
    """What coordctl says at the moment of a failure."""
    for site in ("site-b", "site-c", "site-a"):
        if site in lab.sites and lab.node(site).alive():
            try:
                return lab.node(site).ctl_text("why", "app", timeout_s=5)
            except Exception as error:
                return f"  (coordctl at {site}: {error})"
    return "  (no coordd is running)"


def tails(work: Path) -> str:
    text = ""
    for log in sorted((work / "log").glob("*.log")):
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-LOG_LINES:]
        if lines and not log.name.startswith("writer"):
            text += f"  --- {log.name}\n" + "".join(f"  {line[:220]}\n" for line in lines)
    return text


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests.e2e", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=Path, default=SOURCE / "build/release")
    parser.add_argument("--set", default="e2e", choices=("e2e", "network"))
    parser.add_argument("--result", type=Path)
    parser.add_argument("words", nargs="*", metavar="WORD")
    options = parser.parse_args()
    leave_on_signals()
    chosen = [found for found in ALL if found.suite == options.set and all(word in found.name for word in options.words)]
    total = Result()
    for found in chosen:
        total.add(run(found, options.build))
    if options.result:
        options.result.write_text("\n".join([str(total.passed), str(total.skipped), *total.failed]) + "\n", encoding="utf-8")
    print(total.line())
    return 1 if total.failed or not chosen else 0


if __name__ == "__main__":
    sys.exit(main())
