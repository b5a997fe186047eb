"""The application: a small HTTP service that keeps a ledger in the database that its own site's configuration names.

POST /write {"id": N}  inserts a row; answers 200 only after the commit
GET  /health           reads and writes its database: 200 or 503
GET  /count            how many rows the database holds
"""
from __future__ import annotations

import argparse
import json
import os
import select
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import psycopg2


class Pool:
    """Open connections to the one database; a connection that failed is dropped, never handed out again."""

    def __init__(self, conninfo: str) -> None:
        self.conninfo = conninfo
        self.idle: list = []
        self.lock = threading.Lock()

    def run(self, sql: str, values: tuple) -> list[tuple]:
        with self.lock:
            connection = self.idle.pop() if self.idle else None
        if connection is None:
            connection = psycopg2.connect(self.conninfo, connect_timeout=2)
            connection.autocommit = True
        try:
            with connection.cursor() as cursor:
                cursor.execute(sql, values)
                rows = cursor.fetchall() if cursor.description else []
        except BaseException:
            connection.close()
            raise
        with self.lock:
            self.idle.append(connection)
        return rows


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    pool: Pool
    site: str

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        if self.path != "/write":
            self.answer(404, {"error": "no such path"})
            return
        try:
            number = int(json.loads(body)["id"])
        except (ValueError, KeyError, TypeError):
            self.answer(400, {"error": 'expected {"id": N}'})
            return
        self.answer_from_database("INSERT INTO ledger (id) VALUES (%s) RETURNING server", (number,),
                                  lambda rows: {"id": number, "server": rows[0][0], "site": self.site})

    def do_GET(self) -> None:
        if self.path == "/health":
            self.answer_from_database("INSERT INTO health VALUES (host(inet_server_addr()), clock_timestamp()) ON CONFLICT (server) "
                                      "DO UPDATE SET checked_at = excluded.checked_at RETURNING server", (),
                                      lambda rows: {"healthy": True, "database": rows[0][0], "site": self.site})
        elif self.path == "/count":
            self.answer_from_database("SELECT count(*) FROM ledger", (), lambda rows: {"count": rows[0][0], "site": self.site})
        else:
            self.answer(404, {"error": "no such path"})

    def answer_from_database(self, sql: str, values: tuple, describe) -> None:
        try:
            rows = self.pool.run(sql, values)
        except psycopg2.Error as error:
            self.answer(503, {"error": str(error).strip(), "sqlstate": error.pgcode, "site": self.site})
            return
        self.answer(200, describe(rows))

    def answer(self, code: int, content: dict) -> None:
        body = (json.dumps(content) + "\n").encode()
        try:
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True  # a client that gave up waiting

    def log_message(self, format: str, *args) -> None:
        pass  # one line per write would tell nothing


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request, client_address) -> None:
        pass  # a connection that broke; the client counts it


def end_with(pid: int) -> None:
    """Ends this process when the lab ends: its parent is not the lab, so no signal of the kernel would tell it."""
    handle = os.pidfd_open(pid)
    select.select([handle], [], [])
    os._exit(0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", type=Path, required=True)
    config = json.loads(parser.parse_args().config.read_text(encoding="utf-8"))
    threading.Thread(target=end_with, args=(config["lab_pid"],), daemon=True).start()
    Handler.pool = Pool(config["database"])
    Handler.site = config["site"]
    Server((config["listen"], config["port"]), Handler).serve_forever()


if __name__ == "__main__":
    main()
