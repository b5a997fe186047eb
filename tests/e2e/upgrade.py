"""A rolling upgrade: the nodes get a newer coordd one by one, under writes, and what is too old then stops by itself."""
from __future__ import annotations

import shutil
import signal
import threading

from lab.coord import CtlError
from lab.network import SITES
from tests.e2e.scenario import Stage, scenario

NEXT = "coordd_next"  # the same program, of cluster version 2


def replace(stage: Stage, site: str, program: str) -> int:
    """Ends the node's coordd as a service manager does and starts another program; gives where its log goes on."""
    node = stage.lab.node(site)
    logged = node.log.stat().st_size
    assert node.child is not None
    stage.lab.processes.end(node.child, signal.SIGTERM)
    node.program = program
    node.start()
    return logged


class Operator:
    """A person whose commands go through the log all the time; each must succeed, whoever leads."""

    def __init__(self, stage: Stage, site: str) -> None:
        self.node, self.done, self.failed = stage.lab.node(site), 0, []
        self.ending = threading.Event()
        self.thread = threading.Thread(target=self.work)
        self.thread.start()

    def work(self) -> None:
        while not self.ending.is_set():
            try:
                self.node.ctl_text("resume", "app")
                self.done += 1
            except CtlError as error:
                self.failed.append(str(error))

    def end(self) -> None:
        self.ending.set()
        self.thread.join()


def version(stage: Stage) -> int:
    return stage.lab.node("site-a").ctl("status")["cluster"]["version"]


@scenario()
def the_nodes_are_upgraded_one_by_one_and_an_older_one_stops(stage: Stage) -> None:
    lab = stage.lab
    shutil.copy2(lab.build / "tests" / NEXT, lab.work / "bin" / NEXT)
    for number, site in enumerate(SITES):
        stage.expect(version(stage) == 1, f"the cluster version is 1 with {number} of {len(SITES)} nodes upgraded")
        operator = Operator(stage, "site-b") if site == "site-c" else None  # the leader hands over
        logged = replace(stage, site, NEXT)
        lab.node(site).await_log("event=acting", logged)
        if operator is not None:
            lab.await_leader_at(lambda leader: leader == "c1")
            operator.end()
            stage.expect(operator.done > 0 and not operator.failed,
                         f"{operator.done} commands of an operator meanwhile, none failed {operator.failed[:1]}")
    lab.until(lambda: version(stage) == 2, 10, "cluster version 2")
    stage.expect(True, "the cluster version is 2 when every node knows it")
    logged = replace(stage, "site-b", "coordd")
    lab.node("site-b").await_log("cluster version 2, and this coordd reads up to 1", logged)
    lab.until(lambda: not lab.node("site-b").alive(), 10, "the older coordd has ended")
    stage.expect("upgrade it" in lab.node("site-b").log.read_text(encoding="utf-8")[logged:], "an older coordd says so and ends")
    lab.node("site-b").child = None
    lab.node("site-b").program = NEXT
    logged = lab.node("site-b").log.stat().st_size
    lab.node("site-b").start()
    lab.node("site-b").await_log("event=acting", logged)
    lab.await_ready()
    stage.nothing_moved()
    stage.expect(lab.node("site-a").service()["epoch"] == 1, "the lease was renewed all the time: the primary was never closed")
