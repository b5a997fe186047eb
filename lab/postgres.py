"""One site's PostgreSQL 15: made as a primary or as a streaming standby of another site, started and ended by hand, never by itself."""
from __future__ import annotations

import shutil
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import psycopg2

from lab.network import POSTGRES_PORT as PORT
from lab.processes import Child, LabError, Processes

BIN = Path("/usr/lib/postgresql/15/bin")
USER = "postgres"

CONFIG = """\
# Written by the lab.
cluster_name = '{site}'
listen_addresses = '{address}'
port = {port}
unix_socket_directories = '{run_dir}'
max_connections = 60
shared_buffers = 32MB
max_wal_size = 256MB
wal_level = replica
max_wal_senders = 10
wal_keep_size = 256MB
wal_sender_timeout = 5s
wal_receiver_timeout = 5s
wal_receiver_status_interval = 1s
wal_retrieve_retry_interval = 100ms
tcp_user_timeout = 5s
hot_standby = on
recovery_init_sync_method = syncfs
log_line_prefix = '%m [%p] '
log_checkpoints = off
"""

GUARD_CONFIG = """\
shared_preload_libraries = '{library}'
lease_guard.socket = '{socket}'
"""

# What the application and the coordinators need; made before the guard is switched on, as on a pair that is already in use.
SETUP = """\
CREATE ROLE coord LOGIN SUPERUSER;
CREATE ROLE replicator LOGIN REPLICATION;
CREATE ROLE app LOGIN;
"""

TABLES = """\
CREATE TABLE ledger (
    id bigint PRIMARY KEY,
    server text NOT NULL DEFAULT host(inet_server_addr()),
    written_at timestamptz NOT NULL DEFAULT clock_timestamp());
CREATE TABLE health (server text PRIMARY KEY, checked_at timestamptz NOT NULL);
GRANT SELECT, INSERT, UPDATE ON ledger, health TO app;
"""


@dataclass
class PostgresSite:
    processes: Processes
    site: str
    address: str
    directory: Path
    library: Path | None
    client_addresses: str
    namespace: int | None = None
    child: Child | None = None

    @property
    def data_dir(self) -> Path:
        return self.directory / "pg"

    @property
    def run_dir(self) -> Path:
        return self.directory / "pg-run"

    @property
    def guard_socket(self) -> Path:
        return self.run_dir / "lease_guard.sock"

    @property
    def log(self) -> Path:
        return self.directory.parent / "log" / f"{self.site}.postgres.log"

    def conninfo(self, user: str, dbname: str, local: bool = False) -> str:
        host = str(self.run_dir) if local else self.address
        return f"host={host} port={PORT} user={user} dbname={dbname}"

    def create_primary(self) -> None:
        """initdb, roles and tables; ends with a server that runs without the guard and, until it is started again, without fsync."""
        self._make_dirs()
        self.processes.run([str(BIN / "initdb"), "-D", str(self.data_dir), "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "-k", "-N"],
                           user=USER)
        self._write_config()
        with open(self.data_dir / "pg_hba.conf", "a", encoding="utf-8") as hba:
            hba.write(f"host all all {self.client_addresses} trust\nhost replication replicator {self.client_addresses} trust\n")
        self.start_without_waiting("-F")
        self.await_running()
        self.execute(SETUP, dbname="postgres")
        self.execute("CREATE DATABASE app OWNER app", dbname="postgres")
        self.execute(TABLES)

    def create_standby_of(self, primary: "PostgresSite") -> None:
        self._make_dirs()
        self.processes.run([str(BIN / "pg_basebackup"), "-h", primary.address, "-p", str(PORT), "-U", "replicator", "-D",
                            str(self.data_dir), "-R", "-X", "stream", "--checkpoint=fast", "--no-sync"], user=USER, netns=self.namespace)
        self._write_config()

    def rejoin(self, primary: "PostgresSite") -> str:
        """From whatever it was to a running standby of `primary`: rewound, or copied anew when that does not work. Says which."""
        self.stop()
        primary.execute("CHECKPOINT", "postgres")
        source = f"host={primary.address} port={PORT} user=coord dbname=postgres"
        try:
            self.processes.run([str(BIN / "pg_rewind"), "-D", str(self.data_dir), f"--source-server={source}", "--no-sync"], user=USER,
                               netns=self.namespace)
            how = "rewound"
            with open(self.data_dir / "postgresql.auto.conf", "a", encoding="utf-8") as config:
                config.write(f"primary_conninfo = 'host={primary.address} port={PORT} user=replicator'\n")
            (self.data_dir / "standby.signal").touch()
            shutil.chown(self.data_dir / "standby.signal", USER, USER)
            self._write_config()
        except LabError:
            shutil.rmtree(self.data_dir)
            shutil.rmtree(self.run_dir)
            self.create_standby_of(primary)
            how = "copied"
        self.enable_guard()
        self.start()
        primary.await_streaming(self)
        return how

    def enable_guard(self) -> None:
        """The server starts with lease_guard preloaded from now on."""
        if self.library is not None:
            with open(self.data_dir / "lab.conf", "a", encoding="utf-8") as config:
                config.write(GUARD_CONFIG.format(library=self.library, socket=self.guard_socket))

    def start(self) -> None:
        self.start_without_waiting()
        self.await_running()

    def start_without_waiting(self, *options: str) -> None:
        self.child = self.processes.start(f"{self.site}.postgres", [str(BIN / "postgres"), "-D", str(self.data_dir), *options], self.log,
                                          site=self.site, user=USER, netns=self.namespace)

    def await_running(self, timeout_s: float = 30) -> None:
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                self.execute("SELECT 1", dbname="postgres")
                return
            except psycopg2.OperationalError as error:
                if time.monotonic() > deadline or self.child is None or not self.child.alive():
                    tail = self.child.log_tail() if self.child else ""
                    raise LabError(f"PostgreSQL of {self.site} does not start: {error}\n{tail}\n(log: {self.log})") from error
            time.sleep(0.05)

    def stop(self) -> None:
        """A fast shutdown, as an administrator does it."""
        if self.child is not None:
            self.processes.end(self.child, signal.SIGINT, patience_s=20)
            self.child = None

    def alive(self) -> bool:
        return self.child is not None and self.child.alive()

    def pids(self) -> list[int]:
        return self.processes.tree(self.child.pid) if self.child is not None and self.child.alive() else []

    def forget_dead(self) -> None:
        """After a kill: the lock files of the dead server may name a pid that somebody else has by now."""
        if self.child is not None:
            self.child.popen.wait(10)
            self.processes.end(self.child)
            self.child = None

    def execute(self, sql: str, dbname: str = "app", user: str = USER) -> list[tuple]:
        """Runs sql through the site's own socket, each statement for itself; gives the rows of the last one that has rows."""
        connection = psycopg2.connect(self.conninfo(user, dbname, local=True), connect_timeout=5)
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(sql)
                return cursor.fetchall() if cursor.description else []
        finally:
            connection.close()

    def in_recovery(self) -> bool:
        return bool(self.execute("SELECT pg_is_in_recovery()")[0][0])

    def await_streaming(self, standby: "PostgresSite", timeout_s: float = 30) -> None:
        """Called on the primary."""
        deadline = time.monotonic() + timeout_s
        sql = f"SELECT state FROM pg_stat_replication WHERE application_name = '{standby.site}'"
        while self.execute(sql, "postgres") != [("streaming",)]:
            if time.monotonic() > deadline:
                raise LabError(f"{standby.site} does not stream from {self.site}; see {standby.log}")
            time.sleep(0.05)

    def await_replayed(self, standby: "PostgresSite", timeout_s: float = 10) -> None:
        """Until the standby has everything that this primary holds now."""
        position = self.execute("SELECT pg_current_wal_insert_lsn()", "postgres")[0][0]
        deadline = time.monotonic() + timeout_s
        while not standby.execute(f"SELECT pg_last_wal_replay_lsn() >= '{position}'", "postgres")[0][0]:
            if time.monotonic() > deadline:
                raise LabError(f"{standby.site} does not reach {position} within {timeout_s:g} s; see {standby.log}")
            time.sleep(0.005)

    def _make_dirs(self) -> None:
        for path in (self.data_dir, self.run_dir):
            path.mkdir(parents=True)
            path.chmod(0o700)
            shutil.chown(path, USER, USER)

    def _write_config(self) -> None:
        main = self.data_dir / "postgresql.conf"
        if "lab.conf" not in main.read_text(encoding="utf-8"):
            with open(main, "a", encoding="utf-8") as config:
                config.write("include 'lab.conf'\n")
        own = self.data_dir / "lab.conf"
        own.write_text(CONFIG.format(site=self.site, address=self.address, port=PORT, run_dir=self.run_dir), encoding="utf-8")
        shutil.chown(own, USER, USER)
