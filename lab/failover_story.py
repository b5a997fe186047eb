"""The quickstart's story: prepare the sites, kill one, watch the service move, start the old server again and see it refuse."""
from __future__ import annotations

import queue
import re
import time

import psycopg2

from lab import screen
from lab.observe import Events, Seen, Watch, now_us
from lab.outcome import Outcome, OldServer
from lab.processes import LabError
from lab.network import APPLICATION_PORT
from lab.sites import Lab

PATIENCE_S = 60
OLD_SERVER_TRIAL_S = 5
STRONG = {"verdict", "certificate", "promote", "dns seen", "healthy", "first write", "client"}


class FailoverStory:
    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.seen: "queue.Queue[Seen]" = queue.Queue()
        self.killed_us = 0
        self.moments: dict[str, int] = {}
        self.operation: int | None = None
        self.operation_state: str | None = None
        self.certificate: str | None = None
        self.old_server: OldServer | None = None

    def prepare(self) -> None:
        lab = self.lab
        screen.heading("Three sites on this machine")
        lab.start_databases()
        lab.start_coordinators()
        lab.await_ready(serving=False)
        lab.a.appctl("start")
        screen.step("application at site-a, healthy; at site-b it is deployed and stopped")
        self.client = lab.http_writer(threads=4)
        self.direct_b = lab.sql_writer("site-b", threads=1)
        self.client.await_acks(100, lab.a.address)
        lab.await_ready()
        screen.step(f"a client writes to http://app.example.test:{APPLICATION_PORT} ({lab.a.address}), "
                    f"{len(self.client.acks())} writes acknowledged so far")
        time.sleep(2)
        screen.write("\n" + lab.node("site-c").ctl_text("status"))

    def kill_site(self) -> None:
        lab = self.lab
        self.events = Events(lab.processes, lab.node("site-c"), self.seen)
        self.watch = Watch(lab.dns, lab.b.address, APPLICATION_PORT, self.seen)
        screen.heading("site-a is killed whole: application, PostgreSQL, coordd, at once")
        pids = lab.processes.of_site("site-a")
        self.killed_us = lab.with_nothing_under_way(lab.a.kill)
        if lab.processes.of_site("site-a"):
            raise LabError("processes of site-a have survived")
        screen.moment(0, "kill", f"{len(pids)} processes of site-a are gone; the standby had every acknowledged write", True)

    def follow(self) -> None:
        """Shows what happens until the service is served at site-b and the operation has ended."""
        deadline = time.monotonic() + PATIENCE_S
        wanted = {"verdict", "operation", "certificate", "promote", "dns seen", "healthy", "first write", "client", "ended"}
        while not wanted <= self.moments.keys():
            if time.monotonic() > deadline:
                screen.write(f"  not seen within {PATIENCE_S} s: {', '.join(sorted(wanted - self.moments.keys()))}")
                break
            self._look_at_writers()
            self._look_at_operation()
            try:
                self._tell(self.seen.get(timeout=0.05))
            except queue.Empty:
                pass
        self.watch.close()
        time.sleep(1)

    def _tell(self, seen: Seen) -> None:
        if seen.at_us < self.killed_us - 50_000 or (seen.event and seen.event.get("service") not in (None, "app")):
            return  # before the kill
        if seen.kind == "operation" and seen.event and self.operation is None:
            self.operation = seen.event["operation"]
        if seen.kind == "promote":
            found = re.search(r"\(certificate (\w+)", seen.text)
            self.certificate = found[1] if found else None
        if self._counts(seen):
            self.moments.setdefault(seen.kind, seen.at_us)
        screen.moment(seen.at_us - self.killed_us, seen.kind, seen.text, seen.kind in STRONG)

    @staticmethod
    def _counts(seen: Seen) -> bool:
        """A verdict counts when it is the one that leads to the operation."""
        return seen.kind != "verdict" or (seen.event is not None and seen.event.get("site") == "site-a" and " is down " in seen.text)

    def _look_at_writers(self) -> None:
        for kind, writer, what in (("first write", self.direct_b, "acknowledged by PostgreSQL of site-b"),
                                   ("client", self.client, "the client has its first write acknowledged at site-b")):
            if kind not in self.moments:
                acks = [ack for ack in writer.acks() if ack.server == self.lab.b.address]
                if acks:
                    self._tell(Seen(acks[0].acknowledged_us, kind, what))

    def _look_at_operation(self) -> None:
        if self.operation is None or "ended" in self.moments:
            return
        operation = self.lab.node("site-c").ctl("report", str(self.operation))["operation"]
        self.operation_state = operation["state"]
        if operation["ended_ms"] is not None:
            self.moments["ended"] = now_us()

    def start_old_server_by_hand(self) -> None:
        """PostgreSQL of site-a again, and nothing else of it: the worst thing that a well-meaning person can do."""
        lab = self.lab
        screen.heading("PostgreSQL of site-a is started again by hand, as a primary that knows nothing")
        server = lab.server("site-a")
        server.start()
        read_write = not server.in_recovery()
        refusal = "it did not refuse"
        try:
            server.execute("INSERT INTO ledger (id, server) VALUES (-1, 'by hand')", user="app")
        except psycopg2.Error as error:
            refusal = f"{error.pgcode}: {str(error).splitlines()[0]}"
        screen.step(f"a write there: {refusal}")
        writer = lab.sql_writer("site-a", threads=2)
        time.sleep(OLD_SERVER_TRIAL_S)
        acknowledged = len([ack for ack in writer.acks() if ack.server == lab.a.address])
        refused = writer.stop()
        screen.step(f"clients tried {refused + acknowledged} times in {OLD_SERVER_TRIAL_S} s: "
                    f"{acknowledged} acknowledged, {refused} refused")
        self.old_server = OldServer(read_write, refused, acknowledged, refusal)

    def return_old_coordinator(self) -> None:
        self.lab.node("site-a").start()
        self.lab.await_leader()

    def outcome(self, elapsed_s: float) -> Outcome:
        lab = self.lab
        self.client.hold()
        self.direct_b.hold()
        writes = lab.count()
        for writer in (self.client, self.direct_b):
            writer.release()
        report = lab.work / "report.txt"
        if self.operation is not None:
            report.write_text(lab.node("site-b").ctl_text("report", str(self.operation)), encoding="utf-8")
        return Outcome(self._phases(), writes, self.old_server, self.certificate, self.operation,
                       self.operation_state, str(report), str(lab.work), elapsed_s)

    def _phases(self) -> dict[str, int | None]:
        def span(start: int | None, end: str) -> int | None:
            return self.moments[end] - start if start is not None and end in self.moments else None
        at = self.moments.get
        return {"detection": span(self.killed_us, "verdict"), "decision": span(at("verdict"), "operation"),
                "fence": span(self.killed_us, "certificate"), "promotion": span(at("operation"), "first write"),
                "dns": span(at("promote"), "dns seen"), "deploy": span(at("promote"), "healthy"),
                "writable": span(self.killed_us, "first write"), "total": span(self.killed_us, "client")}
