"""Where the sites live: on loopback addresses of this machine, or in network namespaces that can be cut apart.

Namespaces belong to holder processes, not to names under /run/netns: when the lab ends, however it ends, the kernel takes them away
together with their interfaces and rules.
"""
from __future__ import annotations

import os
import socket
import subprocess
import time
from itertools import permutations
from pathlib import Path

from lab.processes import Child, LabError, Processes

SITES = ("site-a", "site-b", "site-c")
OUTSIDE = "outside"  # where the clients and the name server are
RELAY_SEED = 1
POSTGRES_PORT, APPLICATION_PORT, COORD_PORT, API_PORT, DNS_PORT = 15432, 18080, 17400, 17401, 15353
PORTS = (POSTGRES_PORT, APPLICATION_PORT, COORD_PORT)


def site_number(site: str) -> int:
    """site-a is 1: the third byte of every address there."""
    return ord(site[-1]) - ord("a") + 1


class LoopbackNetwork:
    """127.10.1.1, 127.10.2.1, 127.10.3.1, ...: the same ports at each, so the address alone decides where a client goes."""

    name_server = "127.0.0.1"
    client_addresses = "127.0.0.0/8"

    def __init__(self, hosts: list[tuple[str, int]]) -> None:
        self.hosts = hosts

    def address(self, site: str, host: int = 1) -> str:
        return f"127.10.{site_number(site)}.{host}"

    def namespace(self, site: str) -> int | None:
        return None

    def start(self) -> None:
        """Nothing to make; but somebody else, another lab for instance, may be there already."""
        for site, host in self.hosts:
            for port in PORTS:
                with socket.socket() as sock:
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    try:
                        sock.bind((self.address(site, host), port))
                    except OSError as error:
                        raise LabError(f"{self.address(site, host)}:{port} is in use ({error.strerror}): does another lab run? "
                                       f"`ss -ltnp | grep {port}` tells whose it is") from error


class NamespaceNetwork:
    """One namespace per site; whatever passes between two of them, or to the clients outside, passes lab/relay.c, which can cut, lose,
    delay, duplicate and reorder it, each direction by itself."""

    name_server = "198.18.0.53"
    client_addresses = "198.18.0.0/16"

    def __init__(self, hosts: list[tuple[str, int]], processes: Processes, relay: Path, log: Path) -> None:
        self.hosts = hosts
        self.sites = sorted({site for site, _ in hosts})
        self.processes, self.relay, self.log = processes, relay, log
        self.holders: dict[str, Child] = {}

    def address(self, site: str, host: int = 1) -> str:
        return f"198.18.{site_number(site)}.{host}"

    def namespace(self, site: str) -> int | None:
        return self.holders[site].pid

    def start(self) -> None:
        for name in self.sites:
            self.holders[name] = self.processes.start(f"namespace.{name}", ["unshare", "--net", "sleep", "infinity"], self.log)
        self._await_own_namespaces()
        # The clients and the name server stay outside the sites: in this machine's own namespace.
        outside = f"lab{os.getpid()}"
        ports = [f"0={outside}@{os.getpid()}", *(f"{site_number(site)}=eth0@{self.namespace(site)}" for site in self.sites)]
        self.child = self.processes.start("relay", [str(self.relay), str(RELAY_SEED), *ports], self.log, stdin=subprocess.PIPE,
                                          stdout=subprocess.PIPE)
        self._await_answer("ready")
        self._ip(None, f"address add {self.name_server}/16 dev {outside}")
        self._ip(None, f"link set {outside} up")
        for site in self.sites:
            holder = self.namespace(site)
            addresses = [f"address add {self.address(site, host)}/16 dev eth0" for at, host in self.hosts if at == site]
            for command in ("link set lo up", *addresses, "link set eth0 up"):
                self._ip(holder, command)

    def shape(self, source: str, target: str, **link: int) -> None:
        """One direction from now on: cut=1, loss=, duplicate=, reorder= (percent), delay_ms=, jitter_ms=; unnamed is 0."""
        words = " ".join(f"{key}={value}" for key, value in link.items())
        self._tell(f"link {_port(source)} {_port(target)} {words}", "ok")

    def shape_sites(self, **link: int) -> None:
        """The same for both directions between any two sites; the clients outside are not touched."""
        for source, target in permutations(self.sites, 2):
            self.shape(source, target, **link)

    def cut(self, site: str) -> None:
        """Nothing passes between this site and any other, or the clients; inside the site everything goes on."""
        self.deafen(site)
        self.mute(site)

    def deafen(self, site: str) -> None:
        """Nothing reaches the site; what it sends arrives."""
        for other in self._others(site):
            self.shape(other, site, cut=1)

    def mute(self, site: str) -> None:
        """Nothing that the site sends arrives; it is reached."""
        for other in self._others(site):
            self.shape(site, other, cut=1)

    def cut_between(self, one: str, other: str) -> None:
        """These two do not reach each other; everybody else reaches both."""
        self.shape(one, other, cut=1)
        self.shape(other, one, cut=1)

    def heal(self) -> None:
        for source, target in permutations([OUTSIDE, *self.sites], 2):
            self.shape(source, target)

    def counts(self) -> dict[str, int]:
        """Packets so far: passed, cut, lost, delayed, duplicated, reordered, and those that the relay itself could not carry or deliver."""
        counts = self._tell("counts", "passed=").split()
        return {key: int(value) for key, _, value in (word.partition("=") for word in counts)}

    def _others(self, site: str) -> list[str]:
        return [other for other in [OUTSIDE, *self.sites] if other != site]

    def _tell(self, command: str, expected: str) -> str:
        assert self.child.popen.stdin is not None
        try:
            self.child.popen.stdin.write(f"{command}\n".encode())
            self.child.popen.stdin.flush()
        except BrokenPipeError as error:
            raise LabError(f"the relay has ended:\n{self.child.log_tail()}") from error
        return self._await_answer(expected)

    def _await_answer(self, expected: str) -> str:
        assert self.child.popen.stdout is not None
        answer = self.child.popen.stdout.readline().decode().strip()
        if not answer.startswith(expected):
            raise LabError(f"the relay: expected {expected!r}, got {answer!r}\n{self.child.log_tail()}")
        return answer

    def _await_own_namespaces(self) -> None:
        ours = Path("/proc/self/ns/net").readlink()
        deadline = time.monotonic() + 5
        for name, holder in self.holders.items():
            while Path(f"/proc/{holder.pid}/ns/net").readlink() == ours:
                if time.monotonic() > deadline or not holder.alive():
                    raise LabError(f"no network namespace for {name}:\n{holder.log_tail()}")
                time.sleep(0.01)

    def _ip(self, namespace: int | None, command: str) -> None:
        self.processes.run(["ip", *command.split()], netns=namespace)


def _port(place: str) -> int:
    return 0 if place == OUTSIDE else site_number(place)
