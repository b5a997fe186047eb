"""The model: searched exhaustively, and proven to catch what it should. `tests/run model` and `tests/model/run` run it.

Each search is one program, made by spin from lease.pml (which includes promise.pml) and compiled. Depth first with the whole state kept (no hashing away of states) where the claim
must hold; breadth first where a way to something must be found, so that it is the shortest."""
from __future__ import annotations

import argparse
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from tests.model.variants import BROKEN, FIRES, HOLDS, HOLDS_DEEP, NOT_MODELLED, REACHABLE, Bounds
from tests.result import Result

MODEL = Path(__file__).resolve().parent / "lease.pml"
FILES = (MODEL, MODEL.parent / "promise.pml")
SOURCE = MODEL.parent.parent.parent
MEMORY_MIB_MAX = 7500
SEARCH_S_MAX = 1500
DEPTH_MAX = 3_000_000

TRANSITION = re.compile(r"d_step \{ (\w+)\(")
FUNCTIONS = re.compile(r"([\w./]+\.c)((?:\s+\w+)+)")
VIOLATED = re.compile(r"^pan:1: (.*)$", re.MULTILINE)
STATES = re.compile(r"^\s*(\d+) states, stored", re.MULTILINE)
ERRORS = re.compile(r"errors: (\d+)")
MEMORY = re.compile(r"^\s*([\d.]+)\s+total actual memory usage", re.MULTILINE)


@dataclass
class Search:
    violated: str  # empty: the claim holds
    states: int
    memory_mib: float
    seconds: float
    way: list[str]  # to what was found
    trouble: str  # why this is no result at all

    def figures(self) -> str:
        return f"{self.states:,} states, {self.seconds:.1f} s, {self.memory_mib:,.0f} MiB"


def search(defines: list[str], bounds: Bounds, first_way: bool, fires: str = "") -> Search:
    """`first_way`: breadth first, for the shortest way to a violation. `fires`: look for this transition only."""
    with tempfile.TemporaryDirectory(prefix="coord-model-") as name:
        directory = Path(name)
        _make(directory, defines + bounds.defines(), first_way, fires)
        started = time.monotonic()
        arguments = ["-w22"] if first_way else ["-w26", f"-m{DEPTH_MAX}"]
        try:
            ran = subprocess.run(["./pan", *arguments], cwd=directory, capture_output=True, text=True, check=False, timeout=SEARCH_S_MAX,
                                 preexec_fn=lambda: os.nice(10))
        except subprocess.TimeoutExpired:
            return Search("", 0, 0, SEARCH_S_MAX, [], f"no result within {SEARCH_S_MAX} s")
        seconds = time.monotonic() - started
        found, states, errors = VIOLATED.search(ran.stdout), STATES.search(ran.stdout), ERRORS.search(ran.stdout)
        memory = MEMORY.search(ran.stdout)
        # A search that gave up (depth, memory) is no proof of anything.
        partial = re.search(r"max search depth too small|out of memory|-DMEMLIM|Search not completed", ran.stdout)
        if states is None or errors is None or (errors[1] == "0") != (found is None) or (found is None and partial):
            return Search("", 0, 0, seconds, [], "the search broke off:\n" + (ran.stdout + ran.stderr)[-2000:])
        if found and "assertion violated" not in found[1]:
            return Search("", 0, 0, seconds, [], found[1])
        return Search(found[1] if found else "", int(states[1]), float(memory[1]) if memory else 0.0, seconds,
                      _way(directory) if found else [], "")


def _make(directory: Path, defines: list[str], first_way: bool, fires: str) -> None:
    def run(*command: str) -> None:
        done = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)
        # spin tells errors in the model with status 0 now and then.
        if done.returncode != 0 or "Error:" in done.stdout + done.stderr:
            raise ModelError(f"{' '.join(command)}:\n{(done.stdout + done.stderr)[-2000:]}")

    source = MODEL
    if fires:
        source = directory / "fires.pml"
        source.write_text(re.sub(rf"(d_step \{{ {fires}\(.*\); )CLAIM \}}", r"\1assert(false) }", MODEL.read_text(encoding="utf-8")),
                          encoding="utf-8")
    run("gcc", "-E", "-P", "-x", "c", "-iquote", str(MODEL.parent), *defines, "-o", "model.pml", str(source))
    run("spin", "-a", "model.pml")
    # One process: nothing to reduce by partial order.
    how = ["-O0" if fires else "-O1", "-DBFS"] if first_way else ["-O2"]
    run("gcc", *how, "-w", "-DSAFETY", "-DNOFAIR", "-DNOREDUCE", f"-DMEMLIM={MEMORY_MIB_MAX}", "-o", "pan", "pan.c")


def _way(directory: Path) -> list[str]:
    told = subprocess.run(["spin", "-t", "model.pml"], cwd=directory, capture_output=True, text=True, check=False).stdout
    # What the model prints is indented by the process's column; the rest is spin's.
    return [line.strip() for line in told.splitlines() if line.startswith("      ")]


class ModelError(Exception):
    pass


# --- the model and the code name the same things ----------------------------------------------------------------------------------------


def transitions() -> dict[str, list[str]]:
    """Each transition with the comments before it: one that time needs twice is defined twice."""
    comments: dict[str, list[str]] = {}
    for path in FILES:
        for found in re.finditer(r"(/\*(?:(?!\*/).)*\*/)\ninline (\w+)\(", path.read_text(encoding="utf-8"), re.DOTALL):
            comments.setdefault(found[2], []).append(" ".join(line.strip(" */") for line in found[1].splitlines()))
    return {name: comments.get(name, [""]) for name in dict.fromkeys(TRANSITION.findall(MODEL.read_text(encoding="utf-8")))}


def defines_function(path: Path, name: str) -> bool:
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    return any(re.match(rf"[A-Za-z_][\w\s*]*\b{name}\(", line) and not line.rstrip().endswith(";") for line in lines)


def check_names() -> list[str]:
    wrong = []
    for transition, comment in [(name, comment) for name, comments in transitions().items() for comment in comments]:
        if not re.search(r"\b(world|c:)", comment):
            wrong.append(f"{transition}: no comment before it names a C function, nor the world")
        for path, names in FUNCTIONS.findall(comment.partition("c: ")[2]):
            wrong += [f"{transition}: {path} has no function {name}" for name in names.split() if not defines_function(SOURCE / path, name)]
    return wrong


def check_commands() -> list[str]:
    """A command that enters the log is in the model, or in the list of those that are not, with the reason."""
    text = "".join(path.read_text(encoding="utf-8") for path in FILES)
    handlers = re.findall(r"\[COMMAND_\w+\] = (fsm_\w+)", (SOURCE / "coordinator/core/fsm.c").read_text(encoding="utf-8"))
    wrong = [] if handlers else ["coordinator/core/fsm.c: no table of commands found"]
    for name in handlers:
        modelled = re.search(rf"\b{name}\b", text) is not None
        if modelled == (name in NOT_MODELLED):
            wrong.append(f"{name}: {'in the model and in' if modelled else 'neither in the model nor in'} NOT_MODELLED of tests/model/variants.py")
    return wrong


def check_broken_names() -> list[str]:
    used = {name for path in FILES for name in re.findall(r"\bBROKEN_([A-Z]\w+)", path.read_text(encoding="utf-8"))}
    return [f"BROKEN_{name}: only in {'the model' if name in used else 'variants.py'}" for name in sorted(used ^ set(BROKEN))]


# --- running ------------------------------------------------------------------------------------------------------------------------------


class Report:
    def __init__(self) -> None:
        self.result = Result()

    def tell(self, good: bool, name: str, figures: str, lines: list[str]) -> None:
        print(f"{'ok     ' if good else 'FAILED '} {name}{': ' if figures else ''}{figures}", flush=True)
        if good:
            self.result.passed += 1
            return
        self.result.failed.append(f"model: {name}")
        for line in lines[:60]:
            print(f"        {line}")
        sys.stdout.flush()


def run_holds(report: Report, bounds_by_name: dict[str, Bounds]) -> None:
    for name, bounds in bounds_by_name.items():
        found = search([], bounds, first_way=False)
        good = not found.trouble and not found.violated
        report.tell(good, f"holds: {name}", found.trouble or found.figures(), [found.violated])
        if found.violated:
            for line in search([], bounds, first_way=True).way:
                print(f"        {line}")


def check_fires() -> list[str]:
    without_promises = Bounds(epochs=2, switches=2, lowerings=1)
    only_broken = {"node_saves", "node_restarts"}
    found = {name: search([], FIRES.get(name, without_promises), first_way=True, fires=name)
             for name in transitions() if name not in only_broken}
    return [f"{name} never happens {search_.trouble}" for name, search_ in found.items() if "assertion violated 0" not in search_.violated]


def run_reachable(report: Report) -> None:
    for name, goal in REACHABLE.items():
        found = search([f"-DGOAL=({goal.condition})"], goal.bounds, first_way=True)
        report.tell(bool(found.violated), f"reachable: {name}", found.trouble or f"{len(found.way)} steps", ["no way leads there"])


def run_broken(report: Report) -> None:
    for name, broken in BROKEN.items():
        found = search(["-DBROKEN", f"-DBROKEN_{name}"], broken.bounds, first_way=True)
        report.tell(bool(found.violated), f"broken: {name}: {broken.rule}",
                    found.trouble or f"two primaries after {len(found.way)} steps" if found.violated else found.trouble,
                    [f"no counterexample in {found.figures()}"])


def run(deep: bool = False) -> Result:
    report = Report()
    try:
        for name, check in {"every C function that the model names exists": check_names,
                            "every command is in the model, or known not to be": check_commands,
                            "every broken build is in the list": check_broken_names,
                            "every transition can happen": check_fires}.items():
            wrong = check()
            report.tell(not wrong, name, "", wrong)
        run_reachable(report)
        run_broken(report)
        run_holds(report, {**HOLDS, **HOLDS_DEEP} if deep else HOLDS)
    except ModelError as error:
        print(error, file=sys.stderr)
        report.result.failed.append("model: the model or its search cannot be built")
    return report.result


def show(name: str) -> int:
    """The shortest way, step by step."""
    if name in BROKEN:
        found = search(["-DBROKEN", f"-DBROKEN_{name}"], BROKEN[name].bounds, first_way=True)
    elif name in REACHABLE:
        found = search([f"-DGOAL=({REACHABLE[name].condition})"], REACHABLE[name].bounds, first_way=True)
    else:
        print(f"unknown: {name!r}; expected one of {', '.join([*BROKEN, *map(repr, REACHABLE)])}", file=sys.stderr)
        return 2
    print("\n".join(found.way) or found.trouble or "no way leads there")
    return 0 if found.way else 1


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests/model/run", description=__doc__)
    parser.add_argument("--deep", action="store_true", help="search the largest bounds, too: five minutes more, and 3 GiB")
    parser.add_argument("--show", metavar="NAME", help="print the shortest way to a broken build's two primaries, or to what is reachable")
    options = parser.parse_args()
    if options.show:
        return show(options.show)
    result = run(options.deep)
    for name in result.failed:
        print(f"failed: {name}")
    print(result.line())
    return 1 if result.failed or result.passed == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
