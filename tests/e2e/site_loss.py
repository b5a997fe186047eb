"""The primary's site is lost: killed, frozen, without its database, or cut off from everybody while it lives."""
from __future__ import annotations

import time

from tests.e2e.scenario import Stage, scenario


@scenario()
def a_killed_site_is_replaced_and_its_old_server_refuses(stage: Stage) -> None:
    lab = stage.lab
    lab.with_nothing_under_way(lab.a.kill)
    stage.moved()
    lab.server("site-a").start()
    stage.expect(not lab.server("site-a").in_recovery(), "the old server came up read-write, started by hand")
    stage.old_server_refuses()
    lab.node("site-a").start()
    lab.await_leader()
    stage.old_server_refuses()
    stage.counts(lost=0)


@scenario()
def a_frozen_site_is_replaced_and_acknowledges_nothing_when_it_resumes(stage: Stage) -> None:
    lab = stage.lab
    lab.with_nothing_under_way(lab.a.freeze)
    stage.moved()
    lab.a.resume()
    stage.old_server_refuses()
    stage.counts(lost=0)


@scenario()
def a_site_without_its_database_is_replaced(stage: Stage) -> None:
    lab = stage.lab
    lab.with_nothing_under_way(lab.a.kill_postgres)
    stage.moved()
    lab.server("site-a").start()
    stage.old_server_refuses()
    stage.counts(lost=0)


@scenario()
def a_kill_in_the_middle_of_writes_loses_at_most_what_was_under_way(stage: Stage) -> None:
    """Asynchronous replication: the standby may lack the last instants, and the report says so; nothing is ever acknowledged twice."""
    lab = stage.lab
    killed_us = lab.a.kill()
    stage.moved()
    counted = stage.counts(lost=None)
    rows = {row[0] for row in lab.server("site-b").execute("SELECT id FROM ledger")}
    old = [ack for writer in lab.writers for ack in writer.acks() if ack.id not in rows]
    stage.expect(all(killed_us - ack.acknowledged_us < 500_000 for ack in old),
                 f"all {counted.lost} lost writes were acknowledged in the last half second")


@scenario(isolated=True)
def a_site_cut_off_alive_is_replaced_and_stays_closed_when_healed(stage: Stage) -> None:
    lab = stage.lab
    inside = lab.sql_writer("site-a", inside=True, threads=1)
    inside.await_acks(20)
    # An answer that is under way at the cut arrives when the network has healed: acknowledged before, received after. None is under way here.
    lab.with_nothing_under_way(lambda: lab.network.cut("site-a"))
    cut_us = time.monotonic_ns() // 1000
    stage.moved()
    first = min(ack.acknowledged_us for ack in stage.direct["site-b"].acks())
    late = [ack for ack in inside.acks() if ack.acknowledged_us > cut_us]
    stage.expect(bool(late), f"its own clients were served for {(late[-1].acknowledged_us - cut_us) / 1e6:.2f} s more, until its lease ended")
    stage.expect(late[-1].acknowledged_us < first, f"{(first - late[-1].acknowledged_us) / 1e6:.2f} s before the first write at site-b")
    lab.network.heal()
    time.sleep(2)
    stage.old_server_refuses()
    counted = stage.counts(lost=None)
    stage.expect(counted.lost <= len(late), f"only writes of the cut-off site are lost: {counted.lost} of {len(late)}")
