"""Starting and ending processes so that none outlives the lab.

Every child asks the kernel for a signal at the death of its parent, carries the name of its site in its environment, and is found again
by walking the process tree, so a whole site can be stopped or killed at once. Nothing is ever looked up by a program's name.
"""
from __future__ import annotations

import ctypes
import os
import pwd
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

SITE_VARIABLE = "COORD_LAB_SITE"
PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
CLONE_NEWNET = 0x40000000

_libc = ctypes.CDLL(None, use_errno=True)


class LabError(Exception):
    """Something in the lab did not come about; the text says what and where to look."""


def leave_on_signals() -> None:
    """SIGTERM and a hung-up terminal leave the program through its `with` blocks, as Ctrl-C does."""
    def leave(number: int, _frame: object) -> None:
        sys.exit(128 + number)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, leave)


def ignore_signals() -> None:
    """From here on the program is ending already."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)


@dataclass
class Identity:
    """The operating system user that a child runs as."""

    uid: int
    gid: int
    groups: list[int]

    @staticmethod
    def of(user: str) -> "Identity":
        entry = pwd.getpwnam(user)
        return Identity(entry.pw_uid, entry.pw_gid, os.getgrouplist(user, entry.pw_gid))


@dataclass
class Child:
    name: str
    popen: subprocess.Popen
    log: Path

    @property
    def pid(self) -> int:
        return self.popen.pid

    def alive(self) -> bool:
        return self.popen.poll() is None

    def log_tail(self, lines: int = 15) -> str:
        try:
            return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])
        except OSError as error:
            return f"(no log: {error})"


@dataclass
class Processes:
    """All children of the lab. Used from the main thread only: the parent-death signal follows the thread that forked."""

    children: list[Child] = field(default_factory=list)
    marker: str = ""

    def __post_init__(self) -> None:
        self.marker = f"lab{os.getpid()}."
        # Whoever is orphaned below us (an application whose starter has ended) becomes our child and is reaped here.
        if _libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")

    def start(self, name: str, argv: list[str], log: Path, *, site: str = "", user: str | None = None, netns: int | None = None,
              stdin: int = subprocess.DEVNULL, stdout: int | None = None, env: dict[str, str] | None = None) -> Child:
        """Starts argv with its output in `log`; `netns` is the pid of a process whose network namespace it joins."""
        assert threading.current_thread() is threading.main_thread()
        environment = dict(env or {}, PATH="/usr/sbin:/usr/bin:/sbin:/bin", LC_ALL="C.UTF-8", PYTHONUNBUFFERED="1")
        environment[SITE_VARIABLE] = self.marker + site
        identity = Identity.of(user) if user else None
        parent = os.getpid()
        namespace = os.open(f"/proc/{netns}/ns/net", os.O_RDONLY | os.O_CLOEXEC) if netns else -1

        def prepare() -> None:
            if namespace >= 0 and _libc.setns(namespace, CLONE_NEWNET) != 0:
                os._exit(126)
            if identity:
                os.setgroups(identity.groups)
                os.setgid(identity.gid)
                os.setuid(identity.uid)
            _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
            if os.getppid() != parent:
                os._exit(126)

        try:
            with open(log, "ab") as output:
                popen = subprocess.Popen(argv, stdin=stdin, stdout=output if stdout is None else stdout, stderr=output, env=environment,
                                         preexec_fn=prepare, start_new_session=True, cwd="/")
        finally:
            if namespace >= 0:
                os.close(namespace)
        child = Child(name, popen, log)
        self.children.append(child)
        return child

    def run(self, argv: list[str], *, user: str | None = None, timeout_s: float = 60, netns: int | None = None) -> str:
        """Runs argv to its end and gives its output; raises with the output when it fails."""
        prefix = ["nsenter", f"--net=/proc/{netns}/ns/net", "--"] if netns else []
        if user:
            prefix += ["runuser", "-u", user, "--"]
        done = subprocess.run(prefix + argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              timeout=timeout_s, cwd="/", check=False)
        if done.returncode != 0:
            raise LabError(f"{' '.join(argv[:3])} … failed with {done.returncode}:\n{done.stdout.strip()[-2000:]}")
        return done.stdout

    def of_site(self, site: str) -> list[int]:
        """Every live process of a site: its children with all their descendants, and whoever carries the site's mark."""
        wanted = (self.marker + site).encode()
        parents, states = _process_table()
        found = {pid for pid in parents if _environment_mark(pid) == wanted}
        found |= {c.pid for c in self.children if c.name.startswith(site + ".") and c.alive()}
        return _with_descendants(found, parents, states)

    def tree(self, pid: int) -> list[int]:
        """A process and all its descendants that still live."""
        parents, states = _process_table()
        return _with_descendants({pid}, parents, states)

    def reap(self) -> None:
        """Collects ended orphans that became our children."""
        known = {c.pid for c in self.children}
        parents, states = _process_table()
        for pid, parent in parents.items():
            if parent == os.getpid() and states[pid] == "Z" and pid not in known:
                try:
                    os.waitpid(pid, os.WNOHANG)
                except ChildProcessError:
                    pass
        for child in self.children:
            child.popen.poll()

    def end(self, child: Child, how: int = signal.SIGTERM, patience_s: float = 5) -> None:
        """Ends one child: asks first, insists after `patience_s`."""
        if child.alive():
            pids = self.tree(child.pid)
            send(how, [child.pid])
            try:
                child.popen.wait(patience_s)
            except subprocess.TimeoutExpired:
                kill_at_once(pids)
                child.popen.wait(5)
        if child in self.children:
            self.children.remove(child)

    def end_all(self) -> None:
        """Kills whatever the lab has started and waits until it is gone."""
        deadline = time.monotonic() + 10
        while True:
            pids = set()
            parents, states = _process_table()
            for pid in parents:
                mark = _environment_mark(pid)
                if mark is not None and mark.startswith(self.marker.encode()):
                    pids.add(pid)
            pids |= {c.pid for c in self.children if c.alive()}
            everything = _with_descendants(pids, parents, states)
            if not everything:
                break
            if time.monotonic() > deadline:
                raise LabError(f"processes that do not end: {everything}")
            kill_at_once(everything)
            self.reap()
            time.sleep(0.05)
        self.children.clear()
        self.reap()


def send(how: int, pids: list[int]) -> None:
    for pid in pids:
        try:
            os.kill(pid, how)
        except ProcessLookupError:
            pass


def stop_at_once(find) -> list[int]:
    """SIGSTOP for every process that find() names, again until it names no running one: a fork may have been under way."""
    stopped: list[int] = []
    for _ in range(20):
        fresh = [pid for pid in find() if pid not in stopped]
        if not fresh:
            return stopped
        send(signal.SIGSTOP, fresh)
        stopped += fresh
    raise LabError("the processes of the site do not stop")


def kill_at_once(pids: list[int]) -> None:
    """SIGSTOP before SIGKILL, so that none of them acts on the death of another."""
    send(signal.SIGSTOP, pids)
    send(signal.SIGKILL, pids)


class FreezeGuard:
    """Kills stopped processes if the lab itself dies: nobody else would ever wake or end them."""

    def __init__(self, pids: list[int]) -> None:
        self.reader, self.writer = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                os.setsid()
                for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                    signal.signal(number, signal.SIG_IGN)
                os.close(self.writer)
                if os.read(self.reader, 1) == b"":
                    send(signal.SIGKILL, pids)
            finally:
                os._exit(0)
        os.close(self.reader)

    def release(self) -> None:
        os.write(self.writer, b"x")
        os.close(self.writer)
        os.waitpid(self.pid, 0)


def _process_table() -> tuple[dict[int, int], dict[int, str]]:
    parents: dict[int, int] = {}
    states: dict[int, str] = {}
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            with open(f"/proc/{entry}/stat", encoding="utf-8", errors="replace") as stat:
                fields = stat.read().rpartition(")")[2].split()
        except OSError:
            continue
        parents[int(entry)] = int(fields[1])
        states[int(entry)] = fields[0]
    return parents, states


def _environment_mark(pid: int) -> bytes | None:
    try:
        with open(f"/proc/{pid}/environ", "rb") as environ:
            for item in environ.read().split(b"\0"):
                name, _, value = item.partition(b"=")
                if name == SITE_VARIABLE.encode():
                    return value
    except OSError:
        pass
    return None


def _with_descendants(found: set[int], parents: dict[int, int], states: dict[int, str]) -> list[int]:
    grown = True
    while grown:
        more = {pid for pid, parent in parents.items() if parent in found and pid not in found}
        grown = bool(more)
        found |= more
    return sorted(pid for pid in found if pid != os.getpid() and states.get(pid, "Z") not in "ZX")
