"""A coordinator that stalls now and then is no false accusation: on `region` timing nothing moves."""
from __future__ import annotations

import signal
import time

from lab.network import SITES
from lab.processes import send
from tests.e2e.network import goes_on
from tests.e2e.scenario import Stage, scenario

LONG_S, CUT_S = 300, 20
STALL_S, BETWEEN_STALLS_S = 2, 3


@scenario(profile="region")
def twenty_seconds_of_stalls_move_nothing(stage: Stage) -> None:
    stall(stage, CUT_S)


@scenario(profile="region", suite="network")
def five_minutes_of_stalls_move_nothing(stage: Stage) -> None:
    stall(stage, LONG_S)


def stall(stage: Stage, seconds: float) -> None:
    """One coordd after the other stands still for two seconds, the primary's own included."""
    deadline, turn = time.monotonic() + seconds, 0
    while time.monotonic() < deadline:
        child = stage.lab.node(SITES[turn % 3]).child
        assert child is not None
        send(signal.SIGSTOP, [child.pid])
        time.sleep(STALL_S)
        send(signal.SIGCONT, [child.pid])
        time.sleep(BETWEEN_STALLS_S)
        turn += 1
    goes_on(stage)
    stage.lab.until(lambda: not stage.operations(), 30, "0 operations")
    stage.nothing_moved()
