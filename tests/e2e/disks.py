"""Coordinators on disks that lose power, fail, fill up and hang: the node stops and says why, its cluster goes on, and the service does not move."""
from __future__ import annotations

import random
import time
from contextlib import contextmanager
from typing import Iterator

from lab import disk
from lab.disk import FaultDisk
from lab.processes import LabError
from tests.e2e.scenario import Skipped, Stage, scenario

EXIT_FATAL = 42
COMMANDS = 8  # of a person, before each power loss


@contextmanager
def fault_disks(stage: Stage) -> Iterator[dict[str, FaultDisk]]:
    """Moves the directory of each node onto a disk of its own, one node after the other."""
    if not disk.possible():
        raise Skipped("FUSE is not to be had here: /dev/fuse, and root")
    lab, disks = stage.lab, {}
    try:
        for node in lab.nodes:
            lab.processes.end(node.child)
            disks[node.name] = FaultDisk(lab.processes, node, lab.build / "tests/faultfs")
            start(node)
            lab.await_leader()
        lab.await_leader_at(lambda leader: leader == "c1")
        yield disks
    finally:
        for each in disks.values():
            each.close()


def start(node) -> None:
    since = node.log.stat().st_size
    node.start()
    node.await_log("event=started ", since)


@scenario()
def a_coordinator_whose_disk_fails_ends_and_nothing_moves(stage: Stage) -> None:
    lab = stage.lab
    with fault_disks(stage) as disks:
        for name, wrong in (("c1", "EIO"), ("b1", "ENOSPC"), ("c1", "EROFS")):
            since = lab.node(name).log.stat().st_size
            disks[name].fail(wrong)
            expect_end(stage, name, since, wrong)
            come_back(stage, disks[name])
        hang(stage, disks["c1"])
        stage.direct["site-a"].await_acks(50, lab.a.address)
        stage.nothing_moved()


def expect_end(stage: Stage, name: str, since: int, wrong: str) -> None:
    node = stage.lab.node(name)
    code = node.exit_code(15)
    said = [line for line in node.log.read_text(encoding="utf-8")[since:].splitlines() if "event=fatal " in line]
    stage.expect(code == EXIT_FATAL and len(said) == 1 and str(node.directory / "coord") in said[0],
                 f"{wrong}: {name} ends with {code}: {said[0].split('reason=')[-1] if said else 'without a word'}")
    stage.lab.until(lambda: stage.lab.node("site-a").leader() not in (None, name), 15, f"a leader without {name}")


def come_back(stage: Stage, mended: FaultDisk) -> None:
    mended.mend()
    start(mended.node)
    stage.lab.await_leader()
    stage.lab.await_leader_at(lambda leader: leader == "c1")


def hang(stage: Stage, slow: FaultDisk) -> None:
    """The kernel keeps a process whose write hangs until the disk answers; its cluster does not wait for it."""
    node, since = slow.node, slow.node.log.stat().st_size
    slow.order("hang")
    stage.lab.until(lambda: stage.lab.node("site-a").leader() not in (None, node.name), 15, f"a leader without {node.name}")
    time.sleep(6)  # longer than the node itself waits for its disk
    slow.order("go")
    expect_end(stage, node.name, since, "hang")
    come_back(stage, slow)


@scenario()
def no_command_is_forgotten_when_all_coordinators_lose_power(stage: Stage) -> None:
    lab, lost = stage.lab, [0, 0]
    seed = random.SystemRandom().randrange(1, 10**6)
    stage.say(f"  seed {seed}")
    with fault_disks(stage) as disks:
        applied = Applied(stage, random.Random(seed))
        for _ in range(3):
            applied.some()
            for node in lab.nodes:
                node.kill()
            for each in disks.values():
                pages, names = each.order(f"power-loss {applied.chance.randrange(1, 10**6)}").split()[1:]
                lost = [lost[0] + int(pages), lost[1] + int(names)]
            for node in lab.nodes:
                start(node)
            lab.await_leader()
            applied.expect_known()
        writes, syncs, direct = (int(number) for number in disks["c1"].order("counts").split()[1:])
        stage.expect(syncs > 0 and direct > 0, f"{lost[0]} pages and {lost[1]} names were lost; c1 wrote {writes} times, {direct} of them past the "
                     f"cache, and synced {syncs} times")
        lab.await_ready(serving=False)
        stage.direct["site-a"].await_acks(50, lab.a.address)
        stage.nothing_moved()


class Applied:
    """Changes of the services file, each another; every acknowledged one has raised the configuration's version by one."""

    def __init__(self, stage: Stage, chance: random.Random) -> None:
        self.stage, self.lab, self.chance = stage, stage.lab, chance
        self.number, self.before, self.acknowledged = 0, self.version(), 0

    def version(self) -> int:
        return self.lab.node("site-b").ctl("status")["cluster"]["config_version"]

    def next(self) -> list[str]:
        """The command's words behind coordctl."""
        self.number += 1
        file = self.lab.work / f"services.{self.number}.yaml"
        text = self.lab.services_file.read_text(encoding="utf-8")
        file.write_text(text.replace("max_lag_seconds: 10", f"max_lag_seconds: {10 + self.number}"), encoding="utf-8")
        return ["apply", "-f", str(file)]

    def some(self) -> None:
        """Through any node; one more is under way when this returns."""
        for _ in range(COMMANDS):
            try:
                self.chance.choice(self.lab.nodes).ctl_text(*self.next())
                self.acknowledged += 1
            except LabError:
                pass  # unknown: it need not be there
        node = self.chance.choice(self.lab.nodes)
        self.lab.processes.start("caller", node.ctl_argv(*self.next()), node.log.parent / "callers.log")
        time.sleep(self.chance.random() * 0.02)

    def expect_known(self) -> None:
        wanted = self.before + self.acknowledged
        self.lab.until(lambda: self.version() >= wanted, 10, f"configuration {wanted} at b1")
        self.stage.expect(self.acknowledged >= COMMANDS // 2, f"{self.acknowledged} commands were acknowledged, none is forgotten (configuration "
                          f"{self.version()})")
