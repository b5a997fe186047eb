"""A throw-away PostgreSQL server with lease_guard preloaded, for the tests of the guard.

Servers listen on a Unix socket in their own directory only. PostgreSQL refuses to run as root, so root uses the account "postgres".
Environment: LEASE_GUARD_SO (the built library), PG_BINDIR.
"""
import atexit
import os
import pwd
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import time

import psycopg2

SO = os.environ["LEASE_GUARD_SO"]
BIN = os.environ["PG_BINDIR"]
PATIENCE_S = float(os.environ.get("LEASE_GUARD_PATIENCE_S", "60"))  # for everything that must happen, on a busy machine
ACCOUNT = "postgres" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name

CLOSED = "LG001"
NOT_SYNCHRONOUS = "LG002"
OPEN_REFUSED = "LG003"

_root = None
_servers = []


def root():
    """The directory of this run; the library is copied into it, because the account may not be able to read the build directory."""
    global _root
    if _root is None:
        _root = tempfile.mkdtemp(prefix="test-lease-guard-", dir="/tmp")
        shutil.copy(SO, os.path.join(_root, "lease_guard.so"))
        if os.geteuid() == 0:
            account = pwd.getpwnam(ACCOUNT)
            os.chown(_root, account.pw_uid, account.pw_gid)
        run("initdb", "-D", os.path.join(_root, "template"), "-A", "trust", "-U", "postgres", "-N", "-E", "UTF8", "--locale=C")
        atexit.register(_clean_up)
    return _root


def _clean_up():
    """Whatever a failed test has left; what cannot be stopped is told, and does not keep the rest."""
    for server in _servers:
        try:
            server.stop(mode="immediate")
        except AssertionError as error:
            print(error)
    shutil.rmtree(_root, ignore_errors=True)


def run(program, *arguments, check=True, stdin="", environment=None):
    """A PostgreSQL program under the account; its whole output is in the error when it fails."""
    return run_as_account(os.path.join(BIN, program), *arguments, check=check, stdin=stdin, environment=environment)


def run_as_account(*command, check=True, stdin="", environment=None):
    if os.geteuid() == 0:
        command = ["runuser", "-u", ACCOUNT, "--", *command]
    done = subprocess.run(command, input=stdin, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd="/", check=False,
                          env={**os.environ, **(environment or {})})
    if check and done.returncode != 0:
        raise AssertionError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}")
    return done


def wait_until(condition, what):
    end = time.monotonic() + PATIENCE_S
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"not within {PATIENCE_S} s: {what}")
        time.sleep(0.02)


class GuardSocket:
    """One connection to the guard's socket: a line out, a line in."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(PATIENCE_S)
        try:
            self.socket.connect(path)
        except OSError:
            self.socket.close()
            raise
        self.buffer = b""

    def ask(self, line):
        self.send(line.encode() + b"\n")
        return self.receive()

    def send(self, data):
        self.socket.sendall(data)

    def receive(self):
        """The next answer; None when the server ended the connection."""
        while b"\n" not in self.buffer:
            try:
                data = self.socket.recv(4096)
            except ConnectionError:
                return None
            if not data:
                return None
            self.buffer += data
        line, self.buffer = self.buffer.split(b"\n", 1)
        return line.decode()

    def close(self):
        self.socket.close()


def fields(answer):
    """`ok key=value ...` as a dictionary; fails on anything else."""
    words = answer.split(" ")
    if words[0] != "ok":
        raise AssertionError(f"not ok: {answer}")
    return dict(word.split("=", 1) for word in words[1:])


class Server:
    def __init__(self, settings=None, preload=True, start=True, copy_of=None):
        self.directory = os.path.join(root(), f"s{len(_servers)}")  # short: the path of a socket has 107 bytes at most
        self.data = os.path.join(self.directory, "data")
        self.log_path = os.path.join(self.directory, "log")
        self.guard_path = os.path.join(self.data, "pg_stat_tmp", "lease_guard.sock")
        self.library = os.path.join(root(), "lease_guard.so")
        os.mkdir(self.directory)
        self.own(self.directory)
        if copy_of is None:
            subprocess.run(["cp", "-a", os.path.join(root(), "template"), self.data], check=True)
        else:
            run("pg_basebackup", "-D", self.data, "-d", copy_of.dsn(), "-R", "-c", "fast", "--no-sync")
        self.configure({
            "listen_addresses": "''", "unix_socket_directories": f"'{self.directory}'", "port": "5432", "fsync": "off",
            "shared_buffers": "16MB", "max_connections": "20", "max_prepared_transactions": "5", "wal_level": "logical",
            "log_min_messages": "info", "log_line_prefix": "'%m [%p] %b %e '", "log_error_verbosity": "verbose",
            "shared_preload_libraries": f"'{self.library}'" if preload else "''", **(settings or {})})
        self.port = 5432  # of sockets in its own directory: nobody else's
        self.running = False
        _servers.append(self)
        if start:
            self.start()

    @staticmethod
    def own(path):
        if os.geteuid() == 0:
            account = pwd.getpwnam(ACCOUNT)
            os.chown(path, account.pw_uid, account.pw_gid)

    def configure(self, settings):
        with open(os.path.join(self.data, "postgresql.conf"), "a", encoding="utf-8") as f:
            f.writelines(f"{key} = {value}\n" for key, value in settings.items())

    def start(self):
        run("pg_ctl", "-D", self.data, "-l", self.log_path, "-w", "-t", str(PATIENCE_S), "start")
        self.running = True

    def stop(self, mode="fast"):
        if self.running:
            run("pg_ctl", "-D", self.data, "-m", mode, "-w", "-t", str(PATIENCE_S), "stop")
            self.running = False

    def restart(self):
        self.stop()
        self.start()

    def reload(self):
        run("pg_ctl", "-D", self.data, "reload")

    def dsn(self, **more):
        parts = {"host": self.directory, "port": self.port, "user": "postgres", "dbname": "postgres", **more}
        return " ".join(f"{key}={value}" for key, value in parts.items())

    def connect(self, **more):
        """An autocommit session."""
        connection = psycopg2.connect(self.dsn(**more))
        connection.autocommit = True
        return connection

    def sql(self, statement, *parameters):
        """Runs a statement in a session of its own; its rows, or None."""
        connection = self.connect()
        try:
            return execute(connection, statement, *parameters)
        finally:
            connection.close()

    def guard(self):
        end = time.monotonic() + PATIENCE_S
        while True:
            try:
                return GuardSocket(self.guard_path)
            except (FileNotFoundError, ConnectionRefusedError):
                if time.monotonic() > end:
                    raise
                time.sleep(0.02)

    def ask(self, line):
        guard = self.guard()
        try:
            return guard.ask(line)
        finally:
            guard.close()

    def status(self):
        return fields(self.ask("status"))

    def open(self, epoch=1, hold_ms=3_600_000):
        """A lease from now on; the answer."""
        now = fields(self.ask("now"))
        return self.ask(f"open instance={now['instance']} epoch={epoch} t0_us={now['now_us']} hold_ms={hold_ms}")

    def must_open(self, epoch=1, hold_ms=3_600_000):
        return int(fields(self.open(epoch, hold_ms))["deadline_us"])

    def let_lease_end(self):
        """Shortens the running lease until it is over, by the newest sample deciding; no waiting for a clock."""
        status = self.status()
        self.must_open(epoch=int(status["epoch"]), hold_ms=1)
        wait_until(lambda: self.status()["state"] == "closed", "the lease is over")

    def postmaster_pid(self):
        with open(os.path.join(self.data, "postmaster.pid"), encoding="utf-8") as f:
            return int(f.readline())

    def all_pids(self):
        """The postmaster and its children, parent first."""
        parent = self.postmaster_pid()
        children = subprocess.run(["ps", "-o", "pid=", "--ppid", str(parent)], stdout=subprocess.PIPE, text=True, check=False).stdout
        return [parent, *map(int, children.split())]

    def worker_pid(self):
        for pid in self.all_pids():
            try:
                with open(f"/proc/{pid}/cmdline", encoding="utf-8") as f:
                    if "postgres: lease_guard" in f.read():
                        return pid
            except (FileNotFoundError, ProcessLookupError):
                pass  # ps itself, or a process that has just ended
        raise AssertionError("the guard's worker does not run")

    def signal_all(self, number):
        for pid in self.all_pids():
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                pass

    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as f:
            return f.read()


def execute(connection, statement, *parameters):
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters or None)
        return cursor.fetchall() if cursor.description else None


def kill(pid, number=signal.SIGKILL):
    os.kill(pid, number)


class RawClient:
    """PostgreSQL's protocol by hand: the only client that can tell what bytes the server really sent."""

    def __init__(self, server, database="postgres", user="postgres"):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(PATIENCE_S)
        self.socket.connect(os.path.join(server.directory, ".s.PGSQL.5432"))
        words = b"".join(w.encode() + b"\0" for w in ("user", user, "database", database)) + b"\0"
        self.socket.sendall(struct.pack("!II", 8 + len(words), 196608) + words)
        self.pid = None
        self.read_until_ready()

    @staticmethod
    def message(kind, body=b""):
        return kind + struct.pack("!I", 4 + len(body)) + body

    def query(self, text):
        self.socket.sendall(self.message(b"Q", text.encode() + b"\0"))

    def extended(self, text):
        """Parse, Bind, Execute, Sync: what drivers send."""
        self.socket.sendall(self.extended_bytes(text))

    @classmethod
    def extended_bytes(cls, text):
        return (cls.message(b"P", b"\0" + text.encode() + b"\0" + struct.pack("!H", 0)) +
                cls.message(b"B", b"\0\0" + struct.pack("!HHH", 0, 0, 0)) +
                cls.message(b"E", b"\0" + struct.pack("!I", 0)) + cls.message(b"S"))

    def read_until_ready(self):
        """The kinds of the messages up to ReadyForQuery, as a string."""
        kinds = ""
        while not kinds.endswith("Z"):
            head = self._exactly(5)
            body = self._exactly(struct.unpack("!I", head[1:])[0] - 4)
            if head[:1] == b"K":
                self.pid = struct.unpack("!I", body[:4])[0]
            kinds += head[:1].decode()
        return kinds

    def _exactly(self, size):
        data = b""
        while len(data) < size:
            more = self.socket.recv(size - len(data))
            if not more:
                raise AssertionError("the server ended the connection")
            data += more
        return data

    def read_to_end(self):
        """Every byte that still comes before the connection ends."""
        data = b""
        while True:
            try:
                more = self.socket.recv(4096)
            except ConnectionError:
                return data
            if not more:
                return data
            data += more

    def close(self):
        self.socket.close()
