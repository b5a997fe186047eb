"""Coordinators die in the middle of an operation, or too many of them: an operation is finished, and nothing moves without need."""
from __future__ import annotations

import time

from lab.network import SITES
from tests.e2e.scenario import Failed, Stage, scenario


def now_us() -> int:
    return time.monotonic_ns() // 1000


@scenario()
def an_operation_survives_its_leader_killed_before_the_point_of_no_return(stage: Stage) -> None:
    kill_leader_at(stage, "operation")


@scenario()
def an_operation_survives_its_leader_killed_after_the_point_of_no_return(stage: Stage) -> None:
    kill_leader_at(stage, "promote")


def kill_leader_at(stage: Stage, kind: str) -> None:
    """The leader (c1) dies at that event, with site-a already lost, and comes back a second later: only then is there a majority."""
    lab = stage.lab
    stage.follow("site-c")
    killed_us = lab.with_nothing_under_way(lab.a.kill)
    seen = stage.await_event(kind, killed_us)
    lab.node("site-c").kill()
    stage.say(f"  the leader was killed {(now_us() - seen.at_us) / 1e3:.0f} ms after `{seen.text}`")
    time.sleep(1)
    lab.node("site-c").start()
    stage.moved()
    stage.expect(len(stage.operations()) == 1, "one operation, begun by one leader and finished by the next")
    stage.counts(lost=0)


@scenario()
def an_operation_survives_the_restart_of_all_three_nodes(stage: Stage) -> None:
    lab = stage.lab
    stage.follow("site-c")
    killed_us = lab.with_nothing_under_way(lab.a.kill_postgres)
    stage.await_event("operation", killed_us)
    for site in SITES:
        lab.node(site).kill()
    time.sleep(0.5)
    stage.restart_nodes()
    stage.moved()
    stage.expect(len(stage.operations()) == 1, "the operation that was begun is the one that ended")
    stage.counts(lost=0)


@scenario()
def nothing_moves_when_the_witness_dies(stage: Stage) -> None:
    lab = stage.lab
    lab.node("site-c").kill()
    died_us = now_us()
    time.sleep(8)
    stage.nothing_moved()
    moments = [died_us] + [ack.acknowledged_us for ack in stage.direct["site-a"].acks() if ack.acknowledged_us > died_us]
    gap = max(later - earlier for earlier, later in zip(moments, moments[1:]))
    stage.expect(now_us() - moments[-1] < 1_000_000 and gap < 2_000_000, f"site-a went on writing, longest pause {gap / 1e6:.2f} s")
    lab.node("site-c").start()
    lab.await_leader()
    stage.nothing_moved()


@scenario()
def nothing_moves_without_a_quorum(stage: Stage) -> None:
    """site-a may close when its lease ends; it goes on as soon as there is a majority again, and site-b never takes over."""
    lab = stage.lab
    for site in ("site-b", "site-c"):
        lab.node(site).kill()
    time.sleep(8)
    stage.expect(lab.server("site-b").in_recovery(), "site-b is still a standby without a quorum")
    stage.restart_nodes(("site-b", "site-c"))
    lab.await_leader()
    try:
        stage.direct["site-a"].await_acks(50, lab.a.address, timeout_s=20)
    except Exception as error:
        raise Failed(f"expected: site-a accepts writes again: {error}; {stage.lab.node('site-c').ctl_text('why', 'app')}") from error
    stage.expect(True, "site-a accepts writes again")
    time.sleep(3)
    stage.nothing_moved()


@scenario()
def nothing_moves_when_the_primarys_own_coordinator_dies(stage: Stage) -> None:
    """Its lease ends, and with it the writes; nobody may call the site down: its database and its application answer."""
    lab = stage.lab
    lab.node("site-a").kill()
    time.sleep(4)
    lab.node("site-a").start()
    stage.direct["site-a"].await_acks(200, lab.a.address)
    time.sleep(2)
    stage.nothing_moved()
