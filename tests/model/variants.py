"""What is searched: the bounds, what must hold in them, what must be reachable, and which builds must break the claim.

A name in BROKEN is the macro BROKEN_<name> of lease.pml, which takes one rule away; its bounds are the smallest that show it."""
from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Bounds:
    transmissions: int = 1
    epochs: int = 3
    switches: int = 0
    lowerings: int = 0

    def defines(self) -> list[str]:
        return [f"-DTRANSMISSIONS={self.transmissions}", f"-DEPOCHS={self.epochs}", f"-DSWITCHES={self.switches}",
                f"-DLOWERINGS={self.lowerings}"]


@dataclass(frozen=True)
class Broken:
    rule: str
    bounds: Bounds = Bounds()


@dataclass(frozen=True)
class Goal:
    condition: str
    bounds: Bounds = Bounds()


SWITCHED = Bounds(epochs=2, switches=2)

HOLDS: dict[str, Bounds] = {
    "always enforced": Bounds(transmissions=2, epochs=4),
    "disarmed and armed again": Bounds(epochs=3, switches=2),
    "disarmed and armed again, two renewals at once": Bounds(transmissions=2, epochs=2, switches=2),
    "the ttl is lowered": Bounds(transmissions=2, epochs=3, lowerings=1),
}
# Five minutes more, and 3 GiB: with --deep only.
HOLDS_DEEP: dict[str, Bounds] = {
    "disarmed and armed again, two renewals at once, and back": Bounds(transmissions=2, epochs=3, switches=2),
}

BROKEN: dict[str, Broken] = {
    # time
    "NO_MARGIN": Broken("the guard may be open for the whole ttl: no margin"),
    "DRIFT_NOT_COUNTED": Broken("the leader counts the ttl without the drift"),
    "COUNT_FROM_ELECTION": Broken("the leader counts from its election on, not from its apply of the newest renewal"),
    "COUNT_KEPT_OVER_TERM": Broken("a new leader goes on with an older count"),
    "SAMPLE_AFTER_SENDING": Broken("t0 is sampled when the answer arrives"),
    "SAMPLE_IN_FUTURE": Broken("t0 may be later than the moment of the sample: the clock's late reading"),
    "TTL_LOWERED_AT_ONCE": Broken("the leader counts a lower ttl at once, while the guard may be open for the higher one",
                                  Bounds(transmissions=2, epochs=2, lowerings=1)),
    # the log
    "EXPIRY_NAMES_NO_RENEWAL": Broken("LEASE_EXPIRED is applied whatever renewal it names"),
    "EXPIRY_ALWAYS_PROVES": Broken("an expiry is proof although no enforcing guard was reported", SWITCHED),
    "REVOKED_LEASE_RENEWED": Broken("a renewal extends a revoked lease"),
    "NOT_REVOKED": Broken("an operation starts without revoking the lease"),
    "GRANT_TO_ANOTHER_SITE": Broken("a grant may go to another site than the primary"),
    "PROMOTE_WITHOUT_CERTIFICATE": Broken("apply(PROMOTE) does not ask for a certificate"),
    "CERTIFICATE_SURVIVES_GRANT": Broken("a certificate counts in the next epoch, too"),
    "STALE_RESULT_COUNTS": Broken("a fence's result counts for another attempt than its own"),
    # the guard
    "GUARD_STARTS_OPEN": Broken("a server starts with its guard open"),
    "CLOSE_NOT_STICKY": Broken("a closed guard can be opened again in the same epoch"),
    "INSTANCE_IGNORED": Broken("a guard is opened by what was granted to another life of its server"),
    # enforcement
    "OLD_REPORT_BELIEVED": Broken("a report from before a disarm is believed after it", SWITCHED),
    "SWITCH_KEEPS_CERTIFICATES": Broken("disarming leaves the certificates", SWITCHED),
    "BYPASS_BEFORE_ENTRY": Broken("the guard is bypassed before the log says that nothing is enforced", SWITCHED),
    "REPORT_BEFORE_BYPASS_ENDS": Broken("enforcement is reported before the bypass has ended", SWITCHED),
    "CLOSE_LEAVES_BYPASS": Broken("closing a guard leaves its bypass", SWITCHED),
    "BYPASS_AFTER_CLOSE": Broken("a late bypass opens a guard that was closed for its epoch", SWITCHED),
    "STATE_GOES_BACK": Broken("a restarted node acts on its snapshot before it has caught up with the log", SWITCHED),
}

REACHABLE: dict[str, Goal] = {
    "the first grant opens the primary": Goal("primary == A && epoch == 1 && PASSES(A)"),
    "an agent's certificate": Goal("agent_proof && running"),
    "an expiry's certificate": Goal("expiry_proof && running"),
    "an expiry without an operation": Goal("lease == EXPIRED && !running && expiry_proof"),
    "a failover ends with the new primary open": Goal("primary == B && epoch == 2 && PASSES(B)"),
    "a second failover, back": Goal("primary == A && epoch == 3 && PASSES(A) && guard[B].epoch == 2"),
    "granted again after an expiry or an abort": Goal("primary == A && epoch == 2 && PASSES(A)"),
    "an expiry that a renewal has overtaken": Goal("expiry == NAMES_OLDER && PASSES(A)"),
    "a certificate while the answer to a renewal is on its way": Goal("agent_proof && running && tx[0].accepted"),
    "two renewals of different epochs on their way": Goal("tx[0].known && tx[1].known && tx[0].epoch != tx[1].epoch",
                                                            Bounds(transmissions=2, epochs=2)),
    "a bypass by design": Goal("guard[A].bypass && lease == LIVE && switched == 1", SWITCHED),
    "a failover without enforcement, by the agent": Goal("switched == 1 && primary == B && guard[B].bypass", SWITCHED),
    "armed again, and an expiry's certificate": Goal("switched == 2 && expiry_proof && running", SWITCHED),
    "a lowered ttl works after the promotion": Goal("primary == B && lease_ttl == TTL_LOWERED && PASSES(B)",
                                                       Bounds(epochs=2, lowerings=1)),
}

# Commands that move no right to be primary, or that only stop something: the model has no transition for them.
NOT_MODELLED: dict[str, str] = {
    "fsm_cluster_init": "once, before everything",
    "fsm_cluster_version": "what is written and how, not who may act",
    "fsm_quorum_back": "patience",
    "fsm_node_heard": "evidence: an operation may start at any time here",
    "fsm_opinion": "evidence",
    "fsm_gates_noted": "for people",
    "fsm_executor_set": "one node a site here; it is refused while the lease is live or a step is open",
    "fsm_sighting": "the veto only refuses a promotion",
    "fsm_promises_ended": "without promises it only delays the certificate",
    "fsm_operator_certificate": "a person's word is outside the claim",
    "fsm_member_add": "who is a member moves no right",
    "fsm_member_remove": "a holder that is removed only stops renewing",
    "fsm_member_set": "who votes moves no right",
    "fsm_lead": "who leads moves no right",
    "fsm_recover": "revokes every lease and voids every proof; that the lost nodes are dead is a person's word",
    "fsm_step_skip": "a safety step cannot be skipped",
}
