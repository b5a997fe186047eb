"""A rolling upgrade: the nodes get a newer coordd one by one, under writes, and what is too old then stops by itself."""
from __future__ import annotations

import shutil
import signal

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


def version(stage: Stage) -> int:
    return stage.lab.node("site-a").ctl("status")["cluster"]["version"]


@scenario()
def the_nodes_are_upgraded_one_by_one_and_an_older_one_stops(stage: Stage) -> None:
    lab = stage.lab
    shutil.copy2(lab.build / "tests" / NEXT, lab.work / "bin" / NEXT)
    for number, site in enumerate(SITES):
        stage.expect(version(stage) == 1, f"the cluster version is 1 with {number} of {len(SITES)} nodes upgraded")
        logged = replace(stage, site, NEXT)
        lab.node(site).await_log("event=acting", logged)
    lab.until(lambda: version(stage) == 2, 10, "cluster version 2")
    stage.expect(True, "the cluster version is 2 when every node knows it")
    logged = replace(stage, "site-b", "coordd")
    lab.node("site-b").await_log("cluster version 2, and this coordd reads up to 1", logged)
    lab.until(lambda: not lab.node("site-b").alive(), 10, "the older coordd has ended")
    stage.expect("upgrade it" in lab.node("site-b").log.read_text(encoding="utf-8")[logged:], "an older coordd says so and ends")
    lab.node("site-b").child = None
    lab.node("site-b").program = NEXT
    lab.node("site-b").start()
    lab.await_ready()
    stage.nothing_moved()
    stage.expect(lab.node("site-a").service()["epoch"] == 1, "the lease was renewed all the time: the primary was never closed")
