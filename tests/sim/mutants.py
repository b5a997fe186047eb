"""Breaks one safety check at a time in a copy of its source file, links the simulator anew, and looks for the first seed that finds it.
A mutant that is not found is a hole in the simulator, or a check that nothing needs: both want a look. `tests/run mutants` runs all;
python3 -m tests.sim.mutants NAME... only those. The table that it prints stands in docs/simulation.md."""
from __future__ import annotations

import argparse
import concurrent.futures
import json
import re
import shlex
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from lab.build import build
from tests.result import Result
from tests.sim.mutations import BY_FAILSAFE, BY_RAFT_ROOM, BY_SEEDS, COVERED, WHY_COVERED, Mutant

SOURCE = Path(__file__).resolve().parents[2]
SEEDS_MAX = 2000
JOBS = 2
BY_TEST = {"test_raft_room": BY_RAFT_ROOM, "test_failsafe": BY_FAILSAFE}
RUN_S_MAX = 900

FIRST = re.compile(r"^seed (\d+) failed: (.*)$", re.MULTILINE)
FAILED_TEST = re.compile(r"^\[  FAILED  \] (\w+)$", re.MULTILINE)


class Stale(Exception):
    """The sources have no such text any more: the mutant must follow them."""


@dataclass
class Found:
    seed: str  # of sim_world; "-" for a test that fails; empty: not found
    by: str  # what failed


def edited(name: str, mutant: Mutant) -> dict[str, str]:
    """The files that it changes, as they are then."""
    files: dict[str, str] = {}
    for file, text, replacement in mutant.edits:
        content = files.get(file) or (SOURCE / file).read_text(encoding="utf-8")
        pattern = r"\s*".join(re.escape(word) for word in text.split())
        files[file], count = re.subn(pattern, lambda _: replacement, content)  # pylint: disable=cell-var-from-loop
        if count != 1:
            raise Stale(f"{name}: {file} has {count} times, not once: {text!r}")
    return files


def stale() -> list[str]:
    """What of the mutants does not fit the sources any more."""
    wrong = []
    for name, mutant in {**BY_SEEDS, **BY_RAFT_ROOM, **BY_FAILSAFE, **COVERED}.items():
        try:
            edited(name, mutant)
        except Stale as why:
            wrong.append(str(why))
    return wrong


class Linker:
    """Compiles a changed file as the build does, and links it before the libraries that hold the unchanged one."""

    def __init__(self, built: Path) -> None:
        self.built = built
        database = json.loads((built / "compile_commands.json").read_text(encoding="utf-8"))
        self.compile = {str(Path(entry["file"]).relative_to(SOURCE)): shlex.split(entry["command"])
                        for entry in database if Path(entry["file"]).is_relative_to(SOURCE)}

    def object_of(self, file: str, content: str, folder: Path) -> Path:
        changed = folder / Path(file).name
        changed.write_text(content, encoding="utf-8")
        command = list(self.compile[file])
        command[command.index("-o") + 1] = str(changed.with_suffix(".o"))
        command[-1] = str(changed)
        command[-2:-2] = ["-w", "-iquote", str((SOURCE / file).parent)]
        subprocess.run(command, cwd=self.built, check=True)
        return changed.with_suffix(".o")

    def program(self, target: str, objects: list[Path], folder: Path) -> Path:
        said = subprocess.run(["ninja", "-t", "commands", target], cwd=self.built, check=True, capture_output=True, text=True).stdout
        line = said.strip().splitlines()[-1]
        command = shlex.split(line.split("&&")[1] if "&&" in line else line)
        at = command.index("-o")
        command[at + 1] = str(folder / "mutant")
        command[at:at] = [str(path) for path in objects]
        subprocess.run(command, cwd=self.built, check=True)
        return folder / "mutant"


def by_seeds(program: Path) -> Found:
    done = subprocess.run([str(program), "--seeds", f"1..{SEEDS_MAX}"], capture_output=True, text=True, errors="replace", timeout=RUN_S_MAX, check=False)
    first = FIRST.search(done.stderr)
    if first:
        return Found(first.group(1), first.group(2))
    if done.returncode < 0:
        return Found("?", f"ended by signal {-done.returncode}: {done.stderr.strip().splitlines()[-1:]}")
    return Found("", "")


def by_test(program: Path) -> Found:
    done = subprocess.run([str(program)], capture_output=True, text=True, errors="replace", timeout=RUN_S_MAX, check=False)
    failed = sorted(set(FAILED_TEST.findall(done.stdout + done.stderr)))
    return Found("-" if done.returncode else "", ", ".join(failed) or f"ended with {done.returncode}")


def search(linker: Linker, name: str, mutant: Mutant) -> Found:
    with tempfile.TemporaryDirectory(prefix="coord-mutant-") as made:
        folder = Path(made)
        objects = [linker.object_of(file, content, folder) for file, content in edited(name, mutant).items()]
        for test, mutants in BY_TEST.items():
            if name in mutants:
                return by_test(linker.program(f"tests/{test}", objects, folder))
        return by_seeds(linker.program("tests/sim_world", objects, folder))


def row(name: str, mutant: Mutant, found: Found) -> str:
    seed = found.seed or "NOT FOUND"
    return f"| `{name}` | {mutant.what} | {seed} | {found.by} |"


def run(names: list[str] | None = None) -> Result:
    every = {**BY_SEEDS, **BY_RAFT_ROOM, **BY_FAILSAFE, **COVERED}
    wanted = names or [name for name in every if name not in COVERED]
    wrong = stale()
    if wrong:
        return Result(failed=[f"mutants: {why}" for why in wrong])
    linker = Linker(build(SOURCE, "release", ("sim_world", *BY_TEST)))
    result = Result()
    print("| mutant | what it breaks | first seed | what finds it |\n|---|---|---|---|", flush=True)
    with concurrent.futures.ThreadPoolExecutor(JOBS) as pool:
        searches = {name: pool.submit(search, linker, name, every[name]) for name in wanted}
        for name, pending in searches.items():
            try:
                found = pending.result()
            except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as broken:
                result.add(Result(failed=[f"mutants: {name}: {broken}"]))
                continue
            print(row(name, every[name], found), flush=True)
            if bool(found.seed) == (name not in COVERED):
                result.add(Result(passed=1))
            else:
                result.add(Result(failed=[f"mutants: {name} is {'found' if found.seed else 'not found in ' + str(SEEDS_MAX) + ' seeds'}"]))
    return result


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests.sim.mutants", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="; ".join(f"{name}: covered, {why}" for name, why in WHY_COVERED.items()))
    options = parser.parse_args()
    result = run(options.names)
    for name in result.failed:
        print(f"failed: {name}")
    print(result.line())
    return 1 if result.failed else 0


if __name__ == "__main__":
    sys.exit(main())
