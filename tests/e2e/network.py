"""The network between the sites is bad in every way that lab/relay.c knows: one direction is cut, two sites do not see each other, packets
are lost, late, doubled and out of order, a link comes and goes. Short in e2e, each for minutes in `tests/run network`.

What is bad and no loss of a site moves nothing, and costs the clients at the primary not one refused write while its lease can be renewed.
"""
from __future__ import annotations

import time
from typing import Callable

from lab.ledger import Writer
from tests.e2e.scenario import Stage, scenario

FLAP_S = 3
LONG_S, FLAPPING_LONG_S = 60, 180


@scenario(isolated=True)
def a_site_that_hears_nobody_is_replaced(stage: Stage) -> None:
    replaced(stage, stage.lab.network.deafen)


@scenario(isolated=True)
def a_site_that_nobody_hears_is_replaced(stage: Stage) -> None:
    replaced(stage, stage.lab.network.mute)


def replaced(stage: Stage, break_it: Callable[[str], None]) -> None:
    """The site lives and its own clients go on writing, until its lease has ended; then the other takes over, and this one stays closed."""
    lab = stage.lab
    inside = inside_writer(stage)
    outside = (stage.client, stage.direct["site-a"])
    for writer in outside:
        writer.hold()
    break_it("site-a")
    broken_us = time.monotonic_ns() // 1000
    # An answer that cannot leave would arrive when all is over: the application's client gives up waiting for it, the other one would not.
    stage.client.release()
    stage.moved()
    late = [ack for ack in inside.acks() if ack.acknowledged_us > broken_us]
    lab.network.heal()
    stage.direct["site-a"].release()
    time.sleep(1)
    stage.old_server_refuses(2)
    counted = stage.counts(lost=None)
    stage.expect(counted.lost <= len(late), f"only writes of the site that was cut off are lost: {counted.lost} of {len(late)}")


@scenario(profile="region", isolated=True)
def a_bad_network_moves_nothing(stage: Stage) -> None:
    """The short cut of all those below, in one lab."""
    for bad, seconds in ((apart, 5), (slow, 6), (shuffled, 4), (lossy, 6)):
        bad(stage, seconds)
        stage.lab.network.heal()
    stage.nothing_moved()


@scenario(profile="region", isolated=True, suite="network")
def two_sites_that_do_not_see_each_other_move_nothing(stage: Stage) -> None:
    apart(stage, LONG_S)
    stage.nothing_moved()


@scenario(isolated=True, suite="network")
def a_primary_that_reaches_only_the_other_site_is_renewed_by_way_of_it(stage: Stage) -> None:
    """The leader is at site-c: b1, which sees both, hands the renewals on."""
    unharmed(stage, 15, "site-a and site-c did not see each other", lambda: stage.lab.network.cut_between("site-a", "site-c"), "cut")
    stage.lab.node("site-b").await_log("event=promise_refused service=app node=a1 epoch=1 reason=leader_known")
    stage.lab.network.heal()
    goes_on(stage)
    stage.nothing_moved()


@scenario(profile="region", isolated=True, suite="network")
def a_delay_of_200_ms_with_jitter_moves_nothing(stage: Stage) -> None:
    slow(stage, LONG_S)
    stage.nothing_moved()


@scenario(profile="region", isolated=True, suite="network")
def packets_twice_and_out_of_order_move_nothing(stage: Stage) -> None:
    shuffled(stage, LONG_S)
    stage.nothing_moved()


@scenario(profile="region", isolated=True, suite="network")
def thirty_percent_loss_moves_nothing(stage: Stage) -> None:
    lossy(stage, LONG_S)
    stage.nothing_moved()


@scenario(profile="region", isolated=True, suite="network")
def three_minutes_of_a_link_that_comes_and_goes_move_nothing(stage: Stage) -> None:
    flapping(stage, FLAPPING_LONG_S)
    stage.nothing_moved()


@scenario(isolated=True, suite="network")
def three_minutes_of_a_link_that_comes_and_goes_move_the_service_at_most_once(stage: Stage) -> None:
    """On metro timing three seconds are a lost site. The service moves, and then stays where it is, whatever the link does: `lockout`."""
    flapping(stage, FLAPPING_LONG_S)
    stage.moved()
    stage.expect(len(stage.operations()) == 1, "one operation")
    stage.counts(lost=None)


def apart(stage: Stage, seconds: float) -> None:
    """The standby falls behind, and both sites see the witness."""
    unharmed(stage, seconds, "site-a and site-b did not see each other", lambda: stage.lab.network.cut_between("site-a", "site-b"), "cut")


def slow(stage: Stage, seconds: float) -> None:
    unharmed(stage, seconds, "200 ms of delay with 50 ms of jitter",
             lambda: stage.lab.network.shape_sites(delay_ms=200, jitter_ms=50), "delayed")


def shuffled(stage: Stage, seconds: float) -> None:
    unharmed(stage, seconds, "10 % of the packets twice, 10 % out of order",
             lambda: stage.lab.network.shape_sites(duplicate=10, reorder=10), "reordered")


def lossy(stage: Stage, seconds: float) -> None:
    """A renewal may be late by several of TCP's patiences: the guard may close for a moment."""
    harm(stage, seconds, lambda: stage.lab.network.shape_sites(loss=30), "lost")
    stage.lab.network.heal()
    goes_on(stage)
    stage.expect(not stage.operations(), f"{seconds:g} s of 30 % loss: no operation")


def flapping(stage: Stage, seconds: float) -> None:
    """The primary's site is cut off and healed, for FLAP_S each."""
    lab, deadline = stage.lab, time.monotonic() + seconds
    lab.with_nothing_under_way(lambda: lab.network.cut("site-a"))
    while time.monotonic() < deadline:
        lab.network.cut("site-a")
        time.sleep(FLAP_S)
        lab.network.heal()
        time.sleep(FLAP_S)
    stage.say(f"  {seconds:g} s of a link that was cut every {2 * FLAP_S} s for {FLAP_S} s")


def unharmed(stage: Stage, seconds: float, what: str, begin: Callable[[], None], counter: str) -> None:
    """Nothing moves, no lease ends, and no client inside the primary's site is refused."""
    epoch = stage.lab.node("site-c").service()["epoch"]
    inside = inside_writer(stage)
    harm(stage, seconds, begin, counter)
    acknowledged, refused = len(inside.acks()), inside.stop()
    stage.expect(refused == 0, f"{seconds:g} s of {what}: {acknowledged} writes at site-a acknowledged, {refused} refused")
    stage.expect(stage.lab.node("site-c").service()["epoch"] == epoch, "its lease never ended")
    stage.expect(not stage.operations(), "no operation was started")


def harm(stage: Stage, seconds: float, begin: Callable[[], None], counter: str) -> None:
    network = stage.lab.network
    before = network.counts()
    begin()
    time.sleep(seconds)
    after = network.counts()
    stage.expect(after[counter] > before[counter], f"{after[counter] - before[counter]} packets {counter} of "
                 f"{after['passed'] - before['passed']}")


def goes_on(stage: Stage) -> None:
    stage.direct["site-a"].await_acks(50, stage.lab.a.address, timeout_s=30)


def inside_writer(stage: Stage) -> Writer:
    inside = stage.lab.sql_writer("site-a", inside=True, threads=1)
    inside.await_acks(20)
    return inside
