"""One site of three dies and its service moves to another, on this machine, with nothing pretended in the path.

site-a: PostgreSQL 15 primary and an application · site-b: streaming standby, the application stopped · site-c: witness · one coordd
each · Knot, outside the sites, is the authority for the service's name · a client writes to that name without pause.
site-a is killed whole. Ends with a table of what was measured; exit code 0 only if all of it really happened.
"""
from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

from lab import screen
from lab.build import PROGRAMS, BuildFailed, build
from lab.failover_story import FailoverStory
from lab.outcome import Outcome
from lab.processes import LabError, leave_on_signals
from lab.sites import Lab

SOURCE = Path(__file__).resolve().parent.parent


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./quickstart", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object on standard output; progress goes to standard error")
    parser.add_argument("--keep", action="store_true", help="leave it running, say how to use it and how to break it; Ctrl-C ends it")
    parser.add_argument("--work-dir", type=Path, metavar="DIR", help="an empty or new directory that the user postgres can reach "
                        "(default: a new one in /tmp)")
    parser.add_argument("--started", type=int, default=int(time.time()), help=argparse.SUPPRESS)
    return parser.parse_args()


def become_root() -> None:
    """The lab runs servers as several users; building needs none of that and has been done as whoever called."""
    if os.geteuid() != 0:
        if shutil.which("sudo") is None:
            raise LabError("needs root: run it as root, or install sudo")
        environment = [f"PYTHONPATH={SOURCE}", "PYTHONDONTWRITEBYTECODE=1"]
        os.execvp("sudo", ["sudo", "env", *environment, sys.executable, "-m", "lab.quickstart", *sys.argv[1:]])


def work_directory(wanted: Path | None) -> Path:
    if wanted is None:
        return Path(tempfile.mkdtemp(prefix="coord-quickstart-", dir="/tmp"))
    directory = wanted.absolute()
    if directory.exists() and any(directory.iterdir()):
        raise LabError(f"{directory} is not empty: choose another --work-dir")
    directory.mkdir(parents=True, exist_ok=True)
    return directory


def tidy_up(work: Path) -> None:
    """What a reader may want stays: the report and the logs."""
    for path in work.iterdir():
        if path.name not in ("log", "report.json", "report.txt", "services.yaml"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def keep_running(lab: Lab, operation: int | None) -> None:
    shortcut = lab.work / "coordctl"
    shortcut.write_text(f'#!/bin/sh\nexec {" ".join(lab.node("site-b").ctl_argv())} "$@"\n', encoding="utf-8")
    shortcut.chmod(0o755)
    a, b, c = (lab.node(site) for site in ("site-a", "site-b", "site-c"))
    postgres_b = lab.server("site-b").child
    screen.write(f"""
  It is running. Use it from another terminal (as root):
    {shortcut} status
    {shortcut} why app
    {shortcut} events -f
    {shortcut} incidents
    {shortcut} report {operation}
    {shortcut} apply -f {lab.services_file}
  Break it:
    kill -9 {c.child.pid if c.child else "?"}          the witness coordd (c1): nothing moves
    kill -STOP {b.child.pid if b.child else "?"}       coordd of site-b (b1) hangs; kill -CONT lets it go on
    kill -9 {postgres_b.pid if postgres_b else "?"}          PostgreSQL of site-b: no standby is left, and `why app` says so
  coordd of site-a (a1, pid {a.child.pid if a.child else "?"}) runs again; its PostgreSQL is up, and its guard stays closed.
  Everything is below {lab.work}. Ctrl-C here ends all of it.
""")
    while True:
        time.sleep(1)
        lab.processes.reap()


def run(options: argparse.Namespace, work: Path, built: Path) -> Outcome:
    with Lab(work, built, source=SOURCE, say=screen.step) as lab:
        story = FailoverStory(lab)
        story.prepare()
        story.kill_site()
        story.follow()
        story.start_old_server_by_hand()
        outcome = story.outcome(time.time() - options.started)
        (work / "report.json").write_text(json.dumps(outcome.as_dict(), indent=2) + "\n", encoding="utf-8")
        screen.write(outcome.table())
        if options.json:
            print(json.dumps(outcome.as_dict()), flush=True)
        if options.keep:
            story.return_old_coordinator()
            keep_running(lab, outcome.operation)
    return outcome


def main() -> int:
    options = parse()
    leave_on_signals()
    work = None
    try:
        built = build(SOURCE, "release", PROGRAMS)
        become_root()
        work = work_directory(options.work_dir)
        screen.begin(options.started)
        outcome = run(options, work, built)
        tidy_up(work)
        return 0 if outcome.complete() else 1
    except KeyboardInterrupt:
        if work is not None:
            tidy_up(work)
        screen.write("\n  ended by Ctrl-C; nothing is left running")
        return 130
    except (LabError, BuildFailed) as error:
        screen.write(f"\nquickstart failed: {error}" + (f"\n(everything is in {work})" if work else ""))
        if options.json:
            print(json.dumps({"ok": False, "error": str(error), "work_dir": str(work)}))
        return 1


if __name__ == "__main__":
    sys.exit(main())
