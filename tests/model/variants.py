"""What is searched: the bounds, what must hold in them, what must be reachable, and which builds must break the claim.

A name in BROKEN is the macro BROKEN_<name> of lease.pml or promise.pml, which takes one rule away; its bounds are the smallest that show it."""
from __future__ import annotations

from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Bounds:
    transmissions: int = 1
    epochs: int = 3
    switches: int = 0
    lowerings: int = 0
    promises: int = 0
    executors: int = 0  # changes of the executor at site B
    operators: int = 0
    recoveries: int = 0
    calm: int = 0  # 1: no server restarts and no agent fences; 2: no process restarts either
    steady: int = 0  # all clocks of one rate, no guest freezes

    def defines(self) -> list[str]:
        return [f"-D{name.upper()}={value}" for name, value in asdict(self).items()]


@dataclass(frozen=True)
class Broken:
    rule: str
    bounds: Bounds = Bounds()


@dataclass(frozen=True)
class Goal:
    condition: str
    bounds: Bounds = Bounds()


SWITCHED = Bounds(epochs=2, switches=2)
RECOVERED = Bounds(epochs=3, recoveries=1)
PROMISED = Bounds(epochs=2, promises=1)
PROMISED_CALM = Bounds(epochs=2, promises=1, calm=2)
PROMISED_BACK = Bounds(epochs=3, promises=1, calm=2)
PROMISED_EXECUTORS = Bounds(epochs=2, promises=1, executors=1, calm=2, steady=1)
PROMISED_WORD = Bounds(epochs=2, promises=1, executors=1, operators=1, calm=2, steady=1)

HOLDS: dict[str, Bounds] = {
    "always enforced": Bounds(transmissions=2, epochs=4),
    "disarmed and armed again": Bounds(epochs=3, switches=2),
    "disarmed and armed again, two renewals at once": Bounds(transmissions=2, epochs=2, switches=2),
    "the ttl is lowered": Bounds(transmissions=2, epochs=3, lowerings=1),
    "a forced recovery, and the old generation lives": RECOVERED,
    "promises": PROMISED,
    "promises, granted again or moved and moved back": PROMISED_BACK,
    "promises, the ttl is lowered": Bounds(epochs=2, promises=1, lowerings=1, calm=1),
    "promises, the executor changes": Bounds(epochs=2, promises=1, executors=1, calm=2),
    "promises, a person's word": PROMISED_WORD,
}
# Minutes more, and 3 GiB: with --deep only.
HOLDS_DEEP: dict[str, Bounds] = {
    "disarmed and armed again, two renewals at once, and back": Bounds(transmissions=2, epochs=3, switches=2),
    "promises, the ttl is lowered, granted again or moved back": Bounds(epochs=3, promises=1, lowerings=1, calm=2),
}

# Transitions that need promises, and bounds in which they can happen.
FIRES: dict[str, Bounds] = {
    "apply_recovery": RECOVERED,
    "old_generation_renews": RECOVERED,
    "node_joins": RECOVERED,
    "tick_is_missed_at": PROMISED_CALM,
    "node_learns": PROMISED_CALM,
    "process_restarts": PROMISED,
    "ask_promise": PROMISED_CALM,
    "give_promise": PROMISED_CALM,
    "open_on_promise": PROMISED_CALM,
    "promises_end": PROMISED_CALM,
    "apply_executor": PROMISED_EXECUTORS,
    "apply_word": PROMISED_WORD,
    "promotion_begins": PROMISED_WORD,
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
    "EXPIRY_PROVES_AFTER_RECOVERY": Broken("in a new generation, an expiry is proof for a lease of the old one", RECOVERED),
    # promises
    "EXPIRY_PROVES_WHILE_PROMISED": Broken("an expiry is proof without PROMISES_ENDED", PROMISED_CALM),
    "END_SAID_WHILE_PROMISED": Broken("PROMISES_ENDED is said while what was promised still runs", PROMISED_CALM),
    "END_SAID_BY_ANY_EXECUTOR": Broken("PROMISES_ENDED counts from a node that became the executor behind the holder's back", PROMISED_EXECUTORS),
    "PROMISE_SET_PARTIAL": Broken("the guard is opened although one of those that were asked has not promised", PROMISED_CALM),
    "PROMISE_SAMPLE_AFTER_ASKING": Broken("t0 is sampled when the promise arrives", PROMISED_CALM),
    "ANSWER_OF_ANOTHER_REQUEST": Broken("a promise counts for a later request than the one that it answers", PROMISED_CALM),
    "PROMISE_WITHOUT_DRIFT": Broken("a promise lasts for the ttl without the drift", PROMISED_CALM),
    "PROMISE_FOR_ANY_EPOCH": Broken("a node promises although its state shows another epoch, or the end of this one", PROMISED_CALM),
    "PROMISE_FORGOTTEN_BY_RESTART": Broken("a node that restarts does not wait for what it may have promised before", PROMISED),
    "PROMISE_ON_RESTORED_STATE": Broken("a restarted node promises by its snapshot, before it has caught up with the log", PROMISED),
    "HOLDER_ASKS_ON_RESTORED_STATE": Broken("a restarted holder asks by its snapshot, before it has caught up with the log", PROMISED),
    "PROMISE_LONGER_THAN_LEASE": Broken("a promise may be longer than the lease's ttl in the log, which a restarted node waits for",
                                        Bounds(epochs=2, promises=1, lowerings=1, calm=1)),
    "GRANT_SHORTENS_PROMISES": Broken("a grant to the same site lowers the ttl before PROMISES_ENDED",
                                      Bounds(epochs=3, promises=1, lowerings=1, calm=1)),
    "OPERATOR_IGNORES_PROMISE": Broken("after a person's word, the target does not wait for its own promises", PROMISED_WORD),
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
    "open in the old generation when its lease has expired in the new one": Goal("recovered && lease == EXPIRED && PASSES(A)", RECOVERED),
    "an agent's certificate after a recovery": Goal("recovered && epoch == 1 && agent_proof && running", RECOVERED),
    "open on a promise when its lease has expired": Goal("lease == EXPIRED && running && PASSES(A)", PROMISED_CALM),
    "a promise and the answer to a renewal at once": Goal("question[A].state == PROMISED && tx[0].accepted && epoch == 1", PROMISED_CALM),
    "promises have ended before the expiry": Goal("ended && lease == REVOKED", PROMISED_CALM),
    "a failover after promises": Goal("primary == B && PASSES(B) && guard[A].epoch == 1 && !agent_proof", PROMISED_CALM),
    "the new primary goes on by a promise of the old site": Goal("primary == B && question[B].state == PROMISED && lease == EXPIRED", PROMISED_BACK),
    "nobody can say that promises have ended": Goal("running && lease == EXPIRED && changes == 1 && known_changes == 0 && PASSES(A)", PROMISED_EXECUTORS),
    "after a person's word the target waits for its promise": Goal("primary == B && held_back && PASSES(A) && guard[B].left > 0", PROMISED_WORD),
}

# Commands that move no right to be primary, or that only stop something: the model has no transition for them.
NOT_MODELLED: dict[str, str] = {
    "fsm_cluster_init": "once, before everything",
    "fsm_cluster_version": "what is written and how, not who may act",
    "fsm_quorum_back": "patience",
    "fsm_node_heard": "evidence: an operation may start at any time here",
    "fsm_opinion": "evidence",
    "fsm_gates_noted": "for people",
    "fsm_sighting": "the veto only refuses a promotion",
    "fsm_member_remove": "a holder that is removed only stops renewing",
    "fsm_member_set": "who votes moves no right",
    "fsm_lead": "who leads moves no right",
    "fsm_step_skip": "a safety step cannot be skipped",
}
