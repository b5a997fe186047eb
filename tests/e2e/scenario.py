"""What a scenario is: a name that is a sentence, a lab in a known state, and expectations that fail with numbers."""
from __future__ import annotations

import queue
import time
from dataclasses import dataclass, field
from typing import Callable

from lab.coord import CtlError
from lab.ledger import Count
from lab.network import SITES
from lab.observe import Events, Seen
from lab.processes import LabError
from lab.sites import NODES, Lab


class Failed(AssertionError):
    """An expectation that does not hold."""


class Skipped(Exception):
    """This machine lacks what the scenario needs."""


@dataclass
class Scenario:
    name: str
    act: Callable[["Stage"], None]
    profile: str
    isolated: bool
    mode: str
    timing: dict[str, str]
    suite: str
    nodes: tuple[str, ...]
    first: tuple[str, ...]


ALL: list[Scenario] = []


def scenario(*, profile: str = "metro", isolated: bool = False, mode: str = "auto", suite: str = "e2e",
             timing: dict[str, str] | None = None, nodes: tuple[str, ...] = NODES,
             first: tuple[str, ...] = ()) -> Callable:
    """Registers a function as a scenario; its name, with spaces, is the sentence it proves."""
    def register(act: Callable[["Stage"], None]) -> Callable[["Stage"], None]:
        ALL.append(Scenario(act.__name__, act, profile, isolated, mode, dict(timing or {}), suite, nodes, first))
        return act
    return register


@dataclass
class Stage:
    """A lab with a ready service and writers at work; what scenarios do and expect."""

    lab: Lab
    say: Callable[[str], None]
    events: "queue.Queue[Seen]" = field(default_factory=queue.Queue)

    def open(self) -> None:
        lab = self.lab
        lab.start_databases()
        lab.start_coordinators()
        lab.await_ready(serving=False)
        lab.a.appctl("start")
        self.client = lab.http_writer(threads=4)
        self.direct = {site: lab.sql_writer(site, threads=1) for site in ("site-a", "site-b")}
        self.client.await_acks(30, lab.a.address)
        lab.await_ready()
        lab.await_leader_at(lambda leader: leader.startswith("c"))

    def expect(self, holds: bool, what: str) -> None:
        if not holds:
            raise Failed(f"expected: {what}")
        self.say(f"  {what}")

    def follow(self, site: str) -> None:
        """Collects the events of that site's node from now on."""
        Events(self.lab.processes, self.lab.node(site), self.events)

    def await_event(self, kind: str, since_us: int, timeout_s: float = 20, containing: str = "") -> Seen:
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                seen = self.events.get(timeout=max(deadline - time.monotonic(), 0.01))
            except queue.Empty as error:
                raise Failed(f"expected within {timeout_s:g} s: an event `{kind}` {containing}") from error
            if seen.kind == kind and seen.at_us >= since_us and containing in seen.text:
                return seen

    def moved(self, timeout_s: float = 30) -> None:
        """The client, by way of DNS and the application, is served at site-b, and the operation is done."""
        b = self.lab.b
        self.client.await_acks(20, b.address, timeout_s)
        node = self.lab.node("site-b")
        self.lab.until(lambda: node.ctl("incidents")["incidents"][0]["state"] == "done", timeout_s, "the operation done")
        service = node.service()
        self.expect(service["primary"] == "site-b" and service["lease"]["state"] == "live", "the service is at site-b under a live lease")

    def operations(self) -> list[dict]:
        return self.lab.node("site-b").ctl("incidents")["incidents"]

    def nothing_moved(self) -> None:
        lab = self.lab
        self.expect(lab.server("site-b").in_recovery(), "site-b is still a standby")
        self.expect(not self.direct["site-b"].acks(), "site-b has acknowledged nothing")
        self.expect(lab.dns.addresses() == [lab.a.address], "the authority still answers site-a")
        self.expect(not self.operations(), "no operation was started")
        self.expect(lab.node("site-b").service()["primary"] == "site-a", "the primary is site-a")
        counted = lab.count(old="site-b", new="site-a")
        self.expect(counted.acknowledged > 0 and counted.lost == 0 and counted.at_old == 0,
                    f"{counted.acknowledged} writes acknowledged, {counted.lost} lost, {counted.at_old} by site-b")

    def counts(self, lost: int | None = 0) -> Count:
        """Split-brain must be 0; lost as told (None: asynchronous replication may lose what was under way). Both are said."""
        counted = self.lab.count()
        self.say(f"  acknowledged {counted.acknowledged} (site-a {counted.at_old}, site-b {counted.at_new}), lost {counted.lost}, "
                 f"split-brain {counted.split_brain}")
        if counted.at_old == 0 or counted.at_new == 0:
            raise Failed("expected: both sites have acknowledged writes, each in its time")
        if counted.split_brain != 0 or (lost is not None and counted.lost != lost):
            raise Failed(f"expected: 0 split-brain acknowledgements and {lost} lost writes, counted {counted.as_dict()}")
        return counted

    def old_server_refuses(self, seconds: float = 3) -> None:
        """Clients at the old server try for a while: every attempt is refused."""
        before = len([ack for ack in self.direct["site-a"].acks()])
        writer = self.lab.sql_writer("site-a", threads=2)
        time.sleep(seconds)
        acknowledged, refused = len(writer.acks()), writer.stop()
        self.expect(acknowledged == 0 and refused > 0, f"the old server refused {refused} writes and acknowledged {acknowledged}")
        self.expect(len(self.direct["site-a"].acks()) == before, "nor has it acknowledged any to its own clients")

    def ctl_refused(self, site: str, *arguments: str) -> str:
        """coordctl must end with 1; gives its whole text."""
        try:
            self.lab.node(site).ctl_text(*arguments)
        except CtlError as error:
            self.expect(error.code == 1, f"`coordctl {' '.join(arguments)}` is refused (code {error.code})")
            return f"{error}\n{error.answer}"
        raise Failed(f"expected: `coordctl {' '.join(arguments)}` is refused")

    def restart_nodes(self, sites: tuple[str, ...] = SITES) -> None:
        for site in sites:
            self.lab.node(site).start()


__all__ = ["ALL", "Failed", "LabError", "Scenario", "Stage", "scenario"]
