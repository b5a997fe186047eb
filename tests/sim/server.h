/* One simulated PostgreSQL host: a server that is primary or standby, its lease_guard, its WAL, and the application beside it.
 * A write is attempted at every running server all the time; it is acknowledged if and only if the guard lets it pass at that instant.
 * The guard's rules are those of fencing/lease_guard/guard_state.c, word for word. */
#ifndef COORD_SIM_SERVER_H
#define COORD_SIM_SERVER_H

#include "base/ids.h"
#include "base/limits.h"

#include "tests/sim/net.h"
#include "tests/sim/sim.h"

#define HISTORY_MAX 128

struct world;
struct world_service;

struct guard {
    instance_id instance;
    epoch_t epoch;
    int64_t sample_us;
    int64_t deadline_us; /* on this server's clock; 0: closed */
    epoch_t closed_epoch;
    bool bypass;
    epoch_t bypass_epoch;
};

/* What a server holds, and where it is on which of its service's timelines. */
struct wal {
    uint32_t timeline;
    uint64_t lsn;
    int64_t canary_ms[NODES_MAX]; /* the canary table: display time of each node's last row; -1: none */
};

/* When a primary had acknowledged up to which position: what a promotion loses is told in time. */
struct acknowledged {
    uint64_t lsn;
    int64_t us;
};

struct server {
    struct world *world;
    struct world_service *service;
    site_id site;
    unsigned host;
    struct sim_process process;
    struct sim_clock clock;
    bool running;
    bool in_recovery;
    bool lagging; /* hears how far the primary is, and receives nothing of it */
    bool severed; /* by level: survives a restart */
    bool
        switched_off; /* by a person who vouched for it: it does not start as what it was while anything may rest on that */
    bool host_dead;   /* the whole site: nobody answers, not even with a refusal */
    bool application; /* it was started here, and starts again with its host */
    bool break_glass; /* of this instance: nothing but its end closes it */
    bool
        glass_known; /* the log has taken a report of it; before that the person who broke it answers for what follows */
    struct guard guard;
    struct wal wal;
    int64_t streamed_us;         /* own clock, when WAL last arrived; INT64_MIN: not in this life */
    uint64_t primary_lsn;        /* the primary's position, as last told with the WAL */
    uint64_t acknowledged_count; /* writes, ever */
    int64_t acknowledged_us;     /* simulated time of the last one */
    unsigned history_count;      /* samples, ever, of this timeline */
    struct acknowledged history[HISTORY_MAX];
};

void server_init(struct server *s, struct world_service *service, site_id site, unsigned host);
/* Started with the break-glass file: by a person, at the rightful primary only. */
void server_start_with_broken_glass(struct server *s);
/* A new instance: its guard is closed. Comes back as what it was when it went. */
void server_start(struct server *s);
/* Dead at once. */
void server_kill(struct server *s);
/* The process, or the whole host, stands still; then goes on with its clock where true time is. */
void server_pause(struct server *s);
void server_resume(struct server *s);
/* pg_promote: a new timeline begins where it is. */
void server_promote(struct server *s);
/* Its data are replaced by a copy of `from`; it starts as a standby. */
void server_rebuild(struct server *s, const struct server *from);

int64_t server_now_us(const struct server *s);
/* Would a write be acknowledged at this instant? */
bool server_passes(const struct server *s);
/* One write. False: refused, or not possible now. */
bool server_write(struct server *s);
/* For how long it has acknowledged writes with a position above `lsn` on its timeline, as far back as its history goes. Time in which it
 * acknowledged nothing does not count. */
int64_t server_acknowledged_us(const struct server *s, uint64_t lsn);
/* Does `standby` hold nothing that `primary`, a server of the same service, does not? */
bool server_follows(const struct server *standby, const struct wal *primary);

/* The guard's requests. False: refused. */
bool guard_open(struct server *s, instance_id instance, epoch_t epoch, int64_t t0_us, uint32_t hold_ms);
bool guard_close(struct server *s, epoch_t epoch);
bool guard_bypass(struct server *s, bool on, instance_id instance, epoch_t epoch);

#endif
