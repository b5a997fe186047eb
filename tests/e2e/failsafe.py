"""Without a quorum: a healthy primary goes on while the other site's node promises not to take over, and stops at its deadline without."""
from __future__ import annotations

import time

from tests.e2e.scenario import Stage, scenario

FIVE = ("a1", "b1", "c1", "c2", "c3")
WITNESSES = ("c1", "c2", "c3")
PRIMARY = "/v1/services/app/sites/site-a/primary"  # what a load balancer asks
TTL_US = 2_000_000  # metro's
GAP_US = 1_000_000  # a renewal interval or two, on a busy machine


def now_us() -> int:
    return time.monotonic_ns() // 1000


@scenario(nodes=FIVE)
def a_primary_goes_on_without_a_quorum_while_the_other_site_promises(stage: Stage) -> None:
    lab = stage.lab
    begun_us = now_us()
    for name in WITNESSES:
        lab.node(name).kill()
    time.sleep(3.5 * TTL_US / 1e6)
    service = lab.node("a1").service()
    stage.expect((service["promises"] or {}).get("what") == "serving", f"status at a1: {service['summary']}; {service['way_out']}")
    stage.expect(lab.node("a1").get(PRIMARY)[0] == 200, "a load balancer that asks a1 stays with it")
    for name in WITNESSES:
        lab.node(name).start()
    lab.node("a1").await_log("event=renewed_by_log")
    expect_no_gap(stage, begun_us)  # into the promises and back into the log

    for name in WITNESSES:
        lab.node(name).kill()
    lab.node("a1").await_log("event=serving_on_promises", lab.node("a1").log.read_text().rindex("event=renewed_by_log"))
    lab.node("b1").kill()
    killed_us = now_us()
    lab.until(lambda: (lab.node("a1").service()["promises"] or {}).get("what") == "closed", 10, "the primary closed at its deadline")
    last_us = max(ack.acknowledged_us for ack in stage.direct["site-a"].acks())
    stage.expect(lab.node("a1").get(PRIMARY)[0] == 503, "and a load balancer goes away")
    stage.expect(last_us - killed_us < TTL_US, f"without the promise the last write was acknowledged {(last_us - killed_us) / 1e3:.0f} ms later")
    lab.node("b1").start()  # it has written no entry of its own: it does not promise
    refused = lab.sql_writer("site-a", threads=1)
    time.sleep(2)
    stage.expect(not refused.acks() and refused.stop() > 0, "nothing is acknowledged while b1 has started anew without a leader")
    stage.expect(lab.server("site-b").in_recovery(), "and site-b is still a standby")

    for name in WITNESSES:
        lab.node(name).start()
    lab.await_leader()
    stage.direct["site-a"].await_acks(50, lab.a.address)
    time.sleep(2)
    stage.nothing_moved()


def expect_no_gap(stage: Stage, since_us: int) -> None:
    moments = [since_us] + [ack.acknowledged_us for ack in stage.direct["site-a"].acks() if ack.acknowledged_us > since_us] + [now_us()]
    gap_us = max(later - earlier for earlier, later in zip(moments, moments[1:]))
    stage.expect(gap_us < GAP_US, f"the longest pause between two acknowledged writes was {gap_us / 1e3:.0f} ms")
