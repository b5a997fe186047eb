"""The lab without coordinators: `/usr/bin/python3 -m lab.selfcheck [--isolated]` proves that what the tests rely on works.

The pair streams, writers are counted, a killed, frozen or cut-off site stops acknowledging, a DNS update moves the client.
"""
from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from lab.nameserver import KEY_NAME, SERVICE_NAME, ZONE
from lab.network import NamespaceNetwork
from lab.processes import LabError, leave_on_signals
from lab.sites import Lab


def expect(holds: bool, what: str) -> None:
    if not holds:
        raise LabError(f"does not hold: {what}")
    print(f"ok  {what}", flush=True)


def point_dns_at(lab: Lab, address: str) -> None:
    orders = (f"server {lab.dns.address} {lab.dns.port}\nzone {ZONE}\nupdate delete {SERVICE_NAME} A\n"
              f"update add {SERVICE_NAME} 1 A {address}\nupdate delete _coord.{SERVICE_NAME} TXT\n"
              f"update add _coord.{SERVICE_NAME} 1 TXT \"epoch=2\"\nsend\n")
    done = subprocess.run(["nsupdate", "-y", f"hmac-sha256:{KEY_NAME}:{lab.dns.secret}"], input=orders, text=True, capture_output=True,
                          timeout=10, check=False)
    expect(done.returncode == 0, f"the zone takes the update {done.stderr.strip()}")


def check(lab: Lab) -> None:
    lab.start_databases()
    a, b = lab.server("site-a"), lab.server("site-b")
    expect(b.in_recovery() and not a.in_recovery(), "site-a is the primary, site-b streams from it")
    lab.a.appctl("start")
    lab.a.appctl("start")
    client = lab.http_writer()
    direct = [lab.sql_writer("site-a"), lab.sql_writer("site-b")]
    client.await_acks(50, lab.a.address)
    expect(not direct[1].acks(), "a standby acknowledges nothing")

    lab.with_nothing_under_way(lab.a.freeze)
    time.sleep(0.2)
    before = len(client.acks())
    time.sleep(1)
    expect(len(client.acks()) == before, "a frozen site acknowledges nothing")
    lab.a.resume()
    client.await_acks(20, lab.a.address)
    print("ok  a resumed site goes on", flush=True)
    if isinstance(lab.network, NamespaceNetwork):
        inside = lab.sql_writer("site-a", inside=True)
        inside.await_acks(5)
        lab.network.cut("site-a")
        time.sleep(0.3)
        before = len(client.acks())
        inside.await_acks(20)
        expect(len(client.acks()) == before, "a site that is cut off serves its inside and nobody else")
        lab.network.heal()
        client.await_acks(20, lab.a.address, timeout_s=40)
        lab.network.shape_sites(loss=30)
        lab.network.heal()

    lab.with_nothing_under_way(lab.a.kill)
    expect(not lab.processes.of_site("site-a"), "no process of a killed site is left")
    b.execute("SELECT pg_promote()", "postgres")
    lab.b.appctl("start")
    point_dns_at(lab, lab.b.address)
    client.await_acks(50, lab.b.address)
    counted = lab.count()
    expect(counted.lost == 0 and counted.split_brain == 0, f"the client has moved, nothing is lost: {counted}")
    a.start()
    direct[0].await_acks(10)
    for writer in lab.writers:
        writer.stop()
    counted = lab.count()
    expect(counted.split_brain >= 10, f"without a guard the old primary acknowledges, and it is counted: {counted.split_brain}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--isolated", action="store_true", help="sites in network namespaces")
    options = parser.parse_args()
    leave_on_signals()
    work = Path(tempfile.mkdtemp(prefix="coord-lab-", dir="/tmp"))
    started = time.monotonic()
    try:
        with Lab(work, None, source=Path(__file__).resolve().parent.parent, isolated=options.isolated,
                 say=lambda text: print(f"    {time.monotonic() - started:5.1f} s  {text}", flush=True)) as lab:
            check(lab)
            pids = lab.processes.tree(lab.dns.child.pid) if lab.dns.child else []
        expect(bool(pids) and not any(Path(f"/proc/{pid}").exists() for pid in pids), "nothing of the lab is left")
    except LabError as error:
        print(f"FAILED  {error}\n        (everything is in {work})", file=sys.stderr)
        return 1
    shutil.rmtree(work)
    print(f"ok  {time.monotonic() - started:.1f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
