"""Clients that write without pause and keep a record of every acknowledged write, each in a process of its own.

writer http  resolves the service's name at the authority before each connection and posts to the application it finds there
writer sql   writes straight into one PostgreSQL server, all the time, whatever that server says

Standard input takes `hold`, `release` and `stop`, each answered by one line when it is done: after `held` no write is under way; `busy`
says that one hangs.
One line per acknowledged write in the record: `id server started_us acknowledged_us`, in microseconds of this machine's monotonic clock.
"""
from __future__ import annotations

import argparse
import http.client
import json
import sys
import threading
import time
from pathlib import Path
from typing import Callable

import psycopg2

from lab.dns_query import DnsError, query

NUMBERS_PER_THREAD = 10_000_000


def now_us() -> int:
    return time.monotonic_ns() // 1000


class NotAcknowledged(Exception):
    """The write was refused, or nothing is known of it."""


class Workers:
    """Threads that call attempt(id) again and again; holds them between two writes on request."""

    def __init__(self, record: Path, pause_s: float) -> None:
        self.record = open(record, "a", encoding="utf-8", buffering=1)
        self.pause_s = pause_s
        self.condition = threading.Condition()
        self.held = False
        self.stopped = False
        self.writing = 0
        self.failed_count = 0

    def start(self, attempts: list[Callable[[int], str]], first_id: int) -> None:
        for number, attempt in enumerate(attempts):
            threading.Thread(target=self._work, args=(attempt, first_id + number * NUMBERS_PER_THREAD), daemon=True).start()

    def _work(self, attempt: Callable[[int], str], number: int) -> None:
        while True:
            with self.condition:
                self.condition.wait_for(lambda: not self.held or self.stopped)
                if self.stopped:
                    return
                self.writing += 1
            started = now_us()
            try:
                server = attempt(number)
                acknowledged = now_us()
            except NotAcknowledged:
                server, acknowledged = "", 0
            with self.condition:
                if server:
                    self.record.write(f"{number} {server} {started} {acknowledged}\n")
                else:
                    self.failed_count += 1
                self.writing -= 1
                self.condition.notify_all()
            number += 1
            time.sleep(self.pause_s)

    def obey(self) -> None:
        """Follows the commands on standard input until it ends."""
        for line in sys.stdin:
            command = line.strip()
            with self.condition:
                self.held = command in ("hold", "stop")
                self.stopped = command == "stop"
                self.condition.notify_all()
                quiet = command == "release" or self.condition.wait_for(lambda: self.writing == 0, timeout=3)
            answer = {"hold": "held" if quiet else "busy", "release": "released", "stop": f"stopped failed={self.failed_count}"}
            print(answer.get(command, "unknown command"), flush=True)
            if command == "stop":
                break


class HttpAttempt:
    """One thread's way to the application: the address is asked for at each connection; a failure ends the connection."""

    def __init__(self, server: tuple[str, int], name: str, port: int, timeout_s: float) -> None:
        self.server, self.name, self.port, self.timeout_s = server, name, port, timeout_s
        self.connection: http.client.HTTPConnection | None = None

    def __call__(self, number: int) -> str:
        try:
            if self.connection is None:
                addresses = query(self.server, self.name, timeout_s=self.timeout_s)
                if not addresses:
                    raise NotAcknowledged("the name has no address")
                self.connection = http.client.HTTPConnection(addresses[0], self.port, timeout=self.timeout_s)
            self.connection.request("POST", "/write", json.dumps({"id": number}), {"Content-Type": "application/json"})
            answer = self.connection.getresponse()
            content = json.loads(answer.read())
            if answer.status != 200:
                raise NotAcknowledged(content.get("error", str(answer.status)))
            return content["server"]
        except (OSError, http.client.HTTPException, DnsError, ValueError, NotAcknowledged) as error:
            if self.connection is not None:
                self.connection.close()
                self.connection = None
            raise NotAcknowledged(str(error)) from error


class SqlAttempt:
    """One thread's connection to one server; it stays open through refusals, so the first write after a promotion is seen at once."""

    def __init__(self, conninfo: str) -> None:
        self.conninfo = conninfo
        self.connection = None

    def __call__(self, number: int) -> str:
        try:
            if self.connection is None:
                self.connection = psycopg2.connect(self.conninfo, connect_timeout=2)
                self.connection.autocommit = True
            with self.connection.cursor() as cursor:
                cursor.execute("INSERT INTO ledger (id) VALUES (%s) RETURNING server", (number,))
                return cursor.fetchall()[0][0]
        except psycopg2.Error as error:
            if self.connection is not None and self.connection.closed:
                self.connection = None
            raise NotAcknowledged(str(error)) from error


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--record", type=Path, required=True)
    parser.add_argument("--first-id", type=int, required=True)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--pause-ms", type=float, default=10)
    parser.add_argument("--timeout-ms", type=float, default=500)
    kinds = parser.add_subparsers(dest="kind", required=True)
    by_http = kinds.add_parser("http")
    by_http.add_argument("name_server")
    by_http.add_argument("name")
    by_http.add_argument("port", type=int)
    by_sql = kinds.add_parser("sql")
    by_sql.add_argument("conninfo")
    options = parser.parse_args()

    workers = Workers(options.record, options.pause_ms / 1000)
    attempts: list[Callable[[int], str]]
    if options.kind == "http":
        host, _, port = options.name_server.rpartition(":")
        attempts = [HttpAttempt((host, int(port)), options.name, options.port, options.timeout_ms / 1000) for _ in range(options.threads)]
    else:
        attempts = [SqlAttempt(options.conninfo) for _ in range(options.threads)]
    print("ready", flush=True)
    workers.start(attempts, options.first_id)
    workers.obey()


if __name__ == "__main__":
    main()
