"""A false accusation never moves anything: packets get lost, a coordinator stalls, for a long time, on `region` timing."""
from __future__ import annotations

import signal
import time

from lab.processes import send
from tests.e2e.scenario import Stage, scenario

WHOLE_S = 300
CUT_LOSS_S, CUT_STALLS_S = 40, 20
STALL_S, BETWEEN_STALLS_S = 2, 3


@scenario(profile="region", isolated=True)
def a_minute_of_lost_packets_and_of_stalls_moves_nothing(stage: Stage) -> None:
    lose_packets(stage, CUT_LOSS_S)
    stall(stage, CUT_STALLS_S)


@scenario(profile="region", isolated=True, suite="soak")
def five_minutes_of_lost_packets_move_nothing(stage: Stage) -> None:
    lose_packets(stage, WHOLE_S)


@scenario(profile="region", suite="soak")
def five_minutes_of_stalls_move_nothing(stage: Stage) -> None:
    stall(stage, WHOLE_S)


def lose_packets(stage: Stage, seconds: float) -> None:
    stage.lab.network.lose(30)
    keep_still(stage, seconds)
    lost = stage.lab.network.lost_count()
    stage.expect(lost > seconds * 10, f"{lost} packets between the sites were lost on the way")
    stage.lab.network.heal()
    goes_on(stage)


def stall(stage: Stage, seconds: float) -> None:
    """One coordd after the other stands still for two seconds, the primary's own included."""
    deadline, turn = time.monotonic() + seconds, 0
    while time.monotonic() < deadline:
        child = stage.lab.node(("site-a", "site-b", "site-c")[turn % 3]).child
        assert child is not None
        send(signal.SIGSTOP, [child.pid])
        time.sleep(STALL_S)
        send(signal.SIGCONT, [child.pid])
        time.sleep(BETWEEN_STALLS_S)
        turn += 1
    goes_on(stage)


def keep_still(stage: Stage, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        time.sleep(5)
        stage.expect(stage.lab.server("site-b").in_recovery(), f"{deadline - time.monotonic():3.0f} s to go, site-b is a standby")


def goes_on(stage: Stage) -> None:
    stage.direct["site-a"].await_acks(50, stage.lab.a.address, timeout_s=30)
    stage.lab.until(lambda: not stage.operations(), 30, "0 operations")
    stage.nothing_moved()
