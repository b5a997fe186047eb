"""What can be seen from outside while a service moves: the coordinators' events, the authority's answer, the application's health."""
from __future__ import annotations

import http.client
import json
import queue
import subprocess
import threading
import time
from dataclasses import dataclass

from lab.coord import CoordNode
from lab.nameserver import NameServer
from lab.processes import Child, Processes


def now_us() -> int:
    return time.monotonic_ns() // 1000


@dataclass(frozen=True)
class Seen:
    """One thing that was seen: an event of the coordinators (`event` is the whole object) or a look of our own."""

    at_us: int
    kind: str
    text: str
    event: dict | None = None


class Events:
    """`coordctl events -f --json` at one node, read into a queue. Its times are the leader's wall clock, moved to our monotonic one."""

    def __init__(self, processes: Processes, node: CoordNode, into: "queue.Queue[Seen]") -> None:
        self.into = into
        self.wall_minus_monotonic_us = time.time_ns() // 1000 - now_us()
        self.child: Child = processes.start("events", node.ctl_argv("events", "-f", "--json"), node.log.parent / "events.log",
                                            stdout=subprocess.PIPE)
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.child.popen.stdout is not None
        for line in self.child.popen.stdout:
            try:
                event = json.loads(line)
                at_us = int(event["at_ms"]) * 1000 - self.wall_minus_monotonic_us
                self.into.put(Seen(at_us, str(event["event"]), str(event["text"]), event))
            except (ValueError, KeyError, TypeError) as error:
                self.into.put(Seen(now_us(), "unreadable", f"{error}: {line[:200]!r}"))


class Watch:
    """Looks again and again at what the client would meet, and reports the first moment of each: two threads, until `close`."""

    INTERVAL_S = 0.01

    def __init__(self, dns: NameServer, address: str, port: int, into: "queue.Queue[Seen]") -> None:
        self.dns, self.address, self.port, self.into = dns, address, port, into
        self.closed = threading.Event()
        for look in (self._watch_dns, self._watch_application):
            threading.Thread(target=look, daemon=True).start()

    def close(self) -> None:
        self.closed.set()

    def _watch_dns(self) -> None:
        while not self.closed.wait(self.INTERVAL_S):
            if self.dns.addresses() == [self.address]:
                self.into.put(Seen(now_us(), "dns seen", f"the authority answers {self.address}"))
                return

    def _watch_application(self) -> None:
        while not self.closed.wait(self.INTERVAL_S):
            connection = http.client.HTTPConnection(self.address, self.port, timeout=1)
            try:
                connection.request("GET", "/health")
                if connection.getresponse().status == 200:
                    self.into.put(Seen(now_us(), "healthy", f"the application at {self.address} answers /health with 200"))
                    return
            except (OSError, http.client.HTTPException):
                pass  # not yet
            finally:
                connection.close()
