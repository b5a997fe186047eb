"""Knot as the authoritative server of the zone that holds the service's record; it stands outside the three sites."""
from __future__ import annotations

import base64
import secrets
import shutil
import time
from pathlib import Path

from lab.dns_query import DnsError, query
from lab.processes import Child, LabError, Processes

ZONE = "example.test"
SERVICE_NAME = f"app.{ZONE}"
KEY_NAME = "coord-lab"

CONFIG = """\
server:
    listen: {address}@{port}
    rundir: "{directory}"
    udp-workers: 1
    tcp-workers: 1
    background-workers: 1
log:
  - target: stderr
    any: info
database:
    storage: "{directory}"
key:
  - id: {key_name}
    algorithm: hmac-sha256
    secret: {secret}
acl:
  # Nothing but the service's address and the record beside it that carries the epoch.
  - id: update-service
    key: {key_name}
    action: update
    update-owner: name
    update-owner-match: equal
    update-owner-name: [app, _coord.app]
    update-type: [A, TXT]
zone:
  - domain: {zone}
    storage: "{directory}"
    file: {zone}.zone
    acl: [update-service]
    zonefile-sync: -1
    zonefile-load: difference-no-serial
    journal-content: all
    serial-policy: increment
"""

ZONE_FILE = """\
$ORIGIN {zone}.
$TTL 60
@    IN SOA ns.{zone}. hostmaster.{zone}. 1 3600 600 86400 1
@    IN NS  ns.{zone}.
ns   IN A   {address}
app  1 IN A {service_address}
"""


class NameServer:
    def __init__(self, processes: Processes, directory: Path, address: str, port: int, user: str) -> None:
        self.processes = processes
        self.directory = directory
        self.address, self.port, self.user = address, port, user
        self.secret = base64.b64encode(secrets.token_bytes(32)).decode()
        self.key_file = directory / "tsig.key"
        self.child: Child | None = None

    def start(self, service_address: str) -> None:
        """Starts knotd and waits until it answers with the service's address."""
        self.directory.mkdir()
        values = dict(directory=self.directory, address=self.address, port=self.port, secret=self.secret, key_name=KEY_NAME, zone=ZONE)
        (self.directory / "knot.conf").write_text(CONFIG.format(**values))
        (self.directory / f"{ZONE}.zone").write_text(ZONE_FILE.format(service_address=service_address, **values))
        self.key_file.write_text(f"hmac-sha256:{KEY_NAME}:{self.secret}\n")
        for path in (self.directory, *self.directory.iterdir()):
            path.chmod(0o700 if path.is_dir() else 0o600)
            shutil.chown(path, self.user, self.user)
        self.child = self.processes.start("dns.knotd", ["knotd", "-c", str(self.directory / "knot.conf")],
                                          self.directory.parent / "log/knot.log", user=self.user)
        deadline = time.monotonic() + 15
        while self.addresses() != [service_address]:
            if time.monotonic() > deadline or not self.child.alive():
                raise LabError(f"knotd does not answer on {self.address}:{self.port}:\n{self.child.log_tail()}")
            time.sleep(0.05)

    def addresses(self) -> list[str]:
        """What the authority answers for the service now; empty also when it does not answer."""
        try:
            return query((self.address, self.port), SERVICE_NAME)
        except DnsError:
            return []
