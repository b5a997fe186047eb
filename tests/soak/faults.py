"""What happens to the lab in a soak: one fault a round, each with what the service must do about it (on metro timing).

MOVES: the primary's site is lost to the others, or a person moves the service. STAYS: whatever it is, it is no loss of the primary.
MAY: on the edge of the timing; either is right, the ledger judges.
"""
from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Callable

from tests.soak.world import World

MOVES, STAYS, MAY = "moves", "stays", "may move"


@dataclass(frozen=True)
class Fault:
    name: str
    expects: str
    lossless: bool
    act: Callable[[World], None]


ALL: list[Fault] = []


def fault(expects: str, lossless: bool = False) -> Callable:
    """Registers a function; its name, with spaces, is the fault's. `lossless`: not one acknowledged write may be lost."""
    def register(act: Callable[[World], None]) -> Callable[[World], None]:
        ALL.append(Fault(act.__name__.replace("_", " "), expects, lossless, act))
        return act
    return register


@fault(MOVES)
def site_of_the_primary_killed(w: World) -> None:
    w.site(w.primary).kill()
    leader_dies_too(w)
    w.await_moved()
    old_server_started_by_hand(w)


@fault(MOVES)
def site_of_the_primary_frozen(w: World) -> None:
    w.site(w.primary).freeze()
    w.await_moved()
    w.site(w.primary).resume()
    w.sleep(0.5, 3)


@fault(MOVES)
def database_of_the_primary_killed(w: World) -> None:
    w.site(w.primary).kill_postgres()
    w.await_moved()
    old_server_started_by_hand(w)


@fault(MOVES)
def site_of_the_primary_cut_off(w: World) -> None:
    w.lab.network.cut(w.primary)
    leader_dies_too(w)
    w.await_moved()


@fault(MOVES)
def site_of_the_primary_hears_nobody(w: World) -> None:
    w.lab.network.deafen(w.primary)
    w.await_moved()


@fault(MOVES)
def site_of_the_primary_heard_by_nobody(w: World) -> None:
    w.lab.network.mute(w.primary)
    w.await_moved()


@fault(MOVES, lossless=True)
def a_person_moves_the_service(w: World) -> None:
    w.someone().ctl_text("promote", w.standby, "-s", "app", timeout_s=60)
    w.await_moved()


@fault(STAYS)
def coordinator_of_the_primary_killed(w: World) -> None:
    w.lab.node(w.primary).kill()
    w.sleep(0.2, 4)
    w.lab.node(w.primary).start()


@fault(STAYS)
def coordinator_elsewhere_killed(w: World) -> None:
    node = w.lab.node(w.random.choice([w.standby, w.witness]))
    node.kill()
    w.sleep(0.2, 6)
    node.start()


@fault(STAYS)
def leader_killed(w: World) -> None:
    site = w.leader_site()
    if site is not None:
        w.lab.node(site).kill()
    w.sleep(0.2, 4)


@fault(STAYS)
def all_coordinators_killed(w: World) -> None:
    for node in w.lab.nodes:
        node.kill()
    w.sleep(0, 3)


@fault(STAYS)
def coordinators_stalled_in_turn(w: World) -> None:
    for _ in range(4):
        child = w.random.choice(w.lab.nodes).child
        assert child is not None
        w.stop_and_continue([child.pid], 0.3, 2)
        w.sleep(0.5, 2)


@fault(STAYS)
def site_of_the_standby_killed(w: World) -> None:
    w.site(w.standby).kill()
    w.sleep(1, 8)


@fault(STAYS)
def database_of_the_standby_killed(w: World) -> None:
    w.site(w.standby).kill_postgres()
    w.sleep(1, 6)


@fault(STAYS)
def database_of_the_standby_stalled(w: World) -> None:
    w.stop_and_continue(w.lab.server(w.standby).pids(), 0.5, 8)


@fault(STAYS)
def site_of_the_standby_cut_off(w: World) -> None:
    w.lab.network.cut(w.standby)
    w.sleep(1, 8)


@fault(STAYS)
def site_of_the_witness_killed(w: World) -> None:
    w.site(w.witness).kill()
    w.sleep(1, 8)


@fault(STAYS)
def site_of_the_witness_cut_off(w: World) -> None:
    w.lab.network.cut(w.witness)
    w.sleep(1, 8)


@fault(STAYS)
def primary_and_standby_do_not_see_each_other(w: World) -> None:
    w.lab.network.cut_between(w.primary, w.standby)
    w.sleep(2, 10)


@fault(MAY)
def database_of_the_primary_stalled(w: World) -> None:
    w.stop_and_continue(w.lab.server(w.primary).pids(), 0.3, 6)


@fault(MAY)
def site_of_the_primary_frozen_for_a_moment(w: World) -> None:
    w.site(w.primary).freeze()
    w.sleep(0.1, 3)
    w.site(w.primary).resume()
    w.sleep(0, 4)


@fault(MAY)
def site_of_the_primary_comes_and_goes(w: World) -> None:
    for _ in range(w.random.randint(2, 4)):
        w.lab.network.cut(w.primary)
        w.sleep(0.5, 3)
        w.lab.network.heal()
        w.sleep(0.5, 3)


@fault(MAY)
def third_of_all_packets_lost(w: World) -> None:
    w.lab.network.shape_sites(loss=30)
    w.sleep(4, 12)


@fault(MAY)
def fifth_of_a_second_of_delay(w: World) -> None:
    w.lab.network.shape_sites(delay_ms=200, jitter_ms=50)
    w.sleep(4, 12)


def leader_dies_too(w: World) -> None:
    """Half the time, before the operation begins, in the middle, or after it; it comes back after a while: only then is there a majority."""
    if w.random.random() < 0.5:
        node = w.lab.node(w.witness)
        w.sleep(0, 3)
        node.kill()
        w.sleep(0.2, 2)
        node.start()


def old_server_started_by_hand(w: World) -> None:
    """Half the time: as it is, read-write, by somebody who knows nothing; its own client tries to write there."""
    if w.random.random() < 0.5:
        w.lab.server(w.primary).start()
        refused = w.inside[w.primary]
        before = len(refused.acks())
        time.sleep(2)
        w.say(f"the old server at {w.primary} was started by hand and acknowledged {len(refused.acks()) - before} writes")
