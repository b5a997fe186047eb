"""The lab: three sites or more, the name server outside them, and what can be done to a site.

site-a holds the primary and the running application, site-b the standby and the same application stopped, site-c the witness; so it is
unless `Lab` is told of other nodes and databases.
"""
from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable

from lab import postgres
from lab.coord import CoordNode, Member, place_of
from lab.ledger import Count, Writer, count
from lab.nameserver import SERVICE_NAME, ZONE, NameServer
from lab.network import APPLICATION_PORT, DNS_PORT, POSTGRES_PORT, LoopbackNetwork, NamespaceNetwork
from lab.postgres import PostgresSite
from lab.processes import FreezeGuard, LabError, Processes, ignore_signals, kill_at_once, send, stop_at_once

NODES = ("a1", "b1", "c1")
DATABASES = ("site-a", "site-b")
PYTHON = "/usr/bin/python3"
PROGRAMS = ("coordinator/coordd", "coordinator/coord-supervise", "coordinator/coordctl", "fencing/lease_guard/lease_guard.so")


@dataclass
class Site:
    name: str
    address: str
    directory: Path
    processes: Processes
    namespace: int | None = None
    postgres: PostgresSite | None = None
    nodes: list[CoordNode] = field(default_factory=list)
    frozen: list[int] = field(default_factory=list)
    guard: FreezeGuard | None = None

    def kill(self) -> int:
        """The whole site at once: application, PostgreSQL, coordd. Gives the moment in microseconds of the monotonic clock."""
        pids = stop_at_once(lambda: self.processes.of_site(self.name))
        moment = time.monotonic_ns() // 1000
        send(signal.SIGKILL, pids)
        self._forget()
        return moment

    def freeze(self) -> int:
        """Every process of the site stops where it is, and knows nothing of it."""
        moment = time.monotonic_ns() // 1000
        self.frozen = stop_at_once(lambda: self.processes.of_site(self.name))
        self.guard = FreezeGuard(self.frozen)
        return moment

    def resume(self) -> None:
        send(signal.SIGCONT, self.frozen)
        self.frozen = []
        if self.guard is not None:
            self.guard.release()
            self.guard = None

    def kill_postgres(self) -> int:
        """kill -9 of the database server alone."""
        assert self.postgres is not None
        pids = self.postgres.pids()
        moment = time.monotonic_ns() // 1000
        kill_at_once(pids)
        self.postgres.forget_dead()
        return moment

    def appctl(self, action: str) -> str:
        return self.processes.run([str(self.directory / "appctl"), action], user=postgres.USER, netns=self.namespace)

    def _forget(self) -> None:
        if self.postgres is not None:
            self.postgres.forget_dead()
        for node in self.nodes:
            node.kill()
        self.processes.reap()


class Lab:
    """`with Lab(...) as lab:` starts nothing yet; leaving the block ends everything, however it is left.

    `nodes` are named by site and number (c2 is the second at site-c); a site is wherever a node is, and one that is not among
    `databases` holds witnesses. `databases` begins with the primary's site. Only the nodes in `first` (default: all) are in the first
    cluster; the others are there to be started later.
    """

    def __init__(self, work: Path, build: Path | None, *, source: Path, profile: str = "metro", isolated: bool = False,
                 timing: dict[str, str] | None = None, mode: str = "auto", say: Callable[[str], None] = lambda text: None,
                 nodes: tuple[str, ...] = NODES, databases: tuple[str, ...] = DATABASES, first: tuple[str, ...] = ()) -> None:
        self.work, self.build, self.source, self.profile, self.mode, self.say = work, build, source, profile, mode, say
        self.timing = dict(timing or {})
        self.processes = Processes()
        self.network: LoopbackNetwork | NamespaceNetwork
        hosts = [place_of(name) for name in nodes]
        if isolated:
            relay = (build or source / "build/release").absolute() / "lab/lab_relay"
            self.network = NamespaceNetwork(hosts, self.processes, relay, work / "log/network.log")
        else:
            self.network = LoopbackNetwork(hosts)
        self.databases = databases
        self.members = [Member(number, name, self.network.address(*place_of(name)), place_of(name)[0] not in databases)
                        for number, name in enumerate(nodes, 1)]
        self.first = first or nodes
        self.sites: dict[str, Site] = {}
        self.writers: list[Writer] = []
        self.dns = NameServer(self.processes, work / "dns", self.network.name_server, DNS_PORT, postgres.USER)

    def __enter__(self) -> "Lab":
        return self

    def __exit__(self, *_: object) -> None:
        ignore_signals()
        self.end()

    @property
    def a(self) -> Site:
        return self.sites["site-a"]

    @property
    def b(self) -> Site:
        return self.sites["site-b"]

    @property
    def c(self) -> Site:
        return self.sites["site-c"]

    @property
    def library(self) -> Path:
        return self.work / "lib"

    def start_databases(self) -> None:
        """Everything but the coordinators: the state in which a customer's pair is before coord comes to it."""
        self._prepare()
        self.network.start()
        self._make_sites()
        primary, *standbys = (self.server(site) for site in self.databases)
        self.say(f"PostgreSQL 15 primary at {primary.site}")
        primary.create_primary()
        for standby in standbys:
            self.say(f"streaming standby at {standby.site}")
            standby.create_standby_of(primary)
        for server in (primary, *standbys):
            server.enable_guard()
        primary.stop()
        primary.start()
        for standby in standbys:
            standby.start()
        for standby in standbys:
            primary.await_streaming(standby)
        self.say(f"Knot, authoritative for {ZONE}, outside the sites")
        self.dns.start(primary.address)

    def start_coordinators(self) -> None:
        """Bootstraps and starts the nodes of the first cluster, applies the services file and arms the service."""
        for name in self.first:
            self.node(name).bootstrap()
        for name in self.first:
            self.node(name).start()
        self.say(f"{len(self.first)} coordd, one cluster")
        self.await_leader()
        self.until(lambda: len(self.node("site-c").ctl("status")["cluster"]["nodes"]) == len(self.first), 15, "the cluster's first entry")
        self.services_file.write_text(self._services(), encoding="utf-8")
        self.node("site-c").ctl_text("apply", "-f", str(self.services_file))
        self.say("services file applied, service armed")
        self.until(lambda: self.node("site-c").service(), 5, "the service known to all nodes")
        self.node("site-c").ctl_text("arm", "app")

    @property
    def nodes(self) -> list[CoordNode]:
        return [node for site in self.sites.values() for node in site.nodes]

    def node(self, name: str) -> CoordNode:
        """The node of that name, or the first one at the site of that name."""
        return next(node for node in self.nodes if name in (node.name, node.site))

    def server(self, site: str) -> PostgresSite:
        server = self.sites[site].postgres
        assert server is not None
        return server

    @property
    def services_file(self) -> Path:
        return self.work / "services.yaml"

    def await_leader(self, timeout_s: float = 15) -> str:
        def look() -> str | None:
            leaders = {node.leader() for node in self.nodes if node.alive()}
            return leaders.pop() if len(leaders) == 1 else None
        return self.until(look, timeout_s, "a leader that all nodes know")

    def await_leader_at(self, wanted: Callable[[str], bool], timeout_s: float = 20) -> str:
        def look() -> str | None:
            leader = self.node("site-b").leader()
            return leader if leader is not None and wanted(leader) else None
        return self.until(look, timeout_s, "the leader where it is wanted")

    def await_ready(self, timeout_s: float = 30, serving: bool = True) -> None:
        """The service is at site-a, its lease live, its guard open; `serving`: its application runs, and a failover would be possible."""
        def look() -> bool:
            service = self.node("site-c").service()
            return (service["primary"] == "site-a" and service["lease"]["state"] == "live"
                    and (service["health"] == "ok" or not serving))
        self.until(look, timeout_s, "the service at site-a with a live lease" + (" and health ok" if serving else ""))
        self.until(lambda: self.try_write("site-a"), timeout_s, "an open guard at site-a")

    def try_write(self, site: str) -> bool:
        try:
            self.server(site).execute("INSERT INTO health VALUES ('lab', clock_timestamp()) ON CONFLICT (server) "
                                      "DO UPDATE SET checked_at = excluded.checked_at", user="app")
            return True
        except postgres.psycopg2.Error:
            return False

    def until(self, look: Callable[[], object], timeout_s: float, what: str):
        """Calls look() until it gives something true, and gives that."""
        deadline, last = time.monotonic() + timeout_s, ""
        while True:
            try:
                found = look()
                if found:
                    return found
            except (LabError, LookupError, TypeError) as error:
                last = f"; last: {error!r}"
            if time.monotonic() > deadline:
                raise LabError(f"not seen within {timeout_s:g} s: {what}{last} (logs: {self.work}/log)")
            time.sleep(0.05)

    def http_writer(self, **options) -> Writer:
        """A client of the application: resolves the service's name at the authority before each connection."""
        return self._writer("http", ["http", f"{self.dns.address}:{self.dns.port}", SERVICE_NAME, str(APPLICATION_PORT)], **options)

    def sql_writer(self, site: str, inside: bool = False, **options) -> Writer:
        """A client of one PostgreSQL server; `inside`: it stands in the site and is not cut off with it."""
        netns = self.sites[site].namespace if inside else None
        return self._writer(f"sql-{site}", ["sql", self.server(site).conninfo("app", "app")], netns=netns, **options)

    def _writer(self, name: str, kind: list[str], **options) -> Writer:
        number = len(self.writers) + 1
        writer = Writer(self.processes, name, kind, self.work / f"acks.{number}.{name}", self.work / "log" / f"writer.{name}.log",
                        number * 1_000_000_000, library=self.library, **options)
        self.writers.append(writer)
        return writer

    def with_nothing_under_way(self, act: Callable[[], int]) -> int:
        """Holds the writers, waits until the standby has every acknowledged write, acts, and lets them go on."""
        for writer in self.writers:
            writer.hold()
        self.server("site-a").await_replayed(self.server("site-b"))
        try:
            return act()
        finally:
            for writer in self.writers:
                writer.release()

    def count(self, old: str = "site-a", new: str = "site-b") -> Count:
        """The writers' records against the rows of the new primary."""
        acks = sorted((ack for writer in self.writers for ack in writer.acks()), key=lambda ack: ack.acknowledged_us)
        rows = {row[0] for row in self.server(new).execute("SELECT id FROM ledger")}
        return count(acks, self.sites[old].address, self.sites[new].address, rows)

    def end(self) -> None:
        for site in self.sites.values():
            site.resume()
        self.processes.end_all()

    def _prepare(self) -> None:
        if len(str(self.work)) > 60:
            raise LabError(f"the work directory's path is too long for sockets under it: {self.work}")
        for path in (self.work, self.work / "log", self.library, self.work / "bin"):
            path.mkdir(exist_ok=True)
            path.chmod(0o755)
        # Copies, so that the user postgres reads them wherever the source tree lies.
        shutil.copytree(self.source / "lab", self.library / "lab", ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)
        if self.build is not None:
            for program in PROGRAMS:
                shutil.copy2(self.build / program, self.work / "bin")
        probe = subprocess.run(["runuser", "-u", postgres.USER, "--", "ls", str(self.library / "lab")], capture_output=True, check=False)
        if probe.returncode != 0:
            raise LabError(f"the user {postgres.USER} cannot read below {self.work}: choose another work directory, such as one in /tmp")

    def _make_sites(self) -> None:
        authority = self._make_directory("pki") / "authority"
        if self.build is not None:
            self.processes.run([str(self.work / "bin/coordctl"), "pki", "init", str(authority), "--name", "lab"], user=postgres.USER)
        cluster = [member for member in self.members if member.name in self.first]
        for member in self.members:
            if member.site not in self.sites:
                self._make_site(member.site)
            site = self.sites[member.site]
            directory, log = site.directory, f"{site.name}.coordd.log"
            if site.nodes:
                directory, log = self._make_directory(f"{site.name}/{member.name}"), f"{site.name}.coordd.{member.name}.log"
            server = None if site.nodes else site.postgres
            known = cluster if member in cluster else [*cluster, member]
            site.nodes.append(CoordNode(self.processes, member, directory, self.work / "bin", self.work / "log" / log, known, self.profile,
                                        server, authority, site.namespace))

    def _make_site(self, name: str) -> None:
        site = Site(name, self.network.address(name), self._make_directory(name), self.processes, self.network.namespace(name))
        if name in self.databases:
            library = self.work / "bin/lease_guard.so" if self.build is not None else None
            site.postgres = PostgresSite(self.processes, name, site.address, site.directory, library, self.network.client_addresses,
                                         site.namespace)
            self._write_application(site)
        self.sites[name] = site

    def _make_directory(self, name: str) -> Path:
        directory = self.work / name
        directory.mkdir()
        shutil.chown(directory, postgres.USER, postgres.USER)
        return directory

    def _write_application(self, site: Site) -> None:
        assert site.postgres is not None
        config = dict(site=site.name, listen=site.address, port=APPLICATION_PORT, database=site.postgres.conninfo("app", "app"),
                      pid_file=str(site.directory / "app.pid"), log=str(site.directory / "app.log"), library=str(self.library),
                      lab_pid=os.getpid())
        path = site.directory / "app.json"
        path.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
        script = site.directory / "appctl"
        script.write_text(f"#!/bin/sh\nexport PYTHONPATH={self.library} COORD_LAB_SITE={self.processes.marker}{site.name}\n"
                          f'exec {PYTHON} -S -m lab.appctl {path} "$@"\n', encoding="utf-8")
        script.chmod(0o755)

    def _services(self) -> str:
        lines = ["services:", "  - name: app", f"    profile: {self.profile}", f"    mode: {self.mode}", f"    primary: {self.databases[0]}",
                 "    accept_vm_pause: true", "    max_lag: 64MiB", "    max_lag_seconds: 10"]
        if self.timing:
            lines.append("    timing: { " + ", ".join(f"{key}: {value}" for key, value in self.timing.items()) + " }")
        lines.append("    sites:")
        for name in self.databases:
            address = self.sites[name].address
            lines += [f"      - site: {name}",
                      f"        postgres: {{ host: {address}, port: {POSTGRES_PORT}, user: coord, dbname: postgres }}",
                      f'        health: "http://{address}:{APPLICATION_PORT}/health"', f"        address: {address}",
                      f'        deploy: [ "{self.sites[name].directory}/appctl", "start" ]']
        lines.append(f"    dns: {{ method: rfc2136, zone: {ZONE}, name: {SERVICE_NAME}, ttl: 1, "
                     f'servers: [ "{self.dns.address}:{self.dns.port}" ], key: "file:{self.dns.key_file}" }}')
        return "\n".join(lines) + "\n"
