/* Lease, guard, expiry, revocation, grant and certificate: at no instant may two sites acknowledge a write. docs/model.md explains what is
 * abstracted and has the figures; docs/safety.md has the rules.
 *
 * One service with its database at two sites. Everything that can happen is one transition below: a holder, a server, an agent or the leader
 * acts, an entry is applied, the network loses something, time passes. Whoever is not chosen is paused, for as long as the search likes.
 *
 * Each transition is an `inline` of its own. The comment before it names the C functions that do it ("c: file function ...") or says "world"
 * when nobody's code does; tests/model/check.py proves that those functions exist. BROKEN_x takes one rule away, and then the search must find
 * two primaries: the list is in tests/model/variants.py. */

#ifndef TRANSMISSIONS
#define TRANSMISSIONS 2 /* renewals of which something is still on its way */
#endif
#ifndef EPOCHS
#define EPOCHS 4 /* grants and promotions */
#endif
#ifndef SWITCHES
#define SWITCHES 0 /* of enforcement: disarm, arm */
#endif
#ifndef LOWERINGS
#define LOWERINGS 0 /* of the ttl, by a new configuration */
#endif
#ifndef PROMISES
#define PROMISES 0 /* a holder may go on without a leader: promise.pml */
#endif
#ifndef EXECUTORS
#define EXECUTORS 0 /* changes of the node that acts at site B; with promises only */
#endif
#ifndef RECOVERIES
#define RECOVERIES 0 /* 1: a person begins a new generation without site A's node, which goes on in the old one; not with promises */
#endif
#ifndef CALM
#define CALM 0 /* 1: no server restarts, and no agent fences; 2: no process restarts either; with promises only */
#endif
#ifndef OPERATORS
#define OPERATORS 0 /* a person may vouch for the old site; with promises only */
#endif

/* Times in ticks. In one count the holder's clock may stay behind the leader's by the drift, and by one freeze of its guest that is as long
 * as the margin; the leader counts the ttl and the drift. */
#define TTL 3
#define TTL_LOWERED 2
#ifndef STEADY
#define STEADY 0 /* 1: all clocks of one rate, and no guest freezes */
#endif
#if STEADY
#define DRIFT 0
#define FREEZE 0
#else
#define DRIFT 1
#define FREEZE 1
#endif
#ifdef BROKEN_NO_MARGIN
#define MARGIN 0
#else
#define MARGIN 1
#endif
#ifdef BROKEN_DRIFT_NOT_COUNTED
#define COUNT lease_ttl
#else
#define COUNT (lease_ttl + DRIFT)
#endif
#ifdef BROKEN_SAMPLE_IN_FUTURE
#define AGE_AT_SAMPLE(site_) ((site_) == A -> -2 : 0) /* read in two parts, with a pause between them */
#else
#define AGE_AT_SAMPLE(site_) 0
#endif

#define A 0
#define B 1
#define NONE 2
#define OTHER(site) (1 - (site))

/* --- the replicated state, as of the newest applied entry ------------------------------------------------------------------------- */

mtype = { NO_LEASE, LIVE, REVOKED, EXPIRED };

mtype lease = NO_LEASE;
unsigned epoch : 3;          /* of the lease, and the counter of all grants */
unsigned primary : 2 = NONE; /* the lease is always the primary's */
unsigned lease_ttl : 2;      /* what the leader counts */
bit enforcing;               /* the last report that counted */
bit agent_proof;             /* certificates of the current epoch; older ones are never asked */
bit expiry_proof;
bit running;                 /* an operation before its point of no return; every other state allows what no operation allows, and no more */
unsigned switched : 2;       /* how often enforcement was switched: armed at first, so odd means disarmed, paused or shadow */
bit lowered;                 /* the configuration has the shorter ttl */
#define ENFORCED (switched % 2 == 0)
#define CONFIGURED_TTL (lowered -> TTL_LOWERED : TTL)

/* --- the leader, whichever of the three nodes it is -------------------------------------------------------------------------------- */

unsigned counted : 3; /* ticks of its clock since it applied the renewal that it counts from */
bit count_is_current; /* that is the newest one; otherwise the leader has not applied the newest yet */
unsigned slow : 2;    /* ticks that the holder's clock may still fall behind in this count */
unsigned expiry : 2;  /* LEASE_EXPIRED on its way into the log: */
#define NOTHING 0
#define NAMES_NEWEST 1 /* renewal; or, of a fence, attempt */
#define NAMES_OLDER 2

/* --- a site: its server's guard, and what its node has applied --------------------------------------------------------------------- */

typedef guard_t {
    unsigned epoch : 3;        /* the newest that was opened */
    unsigned left : 2;         /* ticks until the deadline; 0: closed */
    unsigned closed : 3;       /* no epoch up to it opens again */
    bit bypass;
    unsigned bypass_epoch : 3;
    unsigned bypass_asked : 3; /* a `bypass on` that the server has not read yet: its epoch + 1 */
};
guard_t guard[2];
#if OPERATORS > 0
bit held_back; /* the server of a site that was promoted on a person's word is still in recovery, and lets nothing pass */
#define PASSES(site) (guard[site].left > 0 && !((site) == B && held_back))
#else
#define PASSES(site) (guard[site].bypass || guard[site].left > 0)
#endif

typedef view_t { /* what the site's node has applied: any prefix of the log, but never a shorter one than before */
    bit acts;    /* it shows this site with the lease, or free to ask for it */
    unsigned epoch : 3;
    unsigned switched : 2;
};
view_t view[2];
#ifdef BROKEN_STATE_GOES_BACK
view_t saved[2]; /* the snapshot on the node's disk */
#endif

/* The state that a node acts on: with switches, any that it has applied; without, what it acts on wrongly is refused by whatever applies it. */
#if SWITCHES > 0
#define ACTS(site_) (view[site_].acts)
#define HAS_LEASE(site_) (view[site_].acts && view[site_].epoch == epoch && epoch > 0)
#define KNOWS_SETTING(site_) (view[site_].switched == switched)
inline view_ends(site_)
{
    view[site_].acts = 0;
    view[site_].epoch = 0;
    view[site_].switched = 0
}
#else
#define ACTS(site_) (primary == (site_) || (primary == NONE && (site_) == A))
#define KNOWS_SETTING(site_) true
#if PROMISES > 0 /* whom the holder asks depends on what it has applied */
#define HAS_LEASE(site_) (primary == (site_) && node[EXECUTOR(site_)].live == epoch && epoch > 0)
#define view_ends(site_) node[EXECUTOR(site_)].live = 0; node[EXECUTOR(site_)].mine = 0
#else
#define HAS_LEASE(site_) (primary == (site_))
#define view_ends(site_) skip
#endif
#endif

#if RECOVERIES > 0
bit recovered;
unsigned old_epoch : 3; /* whose lease is live in the old generation */
bit stranded; /* site A's node lives in the old generation, whose majority still answers it */
#define IS_MEMBER(site_) ((site_) == B || !stranded)
#else
#define IS_MEMBER(site_) true
#endif

/* --- what is on its way --------------------------------------------------------------------------------------------------------------- */

typedef transmission_t { /* one renewal: the holder's sample, its RENEW, and the answer to that */
    bit sent;            /* the RENEW may be applied, now or later, once or more often */
    bit known;           /* the holder remembers the sample */
    bit accepted;        /* the answer "applied" may arrive */
    bit site;
    unsigned epoch : 3;
    bit report;          /* the guard was enforcing, under the newest setting */
    bit same_life;       /* the server that was sampled still lives */
    short age;           /* ticks of the server's clock since the sample */
    unsigned hold : 2;   /* the guard may be open for so long from the sample on */
    unsigned ttl : 2;    /* what the RENEW carries */
#if EXECUTORS > 0
    unsigned knew : 2;   /* changes of site B's executor that the holder had applied when it sampled */
#endif
};
transmission_t tx[TRANSMISSIONS];

unsigned asking : 2; /* GRANT on its way: */
#define ASKS_NOT_ENFORCING 1
#define ASKS_ENFORCING 2

unsigned fence : 2; /* the result of the fence on its way: NOTHING, NAMES_NEWEST, NAMES_OLDER */

/* --- the claim -------------------------------------------------------------------------------------------------------------------- */

/* Before the first grant nothing is enforced yet, and the site that the configuration names may be open. */
#if defined(GOAL) /* must be reachable: the search fails with a way to it */
#define RULE(condition) skip
#define CLAIM assert(!(GOAL))
#elif defined(BROKEN) /* must break the claim itself, not a rule on the way to it */
#define RULE(condition) skip
#define CLAIM assert(!(PASSES(A) && PASSES(B)))
#elif OPERATORS > 0 /* a person's word moves the right in the log first */
#define RULE(condition) assert(condition)
#define CLAIM assert(!(PASSES(A) && PASSES(B)))
#else
#define RULE(condition) assert(condition)
#define CLAIM                                                                                                                              \
    assert(!(PASSES(A) && PASSES(B)));                                                                                                     \
    assert(!PASSES(A) || primary != B);                                                                                                    \
    assert(!PASSES(B) || primary == B)
#endif

/* --- helpers ---------------------------------------------------------------------------------------------------------------------- */

#if TRANSMISSIONS > 1
#define EACH(what) what(0); what(1)
#define EACH_AT(what, site_) what(0, site_); what(1, site_)
#else
#define EACH(what) what(0)
#define EACH_AT(what, site_) what(0, site_)
#endif
#define WHEN(condition, then) if :: condition -> then :: else fi

#if EXECUTORS > 0
#define knows_executors(i, site_) tx[i].knew = node[EXECUTOR(site_)].changes
#define forget_knowledge(i) tx[i].knew = 0
#define copy_knowledge() tx[0].knew = tx[1].knew
#else
#define knows_executors(i, site_) skip
#define forget_knowledge(i) skip
#define copy_knowledge() skip
#endif

/* What can have no effect any more is zero, so that equal states look equal. */
inline tidy(i)
{
    WHEN(!tx[i].sent, tx[i].report = 0; tx[i].ttl = 0; forget_knowledge(i));
    WHEN(!tx[i].sent && !tx[i].accepted, tx[i].known = 0);
    WHEN(!tx[i].known, tx[i].accepted = 0; tx[i].age = 0; tx[i].hold = 0; tx[i].same_life = 0);
    WHEN(!tx[i].sent && !tx[i].known, tx[i].site = 0; tx[i].epoch = 0)
}

/* The older sample is always tx[0]. */
inline in_order()
{
#if TRANSMISSIONS > 1
    WHEN(!tx[0].sent && !tx[0].known && (tx[1].sent || tx[1].known),
         tx[0].sent = tx[1].sent; tx[0].known = tx[1].known; tx[0].accepted = tx[1].accepted; tx[0].site = tx[1].site;
         tx[0].epoch = tx[1].epoch; tx[0].report = tx[1].report; tx[0].same_life = tx[1].same_life; tx[0].age = tx[1].age;
         tx[0].hold = tx[1].hold; tx[0].ttl = tx[1].ttl; copy_knowledge(); tx[1].sent = 0; tx[1].known = 0; tidy(1))
#else
    skip
#endif
}

inline drop_renew(i)
{
    tx[i].sent = 0;
    tidy(i)
}

inline drop_report(i)
{
    tx[i].report = 0
}

inline other_life(i, site_)
{
    WHEN(tx[i].site == site_, tx[i].same_life = 0)
}

#if RECOVERIES > 0
inline forget_of_a(i)
{
    WHEN(tx[i].site == A, tx[i].known = 0; tidy(i))
}
#endif

inline age_one(i, site_)
{
    WHEN(tx[i].known && tx[i].site == site_,
         tx[i].age++;
         WHEN(tx[i].age >= tx[i].hold, tx[i].known = 0; tidy(i))) /* it could open a guard until now only */
}

/* Whatever named the renewal before this one names an older one from here on. */
inline renewed()
{
    count_is_current = 0;
    slow = 0;
#if !defined(BROKEN_COUNT_FROM_ELECTION) && !defined(BROKEN_COUNT_KEPT_OVER_TERM)
    counted = 0;
#endif
    WHEN(expiry == NAMES_NEWEST, expiry = NAMES_OLDER)
}

/* The clock of the server moves by one tick. */
inline clock_moves(site_)
{
    WHEN(guard[site_].left > 0, guard[site_].left--);
    EACH_AT(age_one, site_)
}

#if PROMISES > 0
#include "promise.pml"
#else
#define promises_of_new_epoch() skip
#define promises_of_abort() skip
#define promises_of_promotion() skip
#define question_dies(site_) skip
#define holder_knew(i) skip
#define PROMISES_ENDED true
#define VOUCHED false
#define MAY_BE_PROMISED false
#endif

/* What was asked for under the old epoch is refused by whatever applies it: lease_renew "another epoch", grant_refused "the log has moved on". */
inline new_epoch()
{
    epoch++;
    lease = LIVE;
#ifndef BROKEN_CERTIFICATE_SURVIVES_GRANT
    agent_proof = 0;
    expiry_proof = 0;
#endif
    promises_of_new_epoch();
    asking = NOTHING;
    EACH(drop_renew);
    renewed()
}

/* --- time ---------------------------------------------------------------------------------------------------------------------------- */

#if PROMISES == 0
/* A tick that the leader counts, and so does the holder's server. world, and c: coordinator/core/leader.c leader_tick */
inline tick()
{
    count_is_current && counted < COUNT ->
    printf("a tick passes\n");
    counted++;
    clock_moves(A);
    clock_moves(B)
}

/* The holder's clock falls behind: drift, or a freeze of its guest. That only matters while a count runs; the clocks of two servers are never
 * compared. world */
inline tick_is_missed()
{
    count_is_current && counted < COUNT && slow > 0 ->
    printf("a tick passes, and the clock at the primary stands still\n");
    counted++;
    slow--;
    clock_moves(OTHER(primary))
}

/* The leader is paused, or no node leads: only servers' clocks move. world */
inline tick_is_not_counted()
{
    printf("a tick passes that no leader counts\n");
    clock_moves(A);
    clock_moves(B)
}
#endif

/* --- the leader ------------------------------------------------------------------------------------------------------------------------- */

/* Another term: what the leader before had counted is gone; the new one may lag behind the log, too. The entries of the old one may still be
 * committed. c: coordinator/core/leader.c leader_begin leader_end */
inline election()
{
    primary != NONE && lease != EXPIRED ->
    printf("another node leads\n");
#ifdef BROKEN_COUNT_KEPT_OVER_TERM
    count_is_current = 1
#else
    counted = 0;
    slow = 0;
    count_is_current = 0
#endif
}

/* The leader applies the newest renewal (or grant, or promotion), and counts from here. c: coordinator/core/leader.c leader_applied start_counts */
inline leader_applies()
{
    !count_is_current && (lease == LIVE || lease == REVOKED) ->
    printf("the leader has applied the newest renewal\n");
#ifndef BROKEN_COUNT_FROM_ELECTION
    counted = 0;
#endif
    slow = DRIFT + FREEZE;
    count_is_current = 1
}

/* A leader that has not applied the newest renewal may have counted an older one to its end. c: coordinator/core/leader.c next_expiry */
inline propose_expiry()
{
#ifdef BROKEN_EXPIRY_NAMES_NO_RENEWAL
    count_is_current &&
#endif
    expiry == NOTHING && (lease == LIVE || lease == REVOKED) && (counted >= COUNT || !count_is_current) ->
    expiry = (count_is_current -> NAMES_NEWEST : NAMES_OLDER);
    printf("the leader proposes the expiry of epoch %d (%d: 1 names the newest renewal)\n", epoch, expiry)
}

/* c: coordinator/core/fsm_lease.c fsm_lease_expired fsm_certify_expiry; coordinator/core/lease.c lease_expire;
 * coordinator/core/certificate.c certificate_expiry_is_proof */
inline apply_expiry()
{
#ifdef BROKEN_EXPIRY_NAMES_NO_RENEWAL
    expiry != NOTHING &&
#else
    expiry == NAMES_NEWEST &&
#endif
    (lease == LIVE || lease == REVOKED) ->
    printf("applied: LEASE_EXPIRED, epoch %d, enforcing %d\n", epoch, enforcing);
    lease = EXPIRED;
    expiry = NOTHING;
    counted = 0;
    slow = 0;
    count_is_current = 0;
#ifdef BROKEN_EXPIRY_ALWAYS_PROVES
    expiry_proof = 1
#else
    expiry_proof = enforcing && PROMISES_ENDED
#endif
}

/* Lost with its leader, or refused. c: coordinator/core/lease.c lease_expire */
inline expiry_comes_to_nothing()
{
    expiry != NOTHING ->
    printf("the proposed expiry is lost or refused\n");
    expiry = NOTHING
}

/* --- operations ------------------------------------------------------------------------------------------------------------------------- */

/* A verdict, or a person, starts one: the old epoch ends here.
 * c: coordinator/core/fsm_operation.c fsm_operation_start fsm_operation_approve run_begins;
 * coordinator/core/lease.c lease_revoke; coordinator/core/leader.c next_decision */
inline start()
{
#ifdef BROKEN_STATE_GOES_BACK
    ENFORCED && /* so that the way to it is the one that matters */
#endif
#ifdef BROKEN_GRANT_SHORTENS_PROMISES
    epoch == 2 && lowered && /* likewise: the second grant is the short one */
#endif
    !running && primary != NONE && epoch < EPOCHS ->
    printf("applied: OPERATION_START, epoch %d is revoked\n", epoch);
    running = 1;
#ifndef BROKEN_NOT_REVOKED
    WHEN(lease == LIVE, lease = REVOKED);
#endif
    WHEN(lease == EXPIRED && enforcing && PROMISES_ENDED, expiry_proof = 1)
}

/* c: coordinator/core/fsm_operation.c fsm_operation_abort; coordinator/core/certificate.c certificate_void_all; coordinator/core/plan.c plan_undo */
inline abort()
{
    running ->
    printf("applied: OPERATION_ABORT\n");
    running = 0;
    agent_proof = 0;
    expiry_proof = 0;
    promises_of_abort();
    WHEN(fence == NAMES_NEWEST, fence = NAMES_OLDER)
}

/* The old site's node has applied the assignment; every server of the epoch is stopped or its guard closed for it. A server that is stopped is one
 * that restarts later. c: coordinator/core/leader.c next_step; coordinator/core/fsm_operation.c fsm_step_assign; coordinator/exec/exec.c scan_service;
 * coordinator/exec/step_fence.c begin on_fenced; fencing/fence_agent.c guard_is_closed prove_all; fencing/lease_guard/guard_state.c guard_close */
inline fence_runs()
{
    running && fence != NAMES_NEWEST && IS_MEMBER(primary) ->
    printf("the agent closes the guard at site %d for epoch %d\n", primary, epoch);
#ifndef BROKEN_CLOSE_NOT_STICKY
    guard[primary].closed = epoch;
#endif
    WHEN(guard[primary].epoch <= epoch, guard[primary].left = 0);
#ifndef BROKEN_CLOSE_LEAVES_BYPASS
    WHEN(guard[primary].bypass_epoch <= epoch, guard[primary].bypass = 0; guard[primary].bypass_epoch = 0);
#endif
    view_ends(primary);
    fence = NAMES_NEWEST
}

/* c: coordinator/core/fsm_operation.c fsm_step_result success_refused covers_instances; coordinator/core/fsm_lease.c fsm_certify_agent */
inline apply_fence_result()
{
#ifdef BROKEN_STALE_RESULT_COUNTS
    fence != NOTHING && running ->
#else
    fence == NAMES_NEWEST && running ->
    RULE(lease == REVOKED || lease == EXPIRED);
#endif
    printf("applied: STEP_RESULT of the fence: certificate AGENT for epoch %d\n", epoch);
    agent_proof = 1;
    fence = NOTHING
}

/* Lost, or refused as stale. c: coordinator/core/fsm_operation.c fsm_step_result */
inline fence_result_comes_to_nothing()
{
    fence != NOTHING ->
    printf("the fence's result is lost or refused\n");
    fence = NOTHING
}

/* The point of no return. The new primary's guard is as it was: closed until its first renewal.
 * c: coordinator/core/fsm_lease.c fsm_promote; coordinator/core/certificate.c certificate_any certificate_counts; coordinator/core/lease.c lease_grant;
 * coordinator/core/leader.c next_promote; coordinator/core/plan.c plan_candidate plan_promoted; coordinator/exec/step_promote.c on_guard */
inline apply_promote()
{
#ifndef BROKEN_PROMOTE_WITHOUT_CERTIFICATE
    (agent_proof || expiry_proof || VOUCHED) &&
#endif
    running && epoch < EPOCHS ->
    printf("applied: PROMOTE, site %d is primary in epoch %d (agent %d, expired %d)\n", OTHER(primary), epoch + 1, agent_proof, expiry_proof);
    RULE((agent_proof || expiry_proof || VOUCHED) && (lease == REVOKED || lease == EXPIRED));
    RULE(VOUCHED || (!PASSES(A) && !PASSES(B)));
    primary = OTHER(primary);
    running = 0;
    enforcing = ENFORCED;
    lease_ttl = CONFIGURED_TTL;
    fence = (fence == NAMES_NEWEST -> NAMES_OLDER : fence);
    promises_of_promotion();
    new_epoch()
}

/* --- the holder ----------------------------------------------------------------------------------------------------------------------- */

/* The site's node applies what is in the log by now; after a restart of the node, too, before it acts on anything.
 * c: coordinator/daemon_log.c apply restore; coordinator/holder/holder.c holds may_ask acts; coordinator/daemon_watch.c daemon_acts announce_start;
 * coordinator/core/fsm_cluster.c fsm_node_started */
inline node_applies(site_)
{
    view[site_].epoch != epoch || view[site_].switched != switched ||
    view[site_].acts != ((primary == (site_) && (lease == LIVE || !running)) || (primary == NONE && (site_) == A)) ->
    printf("the node at site %d has applied all\n", site_);
    view[site_].acts = (primary == (site_) && (lease == LIVE || !running)) || (primary == NONE && (site_) == A);
    view[site_].epoch = (view[site_].acts -> epoch : 0);
    view[site_].switched = (view[site_].acts -> switched : 0)
}

/* The guard is asked, and its answer becomes a RENEW. c: coordinator/holder/holder.c holder_tick sample_begin holder_on_guard;
 * coordinator/daemon_lease.c guard_status on_status; fencing/lease_guard/guard_state.c guard_status_read */
inline renew(i, site_, short_)
{
    HAS_LEASE(site_) && IS_MEMBER(site_) && !tx[i].sent && !tx[i].known && (i == 0 || tx[0].sent || tx[0].known) && guard[site_].bypass_asked == 0 &&
    (!short_ || lowered) ->
    printf("the node at site %d samples its server and sends RENEW of epoch %d\n", site_, epoch);
    tx[i].sent = 1;
    tx[i].known = 1;
    tx[i].site = site_;
    tx[i].epoch = epoch;
#ifdef BROKEN_REPORT_BEFORE_BYPASS_ENDS
    tx[i].report = (ENFORCED && KNOWS_SETTING(site_));
#else
    tx[i].report = (ENFORCED && KNOWS_SETTING(site_) && !guard[site_].bypass);
#endif
    tx[i].same_life = 1;
    tx[i].age = AGE_AT_SAMPLE(site_);
    tx[i].ttl = (short_ -> TTL_LOWERED : TTL);
    tx[i].hold = tx[i].ttl - MARGIN;
    knows_executors(i, site_)
}

/* c: coordinator/core/fsm_lease.c fsm_renew believed; coordinator/core/lease.c lease_renew remember_instance */
inline apply_renew(i)
{
#ifdef BROKEN_GRANT_SHORTENS_PROMISES
    primary == B &&
#endif
    tx[i].sent && tx[i].epoch == epoch && primary == tx[i].site && IS_MEMBER(tx[i].site) &&
#ifdef BROKEN_REVOKED_LEASE_RENEWED
    (lease == LIVE || lease == REVOKED) ->
#else
    lease == LIVE ->
#endif
    printf("applied: RENEW of epoch %d by site %d, enforcing %d\n", epoch, tx[i].site, tx[i].report);
    enforcing = tx[i].report;
#ifdef BROKEN_TTL_LOWERED_AT_ONCE
    lease_ttl = tx[i].ttl;
#else
    lease_ttl = (tx[i].ttl > lease_ttl -> tx[i].ttl : lease_ttl);
#endif
    tx[i].accepted = tx[i].known;
    holder_knew(i);
    renewed()
}

/* The RENEW is lost, or refused. world, and c: coordinator/core/lease.c lease_renew */
inline lose_renew(i)
{
    tx[i].sent ->
    printf("a RENEW is lost, or refused\n");
    tx[i].sent = 0;
    tidy(i)
}

/* The answer is lost; or the holder has too many samples, or starts anew, and the answer is to nothing that it knows; or the guard refuses to be
 * opened: another instance, a sample in its future, an older epoch, a closed one. world, and c:
 * coordinator/holder/holder.c holder_init sample_by_token holder_on_outcome; raft/forward.c on_answer forward_tick;
 * fencing/lease_guard/guard_state.c judge_open */
inline forget_sample(i)
{
    tx[i].known ->
    printf("site %d forgets a sample, or its answer is lost\n", tx[i].site);
    tx[i].known = 0;
    tidy(i)
}

/* The answer arrives, and the guard is opened. How long the answer and the request to the guard took is in the age.
 * c: coordinator/holder/holder.c holder_on_outcome; fencing/lease_guard/guard_state.c judge_open guard_open;
 * coordinator/daemon_lease.c on_renewed guard_open */
inline open(i)
{
#ifndef BROKEN_INSTANCE_IGNORED
    tx[i].same_life &&
#endif
    tx[i].accepted && tx[i].age >= 0 && tx[i].epoch > guard[tx[i].site].closed && tx[i].epoch >= guard[tx[i].site].epoch ->
    printf("the guard at site %d is opened for epoch %d, sample %d ticks old\n", tx[i].site, tx[i].epoch, tx[i].age);
#ifdef BROKEN_SAMPLE_AFTER_SENDING
    tx[i].age = 0;
#endif
    WHEN(tx[i].epoch > guard[tx[i].site].epoch || tx[i].hold - tx[i].age > guard[tx[i].site].left,
         guard[tx[i].site].left = tx[i].hold - tx[i].age);
    guard[tx[i].site].epoch = tx[i].epoch;
    tx[i].known = 0;
    tidy(i)
}

#if PROMISES > 0
#define GRANTS (EPOCHS - 1) /* the last epoch begins with a promotion: a grant to the same site opens no other */
#else
#define GRANTS EPOCHS
#endif
/* A primary without a lease asks for one. c: coordinator/holder/holder.c may_ask holder_on_guard */
inline ask(site_)
{
    asking == NOTHING && ACTS(site_) && IS_MEMBER(site_) && guard[site_].bypass_asked == 0 && epoch < GRANTS &&
    (primary == (site_) || (primary == NONE && (site_) == A)) ->
    asking = (ENFORCED && KNOWS_SETTING(site_) && !guard[site_].bypass -> ASKS_ENFORCING : ASKS_NOT_ENFORCING);
    printf("site %d asks for a grant (%d: 2 is enforcing)\n", site_, asking)
}

/* c: coordinator/core/fsm_lease.c fsm_grant grant_refused others_are_standbys other_holder; coordinator/core/lease.c lease_grant */
inline apply_grant(to)
{
#ifndef BROKEN_GRANT_TO_ANOTHER_SITE
    (primary == (to) || (primary == NONE && (to) == A)) &&
#endif
    asking != NOTHING && !running && lease != LIVE && (!ENFORCED || asking == ASKS_ENFORCING) ->
    printf("applied: GRANT to site %d, epoch %d\n", to, epoch + 1);
    enforcing = (ENFORCED && asking == ASKS_ENFORCING);
#ifdef BROKEN_TTL_LOWERED_AT_ONCE
    lease_ttl = CONFIGURED_TTL;
#else
    lease_ttl = ((lease == REVOKED || MAY_BE_PROMISED) && lease_ttl > CONFIGURED_TTL -> lease_ttl : CONFIGURED_TTL);
#endif
    RULE(primary == (to) || primary == NONE);
    primary = to;
    new_epoch();
    WHEN(fence == NAMES_NEWEST, fence = NAMES_OLDER)
}

/* Lost, or refused. world, and c: coordinator/core/fsm_lease.c grant_refused */
inline lose_grant()
{
    asking != NOTHING ->
    printf("the GRANT is lost or refused\n");
    asking = NOTHING
}

/* --- the server ------------------------------------------------------------------------------------------------------------------------ */

/* A new life of the server, by whatever cause: its guard starts closed and knows nothing. c: fencing/lease_guard/guard_state.c guard_state_init */
inline server_restarts(site_)
{
    printf("the server at site %d restarts\n", site_);
    guard[site_].epoch = 0;
    guard[site_].closed = 0;
    guard[site_].bypass = 0;
    guard[site_].bypass_epoch = 0;
    guard[site_].bypass_asked = 0;
#ifdef BROKEN_GUARD_STARTS_OPEN
    guard[site_].left = TTL;
#else
    guard[site_].left = 0;
#endif
    EACH_AT(other_life, site_);
    question_dies(site_)
}

#if RECOVERIES > 0
/* --- generations ------------------------------------------------------------------------------------------------------------------------- */

/* The majority is lost for good, a person says, and is wrong: site A's node and enough others go on in the old generation.
 * c: coordinator/core/fsm_members.c fsm_recover void_rights */
inline apply_recovery()
{
    !recovered && primary == A && lease == LIVE && !running ->
    printf("applied: RECOVER, a new generation begins; epoch %d is revoked\n", epoch);
    recovered = 1;
    old_epoch = epoch;
    stranded = 1;
    lease = REVOKED;
#ifndef BROKEN_EXPIRY_PROVES_AFTER_RECOVERY
    enforcing = 0;
#endif
    agent_proof = 0;
    expiry_proof = 0;
    expiry = NOTHING;
    asking = NOTHING;
    EACH(drop_renew);
    counted = 0;
    slow = 0;
    count_is_current = 0
}

/* A renewal that the old generation's log accepts: no entry of this one. c: coordinator/core/fsm_lease.c fsm_renew */
inline old_generation_renews(i)
{
    stranded && !tx[i].sent && !tx[i].known ->
    printf("the node at site A renews epoch %d in the old generation\n", old_epoch);
    tx[i].known = 1;
    tx[i].accepted = 1;
    tx[i].site = A;
    tx[i].epoch = old_epoch;
    tx[i].same_life = 1;
    tx[i].age = AGE_AT_SAMPLE(A);
    tx[i].hold = TTL - MARGIN
}

/* The node is added to the new generation: another life of its process, which knows no sample.
 * c: coordinator/core/fsm_members.c fsm_member_add; raft/storage_bootstrap.c storage_uv_join */
inline node_joins()
{
    stranded ->
    printf("the node at site A joins the new generation\n");
    stranded = 0;
    EACH(forget_of_a)
}
#endif

/* --- settings ------------------------------------------------------------------------------------------------------------------------------ */

/* Disarm and arm, pause and resume, to shadow mode and back. c: coordinator/core/fsm_cluster.c fsm_service_set fsm_config_apply enforcement_switched */
inline apply_switch()
{
    switched < SWITCHES && !running ->
    switched++;
    printf("applied: the service is %d (0: enforced, 1: not)\n", switched % 2);
    enforcing = 0;
#ifndef BROKEN_SWITCH_KEEPS_CERTIFICATES
    agent_proof = 0;
    expiry_proof = 0;
#endif
#ifndef BROKEN_OLD_REPORT_BELIEVED
    EACH(drop_report);
    WHEN(asking == ASKS_ENFORCING, asking = ASKS_NOT_ENFORCING)
#endif
}

/* First the entry, then the bypass. c: coordinator/holder/holder.c follow_enforcement; coordinator/daemon_lease.c guard_bypass */
inline ask_bypass(site_)
{
#ifdef BROKEN_BYPASS_BEFORE_ENTRY
    switched < SWITCHES &&
#else
    view[site_].switched % 2 == 1 &&
#endif
    view[site_].acts && !guard[site_].bypass && guard[site_].bypass_asked == 0 ->
    printf("the node at site %d asks its server for bypass, epoch %d\n", site_, view[site_].epoch);
    guard[site_].bypass_asked = view[site_].epoch + 1
}

#ifdef BROKEN_BYPASS_AFTER_CLOSE
#define NOT_CLOSED_FOR_BYPASS(site_) true
#else
#define NOT_CLOSED_FOR_BYPASS(site_) (guard[site_].closed == 0 || guard[site_].bypass_asked - 1 > guard[site_].closed)
#endif
/* The server reads it, before it reads whatever the node asked later. c: fencing/lease_guard/guard_state.c guard_bypass_on;
 * fencing/lease_guard/guard_worker.c answer_lines */
inline bypass_on(site_)
{
    guard[site_].bypass_asked > 0 ->
    WHEN(guard[site_].bypass_asked - 1 >= guard[site_].epoch && NOT_CLOSED_FOR_BYPASS(site_),
         printf("the guard at site %d is bypassed\n", site_);
         guard[site_].bypass = 1;
         guard[site_].bypass_epoch = guard[site_].bypass_asked - 1);
    guard[site_].bypass_asked = 0
}

/* First the end of the bypass, then a renewal that reports it; and a site that is not the primary has none.
 * c: coordinator/holder/holder.c follow_enforcement;
 * fencing/lease_guard/guard_state.c guard_bypass_off */
inline bypass_off(site_)
{
    guard[site_].bypass && !(view[site_].acts && view[site_].switched % 2 == 1) ->
    printf("the bypass at site %d ends\n", site_);
    guard[site_].bypass = 0;
    guard[site_].bypass_epoch = 0
}

/* c: coordinator/core/fsm_cluster.c fsm_config_apply change_refused */
inline apply_lower_ttl()
{
#ifdef BROKEN_GRANT_SHORTENS_PROMISES
    lease == EXPIRED &&
#endif
    !lowered && !running ->
    printf("applied: a configuration with a shorter ttl\n");
    lowered = 1
}

#ifdef BROKEN_STATE_GOES_BACK
/* c: coordinator/daemon_log.c snapshot */
inline node_saves(site_)
{
    printf("the node at site %d takes a snapshot\n", site_);
    saved[site_].acts = view[site_].acts;
    saved[site_].epoch = view[site_].epoch;
    saved[site_].switched = view[site_].switched
}

/* The node starts from its snapshot and acts on it before it has heard of any leader. c: coordinator/daemon_log.c restore */
inline node_restarts(site_)
{
    printf("the node at site %d restarts with its snapshot (acts %d, epoch %d, switched %d)\n", site_, saved[site_].acts, saved[site_].epoch,
           saved[site_].switched);
    view[site_].acts = saved[site_].acts;
    view[site_].epoch = saved[site_].epoch;
    view[site_].switched = saved[site_].switched
}
#endif

active proctype world()
{
    do
    :: d_step { tick(); in_order(); CLAIM }
#if PROMISES == 0
    :: d_step { tick_is_missed(); in_order(); CLAIM }
#endif
    :: d_step { tick_is_not_counted(); in_order(); CLAIM }
    :: d_step { election(); in_order(); CLAIM }
    :: d_step { leader_applies(); in_order(); CLAIM }
    :: d_step { propose_expiry(); in_order(); CLAIM }
    :: d_step { apply_expiry(); in_order(); CLAIM }
    :: d_step { expiry_comes_to_nothing(); in_order(); CLAIM }
    :: d_step { start(); in_order(); CLAIM }
    :: d_step { abort(); in_order(); CLAIM }
#if !CALM
    :: d_step { fence_runs(); in_order(); CLAIM }
    :: d_step { apply_fence_result(); in_order(); CLAIM }
    :: d_step { fence_result_comes_to_nothing(); in_order(); CLAIM }
    :: d_step { server_restarts(A); in_order(); CLAIM }
    :: d_step { server_restarts(B); in_order(); CLAIM }
#if PROMISES > 0
    :: d_step { process_restarts(0); in_order(); CLAIM }
#endif
#endif
    :: d_step { apply_promote(); in_order(); CLAIM }
    :: d_step { renew(0, A, 0); in_order(); CLAIM }
    :: d_step { renew(0, B, 0); in_order(); CLAIM }
    :: d_step { apply_renew(0); in_order(); CLAIM }
    :: d_step { lose_renew(0); in_order(); CLAIM }
    :: d_step { forget_sample(0); in_order(); CLAIM }
    :: d_step { open(0); in_order(); CLAIM }
#if TRANSMISSIONS > 1
    :: d_step { renew(1, A, 0); in_order(); CLAIM }
    :: d_step { renew(1, B, 0); in_order(); CLAIM }
    :: d_step { apply_renew(1); in_order(); CLAIM }
    :: d_step { lose_renew(1); in_order(); CLAIM }
    :: d_step { forget_sample(1); in_order(); CLAIM }
    :: d_step { open(1); in_order(); CLAIM }
#endif
    :: d_step { ask(A); in_order(); CLAIM }
    :: d_step { ask(B); in_order(); CLAIM }
    :: d_step { apply_grant(A); in_order(); CLAIM }
    :: d_step { apply_grant(B); in_order(); CLAIM }
    :: d_step { lose_grant(); in_order(); CLAIM }
#if RECOVERIES > 0
    :: d_step { apply_recovery(); in_order(); CLAIM }
    :: d_step { old_generation_renews(0); in_order(); CLAIM }
    :: d_step { node_joins(); in_order(); CLAIM }
#endif
#if LOWERINGS > 0
    :: d_step { apply_lower_ttl(); in_order(); CLAIM }
    :: d_step { renew(0, A, 1); in_order(); CLAIM }
    :: d_step { renew(0, B, 1); in_order(); CLAIM }
#if TRANSMISSIONS > 1
    :: d_step { renew(1, A, 1); in_order(); CLAIM }
    :: d_step { renew(1, B, 1); in_order(); CLAIM }
#endif
#endif
#if SWITCHES > 0
    :: d_step { apply_switch(); in_order(); CLAIM }
    :: d_step { node_applies(A); in_order(); CLAIM }
    :: d_step { node_applies(B); in_order(); CLAIM }
    :: d_step { ask_bypass(A); in_order(); CLAIM }
    :: d_step { ask_bypass(B); in_order(); CLAIM }
    :: d_step { bypass_on(A); in_order(); CLAIM }
    :: d_step { bypass_on(B); in_order(); CLAIM }
    :: d_step { bypass_off(A); in_order(); CLAIM }
    :: d_step { bypass_off(B); in_order(); CLAIM }
#endif
#if PROMISES > 0
    :: d_step { tick_is_missed_at(A, 1); in_order(); CLAIM }
    :: d_step { tick_is_missed_at(A, 0); in_order(); CLAIM }
    :: d_step { node_learns(0); in_order(); CLAIM }
    :: d_step { node_learns(1); in_order(); CLAIM }
#if CALM < 2
    :: d_step { process_restarts(1); in_order(); CLAIM }
#endif
    :: d_step { ask_promise(0, A); in_order(); CLAIM }
    :: d_step { give_promise(1, A); in_order(); CLAIM }
    :: d_step { open_on_promise(A); in_order(); CLAIM }
    :: d_step { promises_end(1); in_order(); CLAIM }
#if EPOCHS > 2
    :: d_step { tick_is_missed_at(B, 1); in_order(); CLAIM }
    :: d_step { tick_is_missed_at(B, 0); in_order(); CLAIM }
    :: d_step { ask_promise(0, B); in_order(); CLAIM }
    :: d_step { give_promise(0, B); in_order(); CLAIM }
    :: d_step { open_on_promise(B); in_order(); CLAIM }
    :: d_step { promises_end(0); in_order(); CLAIM }
#endif
#if EXECUTORS > 0
    :: d_step { node_learns(2); in_order(); CLAIM }
    :: d_step { give_promise(2, A); in_order(); CLAIM }
    :: d_step { promises_end(2); in_order(); CLAIM }
    :: d_step { apply_executor(); in_order(); CLAIM }
#endif
#if OPERATORS > 0
    :: d_step { apply_word(); in_order(); CLAIM }
    :: d_step { promotion_begins(); in_order(); CLAIM }
#endif
#endif
#ifdef BROKEN_STATE_GOES_BACK
    :: d_step { node_saves(A); in_order(); CLAIM }
    :: d_step { node_saves(B); in_order(); CLAIM }
    :: d_step { node_restarts(A); in_order(); CLAIM }
    :: d_step { node_restarts(B); in_order(); CLAIM }
#endif
    od
}
