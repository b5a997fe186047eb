"""Where the sites live: on loopback addresses of this machine, or in network namespaces that can be cut apart.

Namespaces belong to holder processes, not to names under /run/netns: when the lab ends, however it ends, the kernel takes them away
together with their interfaces and rules.
"""
from __future__ import annotations

import re
import socket
import subprocess
import time
from pathlib import Path

from lab.processes import Child, LabError, Processes

SITES = ("site-a", "site-b", "site-c")
POSTGRES_PORT, APPLICATION_PORT, COORD_PORT, DNS_PORT = 15432, 18080, 17400, 15353
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
    """One namespace per site on a bridge that has a namespace of its own; the rules that cut and lose stand at the bridge."""

    name_server = "198.18.0.53"
    client_addresses = "198.18.0.0/16"

    def __init__(self, hosts: list[tuple[str, int]], processes: Processes, log: Path) -> None:
        self.hosts = hosts
        self.sites = sorted({site for site, _ in hosts})
        self.processes = processes
        self.log = log
        self.holders: dict[str, Child] = {}

    def address(self, site: str, host: int = 1) -> str:
        return f"198.18.{site_number(site)}.{host}"

    def namespace(self, site: str) -> int | None:
        return self.holders[site].pid

    def start(self) -> None:
        for name in ("wan", *self.sites):
            self.holders[name] = self.processes.start(f"namespace.{name}", ["unshare", "--net", "sleep", "infinity"], self.log)
        self._await_own_namespaces()
        wan = self.holders["wan"].pid
        self._ip(wan, "link add br0 type bridge")
        self._ip(wan, "link set br0 up")
        for site in self.sites:
            holder = self.holders[site].pid
            self._ip(wan, f"link add port-{site[-1]} type veth peer name eth0 netns {holder}")
            self._ip(wan, f"link set port-{site[-1]} master br0 up")
            addresses = [f"address add {self.address(site, host)}/16 dev eth0" for at, host in self.hosts if at == site]
            for command in ("link set lo up", *addresses, "link set eth0 up"):
                self._ip(holder, command)
        # The clients and the name server stay outside the sites: this machine's own namespace gets a port of the bridge.
        outside = f"lab{wan}"
        self._ip(None, f"link add {outside} type veth peer name port-x netns {wan}")
        self._ip(wan, "link set port-x master br0 up")
        self._ip(None, f"address add {self.name_server}/16 dev {outside}")
        self._ip(None, f"link set {outside} up")
        self._nft("add table bridge wan; add chain bridge wan forward { type filter hook forward priority 0; policy accept; }")

    def cut(self, site: str) -> None:
        """Nothing passes between this site and any other, or the clients; inside the site everything goes on."""
        port = f"port-{site[-1]}"
        self._nft(f"add rule bridge wan forward iifname {port} drop; add rule bridge wan forward oifname {port} drop")

    def lose(self, percent: int) -> None:
        """Drops this share of all packets between the sites, at random."""
        ports = "{ " + ", ".join(f"port-{site[-1]}" for site in self.sites) + " }"
        self._nft(f"add rule bridge wan forward iifname {ports} oifname {ports} numgen random mod 100 < {percent} counter drop")

    def lost_count(self) -> int:
        """Packets dropped by lose() so far."""
        return sum(int(number) for number in re.findall(r"counter packets (\d+)", self._nft("list chain bridge wan forward")))

    def heal(self) -> None:
        self._nft("flush chain bridge wan forward")

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

    def _nft(self, rules: str) -> str:
        wan = self.holders["wan"].pid
        done = subprocess.run(["nsenter", f"--net=/proc/{wan}/ns/net", "--", "nft", "-f", "-"], input=rules, text=True,
                              capture_output=True, check=False, timeout=10)
        if done.returncode != 0:
            raise LabError(f"nft refused {rules!r}: {done.stderr.strip()}")
        return done.stdout
