"""The mutants: what each one breaks, and where. An edit names a file, a text that must stand there exactly once (white space is all alike), and
what stands there instead. tests/sim/mutants.py builds and runs them."""
from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Mutant:
    what: str  # is broken
    edits: tuple[tuple[str, str, str], ...]


# Found by sim_world, seed by seed.
BY_SEEDS = {
    'promote_without_certificate': Mutant(
        'PROMOTE is applied, and proposed, without proof',
        (
            ('coordinator/core/fsm_lease.c', 'if (!certificate_any(&svc->proof, &svc->lease, &kind)) {', 'kind = CERT_AGENT; if (0) {'),
            ('coordinator/core/leader.c', '!certificate_any(&svc->proof, &svc->lease, (enum certificate_kind *)0)', '0'),
        )),
    'expiry_after_half_a_ttl': Mutant(
        'the leader counts only half of the ttl',
        (
            ('coordinator/core/leader.c', 'l->counted_us - count->since_us < lease_count_us(lease->ttl_ms, s->drift_ppm)', 'l->counted_us - count->since_us < lease_count_us(lease->ttl_ms, s->drift_ppm) / 2'),
        )),
    'expiry_names_any_renewal': Mutant(
        'LEASE_EXPIRED is accepted whatever renewal it names, and the leader does not start its count anew',
        (
            ('coordinator/core/lease.c', 'l->renewed_index != renewed_index', '0'),
            ('coordinator/core/leader.c', 'if (count->epoch != lease->epoch || count->renewed_index != lease->renewed_index)\n            *count', 'if (count->epoch != lease->epoch)\n            *count'),
            ('coordinator/core/leader.c', 'if (count->epoch != lease->epoch || count->renewed_index != lease->renewed_index ||\n        count->since_us', 'if (count->epoch != lease->epoch ||\n        count->since_us'),
        )),
    'holder_holds_longer': Mutant(
        'the guard is opened for longer than the ttl',
        (
            ('coordinator/holder/holder.c', 'sample->hold_ms = svc->config.timing.ttl_ms - svc->config.timing.margin_ms;', 'sample->hold_ms = svc->config.timing.ttl_ms + svc->config.timing.ttl_ms / 4;'),
        )),
    'holder_opens_without_an_answer': Mutant(
        'the guard is opened whether or not the log accepted the renewal',
        (
            ('coordinator/holder/holder.c', 'if (answer != HOLDER_ACCEPTED || answered.epoch == 0 || value != answered.epoch)', 'if (answered.epoch == 0)'),
        )),
    'holder_samples_late': Mutant(
        't0 is taken when the answer arrives, not before the renewal was sent',
        (
            ('tests/sim/simnode_lease.c', '(void)guard_open(s, q->instance, q->epoch, q->t0_us, q->hold_ms);', '(void)guard_open(s, q->instance, q->epoch, server_now_us(s), q->hold_ms);'),
        )),
    'certificates_survive_a_grant': Mutant(
        'a grant keeps the certificates, and they count for every epoch',
        (
            ('coordinator/core/certificate.c', 'if (c->epoch == 0 || c->epoch != lease->epoch)', 'if (c->epoch == 0)'),
            ('coordinator/core/fsm_lease.c', 'svc->proof = (struct proof){ 0 };\n    o->value = s->epoch_counter;', 'o->value = s->epoch_counter;'),
            ('coordinator/core/fsm_lease.c', 'svc->proof = (struct proof){ 0 };\n    op->to', 'op->to'),
        )),
    'agent_vouches_for_instances_it_did_not_see': Mutant(
        "the fence step names the lease's servers but closes nothing",
        (
            ('tests/sim/simnode_steps.c', 'if (s->running && !guard_close(s, e->old_epoch)) {', 'if (0) {'),
        )),
    'close_is_not_sticky': Mutant(
        'a closed guard opens again for the same epoch',
        (
            ('tests/sim/server.c', '    if (epoch > g->closed_epoch)\n        g->closed_epoch = epoch;\n', '    if (g->epoch <= epoch)\n        g->deadline_us = 0;\n'),
        )),
    'guard_starts_open': Mutant(
        'a server that starts lets writes pass until its first lease',
        (
            ('tests/sim/server.c', 's->guard = (struct guard){ .instance = sim_random(s->world->sim, UINT64_MAX) + 1 };', 's->guard = (struct guard){ .instance = sim_random(s->world->sim, UINT64_MAX) + 1, .deadline_us = INT64_MAX };'),
        )),
    'expiry_proves_without_enforcement': Mutant(
        'EXPIRED is given although the deadline was not reported enforced',
        (
            ('coordinator/core/certificate.c', 'lease->state == LEASE_EXPIRED && lease->enforcement.enforcing', 'lease->state == LEASE_EXPIRED'),
        )),
    'report_of_an_old_setting_counts': Mutant(
        'a report made before a disarm counts after the next arm',
        (
            ('coordinator/core/fsm_lease.c', 'if (!service_enforced(svc) || reported.known_index < svc->enforced_index)', 'if (!service_enforced(svc))'),
            ('coordinator/core/fsm_cluster.c', 'svc->lease.enforcement.enforcing = false;', ''),
            ('coordinator/holder/holder.c', ' || sample->known_index < svc->enforced_index) {', ') {'),
        )),
    'acts_on_an_old_state': Mutant(
        'a restarted node acts on its snapshot, before it has written an entry of its own',
        (
            ('coordinator/holder/holder.c', 'return h->acts_from != 0 && s->applied_index >= h->acts_from;', 'return true;'),
            ('tests/sim/simnode_watch.c', 'return n->acts_from != 0 && n->state->applied_index >= n->acts_from;', 'return true;'),
        )),
    'lease_gets_shorter': Mutant(
        'a lowered ttl counts at once, while the guard may be open for the longer one',
        (
            ('coordinator/core/lease.c', 'return a_ms > b_ms ? a_ms : b_ms;', 'return a_ms;'),
        )),
    'margin_removed': Mutant(
        'the guard is opened for the whole ttl, and a guest that is frozen goes on with a clock that is behind',
        (
            ('coordinator/holder/holder.c', 'sample->hold_ms = svc->config.timing.ttl_ms - svc->config.timing.margin_ms;', 'sample->hold_ms = svc->config.timing.ttl_ms;'),
        )),
    'stale_result_accepted': Mutant(
        "a step's result counts whichever operation, attempt and epoch it is of",
        (
            ('coordinator/core/fsm_operation.c', 'svc->present && svc->operation.id == id && operation_active(&svc->operation)', 'svc->present && operation_active(&svc->operation)'),
            ('coordinator/core/fsm_operation.c', 'if (run->state != RUN_ASSIGNED || in->attempt != run->attempt || in->epoch != run->epoch ||', 'if (run->state != RUN_ASSIGNED ||'),
        )),
    'veto_ignored': Mutant(
        'a write that was seen after the expiry does not speak against the expiry',
        (
            ('coordinator/core/certificate.c', 'if (proof->veto.epoch == lease->epoch) {', 'if (0) {'),
        )),
    'gate_skipped': Mutant(
        'a paused service is moved all the same',
        (
            ('coordinator/core/gates.c', 'return svc->paused;', 'return false;'),
            ('coordinator/core/gates.c', 'return !svc->armed;', 'return false;'),
        )),
    'shadow_moves': Mutant(
        'a service in mode shadow is moved all the same',
        (
            ('coordinator/core/gates.c', 'return automatic && svc->config.mode == MODE_SHADOW;', 'return false;'),
        )),
    'wait_without_a_way_out': Mutant(
        'an operation that waits for approval names no command that ends it',
        (
            ('coordinator/core/plan.c', 'text_set(out->way_out, sizeof out->way_out, "coordctl approve %" PRIu64 ", or coordctl abort %" PRIu64, op->id, op->id);', ''),
        )),
    'epoch_stands_still': Mutant(
        'a grant does not use its epoch up',
        (
            ('coordinator/core/fsm_lease.c', 's->epoch_counter++; svc->primary = in->site; svc->proof = (struct proof){ 0 }; o->value', 'svc->primary = in->site; svc->proof = (struct proof){ 0 }; o->value'),
        )),
    'gap_not_checked': Mutant(
        'a standby is promoted whatever it is known to lack',
        (
            ('coordinator/core/plan.c', 'bytes > svc->config.max_lag_bytes', '0'),
        )),
    'missed_time_not_checked': Mutant(
        'a standby that received nothing while the primary wrote is a target',
        (
            ('coordinator/core/standby.c', '&& !svc->views[site].behind', ''),
        )),
    'sever_not_waited': Mutant(
        'a candidate is taken before it is severed and its position read',
        (
            ('coordinator/core/plan.c', 'if (fit && run->state == RUN_DONE && run->position.known)', 'if (fit)'),
        )),
    'stall_not_noticed': Mutant(
        'a leader that slept counts the whole time, and ticks before it reads the network',
        (
            ('coordinator/core/leader.c', 'passed_us < 2 * tick_us ? passed_us : 2 * tick_us', 'passed_us'),
            ('tests/sim/simnode.c', 'sim_after(n->world->sim, 0, &n->process, on_tick_after_poll, NULL, n);', 'on_tick_after_poll(n);'),
        )),
}

# Holes of libraft that raft/ closes, opened again: found by test_raft_room.
BY_RAFT_ROOM = {
    'snapshot_with_an_old_term': Mutant(
        "libraft's own: a snapshot is sent with the term of an older one",
        (
            ('raft/io_guard.c', 'm->install_snapshot.last_term != g->loaded_term', '0'),
        )),
    'snapshot_at_the_wrong_index': Mutant(
        "libraft's own: a snapshot is labelled with a commit index that moved back, and entries are applied twice",
        (
            ('raft/rnode_fsm.c', 'if (node->raft.last_applied != node->raft.commit_index)', 'if (0)'),
            ('raft/rnode_fsm.c', 'if (entry.index <= node->restored_index)', 'if (0)'),
        )),
    'terms_are_not_learned': Mutant(
        "libraft's own: a longer log behind a higher term is never elected",
        (
            ('raft/io_guard.c', 'if (m->type == MESSAGE_REQUEST_VOTE) learn_term(g, m);', 'if (0) learn_term(g, m);'),
        )),
    'snapshots_meet': Mutant(
        "libraft's own: a snapshot is installed while another one is being written",
        (
            ('raft/io_guard.c', 'if (m->type == MESSAGE_INSTALL_SNAPSHOT && g->snapshots_writing > 0) {', 'if (0) {'),
        )),
}

# Rules of the promises: found by test_failsafe.
BY_FAILSAFE = {
    'promises_are_not_outwaited': Mutant(
        'a node says that its promises are over as soon as the lease is',
        (
            ('coordinator/holder/promise.c', '&& now_us >= promises_until_us(p, s, service)', ''),
        )),
    'promises_are_forgotten_by_a_restart': Mutant(
        'a node that has started anew does not outwait what it may have promised before',
        (
            ('coordinator/holder/promise.c', 'int64_t forgotten_us = p->started_us + lease_count_us(s->services[service].lease.ttl_ms, s->drift_ppm);', 'int64_t forgotten_us = 0;'),
        )),
    'promises_end_too_early': Mutant(
        'a promise runs for half of its ttl on the clock of the node that gave it',
        (
            ('coordinator/holder/promise.c', 'lease_count_us(ask->renew.ttl_ms, s->drift_ppm)', 'lease_count_us(ask->renew.ttl_ms, s->drift_ppm) / 2'),
        )),
    'promises_do_not_delay_the_proof': Mutant(
        'EXPIRED is given while a promise may extend the lease',
        (
            ('coordinator/core/certificate.c', '&& lease->promises_ended_index != 0', ''),
            ('coordinator/core/plan.c', 'if (run->step == STEP_SEVER && svc->lease.promises_ended_index == 0 && op->certified_ms == 0) return false;', ''),
        )),
    'some_promises_suffice': Mutant(
        'the guard is opened with the first promise',
        (
            ('coordinator/holder/holder.c', 'if (sample->missing != 0) return;', ''),
        )),
    'promises_are_given_for_a_lease_that_is_over': Mutant(
        'a node promises for whatever lease it is asked',
        (
            ('coordinator/holder/promise.c', '!svc->present || !lease_live(&svc->lease) || svc->lease.epoch != renew->epoch || svc->lease.holder != from || renew->node != from', '!svc->present'),
            ('coordinator/holder/promise.c', 'if (executes_elsewhere(svc, self) == SITE_NONE) return PROMISE_NOT_EXECUTOR;', ''),
        )),
    'promises_are_given_on_an_old_state': Mutant(
        'a node promises on its snapshot, before it has written an entry of its own',
        (
            ('coordinator/holder/promise.c', 'if (!acts) return PROMISE_STARTING;', ''),
        )),
    'whoever_executes_now_ends_promises': Mutant(
        'an executor that the holder has never asked says that its promises are over',
        (
            ('coordinator/core/state.c', '&& svc->views[site].executor_index <= svc->lease.enforcement.known_index', ''),
        )),
}

# Not found by design: what the mutant breaks is covered by another check. Only asked for by name.
COVERED = {
    'drift_not_counted': Mutant(
        'the leader counts the ttl on its own clock as if all clocks ran alike',
        (
            ('coordinator/core/policy.c', '+ ((int64_t)ttl_ms * drift_ppm + 999) / 1000', '+ 0 * drift_ppm'),
        )),
    'set_back_clock_measures_no_lag': Mutant(
        'a canary of before the wall clock was set back counts as no lag',
        (
            ('coordinator/core/opinion.c', '&& lag_ms >= -(int64_t)max_lag_ms', ''),
        )),
    'old_epoch_accepted': Mutant(
        'the guard opens for an epoch that was closed, and for one before its own',
        (
            ('tests/sim/server.c', 'if (epoch <= g->closed_epoch || epoch < g->epoch)', 'if (0)'),
        )),
    'revoked_lease_is_extended': Mutant(
        'a renewal extends a revoked lease',
        (
            ('coordinator/core/lease.c', '[LEASE_EV_RENEW] = { REFUSE, LEASE_REVOKED, "the lease was revoked" }', '[LEASE_EV_RENEW] = { MOVE, LEASE_LIVE, "extended" }'),
        )),
    'grant_over_a_live_lease': Mutant(
        'a promotion is granted over a live lease, with a certificate of any time',
        (
            ('coordinator/core/lease.c', '[LEASE_EV_GRANT] = { REFUSE, LEASE_LIVE, "a lease is live: its holder may accept writes" }', '[LEASE_EV_GRANT] = { MOVE, LEASE_LIVE, "granted" }'),
            ('coordinator/core/fsm_lease.c', 'if (lease_live(&svc->lease))\n        return "a lease is live";', ''),
        )),
    'abort_keeps_certificates': Mutant(
        'an abort does not void the certificates',
        (
            ('coordinator/core/fsm_operation.c', 'certificate_void_all(&svc->proof); /* first this entry, then the world is touched */', ''),
        )),
    'promotion_without_a_last_look': Mutant(
        'pg_promote runs although the right has moved on',
        (
            ('tests/sim/simnode_steps.c', 'if (a->step == STEP_PROMOTE && !promotion_stands(n, a)) {', 'if (0) {'),
        )),
}

WHY_COVERED = {
    'drift_not_counted': 'the margin is longer than what clocks drift in one lease',
    'set_back_clock_measures_no_lag': 'core/standby notices that nothing arrives; tests/unit has the clock alone',
    'old_epoch_accepted': 'the log extends no epoch but its own, and only what it has extended opens the guard',
    'revoked_lease_is_extended': "the fence's close is sticky, and EXPIRED needs a ttl without renewal",
    'grant_over_a_live_lease': 'no certificate counts while the lease is live',
    'abort_keeps_certificates': 'the next grant deletes them before anything opens again',
    'promotion_without_a_last_look': 'a server that is promoted late stays closed: its guard was never opened',
}
