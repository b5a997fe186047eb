"""The whole real system under random faults, with repairs between them: `/usr/bin/python3 -m tests.soak [--minutes 30] [--seed N]`.

Three sites in network namespaces on metro timing; coordinators, databases and whole sites are killed, stopped and continued, links cut in
both directions or one, lossy, late or disordered; the leader dies in the middle. Clients write all the time, and after each round every
acknowledged write is held against the primary's rows: none may be lost beyond the policy or acknowledged by two primaries, and the service
may not have moved without need.
"""
from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
import time
import traceback
from collections import defaultdict
from pathlib import Path

from lab.processes import leave_on_signals
from lab.sites import Lab
from tests.e2e.__main__ import describe, tails
from tests.result import Result
from tests.soak.faults import ALL, MOVES, STAYS, Fault
from tests.soak.judge import Broken, Judge, Round
from tests.soak.world import World

SOURCE = Path(__file__).resolve().parent.parent.parent
TIMING = {"lockout": "1s"}  # the next fault is at most seconds away
BACKGROUNDS: dict[str, dict[str, int]] = {
    "": {}, "2 % lost": {"loss": 2}, "15 ms late": {"delay_ms": 15, "jitter_ms": 10}, "doubled, disordered": {"duplicate": 5, "reorder": 5},
}


def play(world: World, judge: Judge, chosen: Fault, number: int) -> Round:
    lab = world.lab
    background = world.random.choice([*BACKGROUNDS, ""])
    lab.network.shape_sites(**BACKGROUNDS[background])
    time.sleep(world.random.uniform(0, 1))
    played = Round(number, chosen.name, background, world.primary, time.monotonic_ns() // 1000)
    chosen.act(world)
    played.rejoined = world.settle()
    played.new, played.operations = world.primary, world.fresh_operations()
    lab.processes.reap()
    moves = [each for each in played.operations if each["past_no_return"]]
    if chosen.expects == STAYS and played.operations:
        raise Broken(f"unexpected operation: {played.operations[-1]['reason'] or played.operations[-1]}")
    if len(moves) != (1 if played.moved else 0):
        raise Broken(f"{len(moves)} operations moved the service from {played.old} to {played.new}")
    if chosen.expects == MOVES and not played.moved:
        raise Broken(f"the service has not moved from {played.old}")
    judge.look(played, lambda: {row[0] for row in lab.server(played.new).execute("SELECT id FROM ledger")}, world.site(played.old).address,
               world.site(played.new).address, chosen.lossless)
    return played


def told(played: Round, started: float) -> str:
    seconds = time.monotonic() - started
    what = f"moved to {played.new} after {played.moved_after_s:.2f} s" if played.moved else "stays"
    more = [f"{played.lost} lost" if played.lost else "", f"{played.late} late answers" if played.late else "", played.rejoined,
            f"background: {played.background}" if played.background else ""]
    return (f"  {int(seconds) // 60:3}:{int(seconds) % 60:02}  {played.number:3}  {played.fault:44} {what}; "
            f"{played.acknowledged} acknowledged" + "".join(f", {text}" for text in more if text))


def table(rounds: list[Round]) -> str:
    by_fault: dict[str, list[Round]] = defaultdict(list)
    for played in rounds:
        by_fault[played.fault].append(played)
    lines = [f"  {'fault':44} {'times':>5} {'moved':>5} {'longest, s':>10} {'lost':>5}"]
    for name in sorted(by_fault):
        of_it = by_fault[name]
        moved = [played.moved_after_s for played in of_it if played.moved_after_s is not None]
        lines.append(f"  {name:44} {len(of_it):5} {len(moved):5} {f'{max(moved):.2f}' if moved else '-':>10} {sum(p.lost for p in of_it):5}")
    return "\n".join(lines)


def run(world: World, minutes: float, only: str) -> list[Round]:
    world.open()
    judge = Judge(world.lab.writers)
    started, rounds, bag = time.monotonic(), [], []
    while time.monotonic() - started < minutes * 60:
        if not bag:
            bag = [each for each in ALL if only in each.name]
            world.random.shuffle(bag)
        chosen = bag.pop()
        try:
            rounds.append(play(world, judge, chosen, len(rounds) + 1))
        except Exception:
            world.say(f"in round {len(rounds) + 1}: {chosen.name}")
            raise
        world.say(told(rounds[-1], started))
    compare(world)
    print(table(rounds), flush=True)
    return rounds


def compare(world: World) -> None:
    """In the end both servers hold the same."""
    for writer in world.lab.writers:
        writer.hold()
    primary, standby = world.lab.server(world.primary), world.lab.server(world.standby)
    primary.await_replayed(standby)
    same = [server.execute("SELECT count(*), sum(id) FROM ledger") for server in (primary, standby)]
    if same[0] != same[1]:
        raise Broken(f"primary and standby differ: {same}")


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests.soak", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=Path, default=SOURCE / "build/release")
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1, 10**6))
    parser.add_argument("--only", default="", metavar="WORDS", help="the faults whose name contains this")
    options = parser.parse_args()
    leave_on_signals()
    work = Path(tempfile.mkdtemp(prefix="coord-soak-", dir="/tmp"))
    print(f"- soak: {options.minutes:g} minutes, seed {options.seed}", flush=True)
    with Lab(work, options.build, source=SOURCE, isolated=True, timing=TIMING) as lab:
        try:
            rounds = run(World(lab, random.Random(options.seed), lambda text: print(text, flush=True)), options.minutes, options.only)
        except Exception as error:
            frames = "".join(traceback.format_tb(error.__traceback__)[-3:])
            print(f"{describe(lab)}\n  FAILED with seed {options.seed}: {error}\n{frames}{tails(work)}  (all logs: {work}/log)", flush=True)
            print(Result(failed=["soak"]).line())
            return 1
    shutil.rmtree(work)
    acknowledged, lost = sum(each.acknowledged for each in rounds), sum(each.lost for each in rounds)
    print(f"  seed {options.seed}: {len(rounds)} faults, {sum(each.moved for each in rounds)} failovers and moves, {acknowledged} writes "
          f"acknowledged, {lost} lost within the policy, 0 beyond it, 0 acknowledged by two primaries, 0 unexpected moves")
    print(Result(passed=1).line())
    return 0


if __name__ == "__main__":
    sys.exit(main())
