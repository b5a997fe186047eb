/* Promises: a holder that reaches no leader asks the node that acts at the other site, and with its promise opens the guard for longer than the
 * log allows; that node says in the log when none of its promises runs any more. docs/safety.md has the rules. Part of lease.pml.
 *
 * Site B stands for whichever eligible site is promoted in the end, or says PROMISES_ENDED: a set of promises that lacks any other is complete
 * as far as that one goes. So one question and one answer are enough. Who knows a leader is not modelled: here a holder asks, and a node
 * promises, at any time. */

#if EXECUTORS > 0
#define NODES 3 /* one at site A, two at site B */
#define SITE_OF(n) ((n) == 0 -> A : B)
#else
#define NODES 2
#define SITE_OF(n) (n)
#endif

typedef node_t { /* what it has applied: any prefix of the log, but in one life of its process never a shorter one than before */
    unsigned live : 3;   /* the epoch whose lease it sees live; 0: none */
    bit mine;            /* and that is its own site's */
    bit sees_end;        /* it sees that the newest lease has ended */
#if EXECUTORS > 0
    unsigned changes : 2;
#endif
    unsigned left : 3;   /* ticks of its clock until nothing that it has promised holds any more, nor its earlier life */
    unsigned slow : 2;   /* ticks that the clock of the server which was promised that may still fall behind meanwhile */
#if LOWERINGS > 0
    unsigned left_before : 3; /* the same of the promise before, when this one is longer */
    unsigned slow_before : 2;
#endif
};
node_t node[NODES];

typedef question_t { /* the newest request of a site's holder, with the sample that it would open its guard for */
    unsigned state : 2;
    unsigned epoch : 3;
    unsigned age : 2;  /* ticks of the server's clock since the sample */
    unsigned hold : 2;
#if EXECUTORS > 0
    unsigned to : 2;
#endif
};
question_t question[2];
#define ASKED 1    /* may be received, or never */
#define PROMISED 2 /* the answer may arrive, or never */

bit ended; /* PROMISES_ENDED of the newest epoch is applied */
#ifdef BROKEN_EXPIRY_PROVES_WHILE_PROMISED
#define PROMISES_ENDED true
#else
#define PROMISES_ENDED ended
#endif
#ifdef BROKEN_GRANT_SHORTENS_PROMISES
#define MAY_BE_PROMISED false
#else
#define MAY_BE_PROMISED !ended
#endif

#if EXECUTORS > 0
unsigned changes : 2;       /* of site B's executor */
unsigned known_changes : 2; /* by the holder at the sample of the last renewal that extended the lease */
#define EXECUTOR(site_) ((site_) == A -> 0 : 1 + changes % 2)
#define THINKS_IT_ACTS(n) ((n) == 0 || 1 + node[n].changes % 2 == (n))
#define ASKED_OF(site_) question[site_].to
#define IS_ASKED_SURELY (primary == B || known_changes == changes)
#define MAY_ACT_YET(n) ((n) == 0 || changes < EXECUTORS || 1 + changes % 2 == (n)) /* at B, in the newest state or a later one */
#define holder_knew(i) known_changes = tx[i].knew
#define asks_whom_it_knows(h) question[h].to = 1 + node[h].changes % 2
#define asks_nobody(site_) question[site_].to = 0
#else
#define EXECUTOR(site_) (site_)
#define THINKS_IT_ACTS(n) true
#define ASKED_OF(site_) (1 - (site_))
#define IS_ASKED_SURELY true
#define MAY_ACT_YET(n) true
#define holder_knew(i) skip
#define asks_whom_it_knows(h) skip
#define asks_nobody(site_) skip
#endif

#if OPERATORS > 0
bit vouched; /* certificate OPERATOR */
#define VOUCHED vouched
#else
#define VOUCHED false
#endif

#ifdef BROKEN_PROMISE_WITHOUT_DRIFT
#define PROMISE(ttl_) (ttl_)
#else
#define PROMISE(ttl_) ((ttl_) + DRIFT)
#endif

/* In the last epoch nothing waits for promises any more. */
#if defined(BROKEN) || OPERATORS > 0
#define IS_WAITED_FOR(n) true
#else
#define IS_WAITED_FOR(n) ((epoch < EPOCHS || primary != SITE_OF(n)) && MAY_ACT_YET(n))
#endif

/* From now on, for so long. A shorter promise is within the longer one, and so is what its server's clock may miss. */
inline promised(n, ticks_)
{
#if LOWERINGS > 0
    WHEN(node[n].left > 0 && node[n].left < ticks_, node[n].left_before = node[n].left; node[n].slow_before = node[n].slow);
#endif
    WHEN(node[n].left < ticks_, node[n].left = ticks_; node[n].slow = DRIFT + FREEZE)
}

inline promised_nothing(n)
{
#if LOWERINGS > 0
    node[n].left_before = 0;
    node[n].slow_before = 0;
#endif
    node[n].left = 0;
    node[n].slow = 0
}

inline nothing_asked(site_)
{
    question[site_].state = NOTHING;
    question[site_].epoch = 0;
    question[site_].age = 0;
    question[site_].hold = 0;
    asks_nobody(site_)
}

/* The guard refuses to be opened for a sample of another life of its server. */
inline question_dies(site_)
{
    nothing_asked(site_)
}

inline end_is_unseen(n)
{
    node[n].sees_end = 0
}

#if EXECUTORS > 0
#define EACH_NODE(what) what(0); what(1); what(2)
#else
#define EACH_NODE(what) what(0); what(1)
#endif

inline forget_promises(n)
{
    WHEN(!IS_WAITED_FOR(n), promised_nothing(n))
}

inline promises_of_new_epoch()
{
    EACH_NODE(forget_promises);
    ended = 0; /* what was said of the epoch before is refused: lease_end_promises "another epoch" */
    EACH_NODE(end_is_unseen);
#if EXECUTORS > 0
    known_changes = changes; /* whoever acts on the epoch has applied the entry that began it */
#endif
#if OPERATORS > 0
    vouched = 0
#else
    skip
#endif
}

inline promises_of_abort()
{
#if OPERATORS > 0
    vouched = 0
#else
    skip
#endif
}

inline promises_of_promotion()
{
#if OPERATORS > 0
    held_back = vouched
#else
    skip
#endif
}

/* --- time ---------------------------------------------------------------------------------------------------------------------------- */

#define RUNS_FOR(n, site_) (node[n].left > 0 && SITE_OF(n) != (site_))
#if LOWERINGS > 0
#define AFFORDS(n, site_) (!RUNS_FOR(n, site_) || (node[n].slow > 0 && (node[n].left_before == 0 || node[n].slow_before > 0)))
#else
#define AFFORDS(n, site_) (!RUNS_FOR(n, site_) || node[n].slow > 0)
#endif
#define LEADER_COUNTS (count_is_current && counted < COUNT)
#if EXECUTORS > 0
#define ALL_AFFORD(site_) (AFFORDS(0, site_) && AFFORDS(1, site_) && AFFORDS(2, site_))
#define ANY_RUNS_FOR(site_) (RUNS_FOR(0, site_) || RUNS_FOR(1, site_) || RUNS_FOR(2, site_))
#else
#define ALL_AFFORD(site_) (AFFORDS(0, site_) && AFFORDS(1, site_))
#define ANY_RUNS_FOR(site_) (RUNS_FOR(0, site_) || RUNS_FOR(1, site_))
#endif

inline time_passes_at(site_)
{
    clock_moves(site_);
    WHEN(question[site_].state != NOTHING,
         question[site_].age++;
         WHEN(question[site_].age >= question[site_].hold, nothing_asked(site_)))
}

/* A clock whose server is closed, with nothing on its way to open it, may stand still for any time. */
inline promise_ages(n)
{
    WHEN(node[n].left > 0, node[n].left--);
    if
    :: node[n].left == 0 || !IS_WAITED_FOR(n) -> promised_nothing(n)
    :: node[n].left > 0 && IS_WAITED_FOR(n) && guard[OTHER(SITE_OF(n))].left == 0 && question[OTHER(SITE_OF(n))].state == NOTHING && !tx[0].known ->
       node[n].slow = DRIFT + FREEZE
    :: else
    fi
#if LOWERINGS > 0
    ;
    WHEN(node[n].left_before > 0, node[n].left_before--);
    WHEN(node[n].left_before == 0, node[n].slow_before = 0)
#endif
}

inline pays(n, site_)
{
    WHEN(RUNS_FOR(n, site_), node[n].slow--);
#if LOWERINGS > 0
    WHEN(RUNS_FOR(n, site_) && node[n].left_before > 0, node[n].slow_before--)
#endif
}

/* A tick of every clock. world, and c: coordinator/core/leader.c leader_tick */
inline tick()
{
    LEADER_COUNTS ->
    printf("a tick passes\n");
    counted++;
    time_passes_at(A);
    time_passes_at(B);
    EACH_NODE(promise_ages)
}

/* The leader is paused, or no node leads. world */
inline tick_is_not_counted()
{
    printf("a tick passes that no leader counts\n");
    time_passes_at(A);
    time_passes_at(B);
    EACH_NODE(promise_ages)
}

/* A server's clock falls behind, by drift or a freeze of its guest, while the leader counts its lease or a node its promise: each count pays for
 * that once. The clocks of leader and promiser are never compared. world */
inline tick_is_missed_at(site_, counts_)
{
    ALL_AFFORD(site_) && (!counts_ || LEADER_COUNTS) &&
    ((counts_ && primary == (site_)) -> slow > 0 : ANY_RUNS_FOR(site_)) ->
    printf("a tick passes (counted %d), and the clock of the server at site %d stands still\n", counts_, site_);
    WHEN(counts_, counted++);
    WHEN(counts_ && primary == (site_), slow--);
    pays(0, site_);
    pays(1, site_);
#if EXECUTORS > 0
    pays(2, site_);
#endif
    time_passes_at(OTHER(site_));
    EACH_NODE(promise_ages)
}

/* --- nodes ---------------------------------------------------------------------------------------------------------------------------- */

/* Only of another site's lease: of its own it has promised nothing. */
#define SEES_END(n) ((lease == REVOKED || lease == EXPIRED) && primary != SITE_OF(n) && !ended)

/* c: coordinator/daemon_log.c apply; coordinator/daemon_watch.c daemon_acts announce_start */
inline node_learns(n)
{
#if EXECUTORS > 0
    node[n].changes != changes ||
#endif
    node[n].live != (lease == LIVE -> epoch : 0) || node[n].sees_end != SEES_END(n) ->
    node[n].live = (lease == LIVE -> epoch : 0);
    node[n].mine = (lease == LIVE && primary == SITE_OF(n));
    node[n].sees_end = SEES_END(n);
#if EXECUTORS > 0
    node[n].changes = changes;
#endif
    printf("node %d has applied all: primary %d, epoch %d, live %d\n", n, primary, epoch, node[n].live)
}

inline waits_after_start(n, ttl_)
{
#ifdef BROKEN_PROMISE_FORGOTTEN_BY_RESTART
    promised_nothing(n)
#else
    promised_nothing(n);
    promised(n, PROMISE(ttl_))
#endif
}

/* Its promises are forgotten, so it waits as long as any could last; and it acts on nothing before it has applied what it had before.
 * c: coordinator/daemon_log.c restore; coordinator/holder/promise.c promises_init promises_until_us; coordinator/holder/holder.c holder_init */
inline process_restarts(n)
{
    printf("node %d restarts\n", n);
    nothing_asked(SITE_OF(n));
    WHEN(((n) > 0 || EPOCHS > 2) && IS_WAITED_FOR(n), waits_after_start(n, lease_ttl)); /* with two epochs, node 0 is never asked */
    node[n].live = 0;
    node[n].mine = 0;
    node[n].sees_end = 0;
#ifdef BROKEN_PROMISE_ON_RESTORED_STATE
    WHEN((n) > 0, node[n].live = (epoch > 0 -> 1 : 0));
#endif
#ifdef BROKEN_HOLDER_ASKS_ON_RESTORED_STATE
    WHEN((n) == 0, node[n].live = (epoch > 0 -> 1 : 0); node[n].mine = (epoch > 0));
#endif
#if EXECUTORS > 0
    node[n].changes = 0
#else
    skip
#endif
}

/* --- asking and promising --------------------------------------------------------------------------------------------------------------- */

#ifdef BROKEN_PROMISE_LONGER_THAN_LEASE
#define LONGEST TTL
#else
#define LONGEST lease_ttl
#endif
/* The holder asks whom its own state names, with a sample that it took before for a renewal that gets no answer.
 * c: coordinator/holder/holder.c holder_on_guard ask_promises; coordinator/holder/promise.c promise_askees */
inline ask_promise(i, h)
{
    tx[i].known && tx[i].site == h && node[EXECUTOR(h)].mine && node[EXECUTOR(h)].live == tx[i].epoch && tx[i].same_life && tx[i].age >= 0 ->
#ifdef BROKEN_ANSWER_OF_ANOTHER_REQUEST
    question[h].state = (question[h].state == PROMISED && question[h].epoch == tx[i].epoch -> PROMISED : ASKED);
#else
    question[h].state = ASKED;
#endif
    question[h].epoch = tx[i].epoch;
    question[h].age = tx[i].age;
    question[h].hold = (tx[i].epoch == epoch && tx[i].hold > LONGEST - MARGIN -> LONGEST - MARGIN : tx[i].hold);
    asks_whom_it_knows(h);
    printf("the holder at site %d asks node %d for a promise of epoch %d, sample %d ticks old\n", h, ASKED_OF(h), question[h].epoch, question[h].age)
}

/* c: coordinator/daemon_promise.c on_ask; coordinator/holder/promise.c promise_judge promises_give */
inline give_promise(n, h)
{
    question[h].state == ASKED && ASKED_OF(h) == n && THINKS_IT_ACTS(n) &&
#ifdef BROKEN_PROMISE_FOR_ANY_EPOCH
    true ->
#else
    node[n].live == question[h].epoch && !node[n].mine ->
#endif
    printf("node %d promises epoch %d to site %d\n", n, question[h].epoch, h);
    question[h].state = PROMISED;
    promised(n, PROMISE(question[h].hold + MARGIN));
    forget_promises(n)
}

/* c: coordinator/holder/holder.c holder_on_promise asked_all; fencing/lease_guard/guard_state.c judge_open guard_open;
 * coordinator/daemon_lease.c guard_open */
inline open_on_promise(h)
{
#ifdef BROKEN_PROMISE_SET_PARTIAL
    question[h].state != NOTHING &&
#else
    question[h].state == PROMISED &&
#endif
    question[h].epoch > guard[h].closed && question[h].epoch >= guard[h].epoch ->
    printf("the guard at site %d is opened for epoch %d on a promise, sample %d ticks old\n", h, question[h].epoch, question[h].age);
#ifdef BROKEN_PROMISE_SAMPLE_AFTER_ASKING
    question[h].age = 0;
#endif
    WHEN(question[h].epoch > guard[h].epoch || question[h].hold - question[h].age > guard[h].left,
         guard[h].left = question[h].hold - question[h].age);
    guard[h].epoch = question[h].epoch;
    nothing_asked(h)
}

/* --- the end of promises ----------------------------------------------------------------------------------------------------------------- */

/* Said and applied at once: whoever has seen the end promises that epoch no more, so what it says stays true, and on its way it can only be lost
 * or come to be refused. c: coordinator/daemon_promise.c daemon_promise_tick end_promises;
 * coordinator/holder/promise.c promises_end_due promises_until_us; coordinator/core/fsm_lease.c fsm_promises_ended fsm_certify_expiry;
 * coordinator/core/state.c service_promiser_site; coordinator/core/lease.c lease_end_promises;
 * coordinator/core/certificate.c certificate_expiry_is_proof */
inline promises_end(n)
{
#ifndef BROKEN_END_SAID_WHILE_PROMISED
    node[n].left == 0 &&
#endif
#ifndef BROKEN_END_SAID_BY_ANY_EXECUTOR
    IS_ASKED_SURELY &&
#endif
    !ended && node[n].sees_end && SITE_OF(n) != primary && EXECUTOR(OTHER(primary)) == n ->
    printf("applied: PROMISES_ENDED of epoch %d, said by node %d\n", epoch, n);
    ended = 1;
    EACH_NODE(end_is_unseen);
    WHEN(lease == EXPIRED && enforcing, expiry_proof = 1)
}

#if EXECUTORS > 0
/* c: coordinator/core/fsm_cluster.c fsm_executor_set; coordinator/core/leader.c next_executor */
inline apply_executor()
{
    changes < EXECUTORS && !(primary == B && (lease == LIVE || lease == REVOKED)) ->
    changes++;
    EACH_NODE(forget_promises);
    printf("applied: EXECUTOR_SET, node %d acts at site B\n", EXECUTOR(B))
}
#endif

#if OPERATORS > 0
/* A person's word where nobody can say that promises have ended: site A passes nothing, nothing is on its way there, and whom it would ask from
 * now on is the node that acts at B. c: coordinator/core/fsm_lease.c fsm_operator_certificate */
inline apply_word()
{
    running && primary == A && lease == EXPIRED && !ended && !IS_ASKED_SURELY && !vouched && !PASSES(A) &&
    question[A].state == NOTHING && !tx[0].known && node[0].changes == changes ->
    printf("applied: certificate OPERATOR for epoch %d\n", epoch);
    vouched = 1
}

/* After a person's word the promoting node waits for what it has promised itself; every other certificate says that nothing is left to wait for.
 * c: coordinator/exec/exec.c promotion_objection; coordinator/exec/step_promote.c on_guard; coordinator/daemon_promise.c daemon_promises_hold */
inline promotion_begins()
{
#ifndef BROKEN_OPERATOR_IGNORES_PROMISE
    node[EXECUTOR(B)].left == 0 &&
#endif
    held_back && primary == B && node[EXECUTOR(B)].live == epoch ->
    printf("node %d promotes its server\n", EXECUTOR(B));
    held_back = 0
}
#endif
