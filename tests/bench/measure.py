"""One failover, measured by clients that know nothing of the coordinators."""
from __future__ import annotations

import signal
import statistics
import time
from dataclasses import dataclass

from lab.coord import CoordNode
from lab.ledger import Writer
from lab.processes import LabError, send
from lab.sites import Lab

CASES = ("kill_site", "freeze_site", "postgres_alone")
PLACES = ("leader_elsewhere", "leader_at_site_a")
PATIENCE_S = 40


@dataclass
class Sample:
    postgres_s: float
    client_s: float
    lost: int
    split_brain: int


def summary(samples: list[Sample]) -> dict:
    postgres, client = [s.postgres_s for s in samples], [s.client_s for s in samples]
    return {"postgres_s": postgres, "postgres_median_s": round(statistics.median(postgres), 3), "client_s": client,
            "client_median_s": round(statistics.median(client), 3), "lost": sum(s.lost for s in samples),
            "split_brain": sum(s.split_brain for s in samples)}


def one_failover(lab: Lab, case: str, place: str) -> Sample:
    lab.start_databases()
    lab.start_coordinators()
    lab.await_ready(serving=False)
    lab.a.appctl("start")
    client = lab.http_writer(threads=4)
    direct = [lab.sql_writer(site, threads=1, pause_ms=5) for site in ("site-a", "site-b")]
    client.await_acks(30, lab.a.address)
    lab.await_ready()
    time.sleep(2)
    if place == "leader_elsewhere":
        lab.await_leader_at(lambda leader: leader in ("b1", "c1"))
    else:
        lead_from_site_a(lab)
    lost_us = {"kill_site": lab.a.kill, "freeze_site": lab.a.freeze, "postgres_alone": lab.a.kill_postgres}[case]()
    postgres_s = first_write(lab, direct[1], lost_us)
    client_s = first_write(lab, client, lost_us)
    if case == "freeze_site":
        lab.a.resume()
    else:
        lab.server("site-a").start()
    time.sleep(3)
    counted = lab.count()
    return Sample(round(postgres_s, 3), round(client_s, 3), counted.lost, counted.split_brain)


def lead_from_site_a(lab: Lab) -> None:
    """Leadership leaves the primary's site by itself, so a1 leads only for a moment: c1 is killed and b1 stands still until a1 asks for
    its vote; then c1 comes back, and as soon as it follows a1 the moment is there."""
    a, b, c = (lab.node(site) for site in ("site-a", "site-b", "site-c"))
    for _ in range(20):
        assert b.child is not None
        send(signal.SIGSTOP, [b.child.pid])
        c.kill()
        time.sleep(0.7)
        send(signal.SIGCONT, [b.child.pid])
        elected = leads(a, "a1", 2)
        c.start()
        if elected and leads(c, "a1", 2) and a.leader() == "a1":
            return
        lab.await_leader()
        lab.await_ready()
        time.sleep(1)
    raise LabError("a1 was not elected in twenty attempts")


def leads(node: CoordNode, name: str, patience_s: float) -> bool:
    deadline = time.monotonic() + patience_s
    while time.monotonic() < deadline:
        if node.leader() == name:
            return True
        time.sleep(0.01)
    return False


def first_write(lab: Lab, writer: Writer, since_us: int) -> float:
    deadline = time.monotonic() + PATIENCE_S
    while True:
        acks = [ack.acknowledged_us for ack in writer.acks() if ack.server == lab.b.address]
        if acks:
            return (acks[0] - since_us) / 1e6
        if time.monotonic() > deadline:
            raise LabError(f"no write acknowledged at site-b within {PATIENCE_S} s")
        time.sleep(0.05)
