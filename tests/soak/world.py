"""The world of a soak: a lab whose primary moves to and fro, and the repairs that a person makes after each fault."""
from __future__ import annotations

import random
import signal
import time
from typing import Callable

from lab.coord import CoordNode
from lab.ledger import Writer
from lab.processes import LabError, send
from lab.sites import Lab, Site

SETTLE_S = 90
REST_S = 3  # longer than metro needs to see a fault: what was begun by it shows within this time


class World:
    def __init__(self, lab: Lab, chance: random.Random, say: Callable[[str], None]) -> None:
        self.lab, self.random, self.say = lab, chance, say
        self.primary = "site-a"
        self.last_operation = 0
        self.inside: dict[str, Writer] = {}

    def open(self) -> None:
        lab = self.lab
        lab.start_databases()
        lab.start_coordinators()
        lab.await_ready(serving=False)
        lab.a.appctl("start")
        self.client = lab.http_writer(threads=3, pause_ms=30)
        self.inside = {site: lab.sql_writer(site, inside=True, threads=1, pause_ms=30) for site in lab.databases}
        self.client.await_acks(30, lab.a.address)
        lab.await_ready()

    @property
    def standby(self) -> str:
        return next(site for site in self.lab.databases if site != self.primary)

    @property
    def witness(self) -> str:
        return "site-c"

    def site(self, name: str) -> Site:
        return self.lab.sites[name]

    def someone(self, but: str = "") -> CoordNode:
        """A node to ask, the witness if it lives."""
        nodes = sorted(self.lab.nodes, key=lambda node: not node.me.witness)
        return next(node for node in nodes if node.alive() and node.site != but)

    def leader_site(self) -> str | None:
        leader = self.someone().leader()
        return self.lab.node(leader).site if leader else None

    def sleep(self, least_s: float, most_s: float) -> None:
        time.sleep(self.random.uniform(least_s, most_s))

    def stop_and_continue(self, pids: list[int], least_s: float, most_s: float) -> None:
        send(signal.SIGSTOP, pids)
        try:
            self.sleep(least_s, most_s)
        finally:
            send(signal.SIGCONT, pids)

    def await_moved(self, patience_s: float = 60) -> None:
        """The service is written to at the other site, and the operation has ended."""
        new, old = self.standby, self.primary

        def look() -> bool:
            service = self.someone(but=old).service()
            return service["primary"] == new and service["operation"] is None and self.lab.try_write(new)
        self.lab.until(look, patience_s, f"the service moved from {old} to {new}")

    def fresh_operations(self) -> list[dict]:
        found = [each for each in self.someone().ctl("incidents")["incidents"] if each["id"] > self.last_operation]
        self.last_operation = max([self.last_operation, *(each["id"] for each in found)])
        return found

    def settle(self) -> str:
        """Ends every fault, waits until the service is written to somewhere, and makes the other site its standby. Says how that was done."""
        lab = self.lab
        lab.network.heal()
        for site in lab.sites.values():
            site.resume()
        for node in lab.nodes:
            if not node.alive():
                node.kill()
                node.start()
        lab.await_leader(SETTLE_S)
        self.primary = self._await_rest()
        how = self._repair_standby()
        self.site(self.standby).appctl("stop")
        self.site(self.primary).appctl("start")
        lab.until(lambda: self.someone().service()["health"] == "ok", SETTLE_S, "health ok")
        self.client.await_acks(20, self.site(self.primary).address, SETTLE_S)
        self.inside[self.primary].await_acks(5, timeout_s=SETTLE_S)
        return how

    def _await_rest(self) -> str:
        """The site that for REST_S has been the primary, in one epoch."""
        found, since, deadline = None, 0.0, time.monotonic() + SETTLE_S
        while found is None or time.monotonic() - since < REST_S:
            now = self.lab.until(self._at_rest, SETTLE_S, "a primary with a live lease and an open guard, and no open operation")
            if now != found:
                found, since = now, time.monotonic()
            if time.monotonic() > deadline:
                raise LabError(f"the service does not come to rest within {SETTLE_S} s")
            time.sleep(0.2)
        return found[0]

    def _at_rest(self) -> tuple[str, int] | None:
        service = self.someone().service()
        primary = service["primary"]
        resting = service["lease"]["state"] == "live" and service["operation"] is None
        return (primary, service["epoch"]) if resting and self.lab.server(primary).alive() and self.lab.try_write(primary) else None

    def _repair_standby(self) -> str:
        primary, standby = self.lab.server(self.primary), self.lab.server(self.standby)
        if standby.alive():
            if standby.in_recovery():
                try:
                    primary.await_streaming(standby)
                    return ""
                except LabError:
                    self.say(f"{standby.site} is in recovery and does not stream")
        elif (standby.data_dir / "standby.signal").exists() and self.random.random() < 0.5:
            standby.start()
            primary.await_streaming(standby)
            return "started"
        return standby.rejoin(primary)
