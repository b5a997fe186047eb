/* May an operation start now? Every no has a reason, is recorded when it changes, and most can be overridden by a person who types which. */
#ifndef COORD_CORE_GATES_H
#define COORD_CORE_GATES_H

#include "core/state.h"

#include <stddef.h>

/* X(enumerator, word, a person may override it) */
#define GATE_LIST(X)                                                                                                   \
    X(GATE_OPERATION, "operation",                                                                                     \
      true)                          /* one of the service is active; overridden only past its point of no return */   \
    X(GATE_TARGET, "target", false)  /* the target is no other eligible site with a coordinator in contact */          \
    X(GATE_STANDBY, "standby", true) /* no standby answers there; overridden only for an old primary */                \
    X(GATE_ARMED, "armed", false)    /* only an armed service is moved */                                              \
    X(GATE_PAUSED, "paused", true)                                                                                     \
    X(GATE_MODE, "mode", true)           /* shadow decides and does nothing */                                         \
    X(GATE_VM_PAUSE, "vm_pause", true)   /* asynchronous on virtual machines without accept_vm_pause */                \
    X(GATE_READY, "ready", true)         /* the target was not a standby within the lag that the policy allows */      \
    X(GATE_LOCKOUT, "lockout", true)     /* too soon after an earlier automatic failover, or one that was aborted */   \
    X(GATE_HOLD_DOWN, "hold_down", true) /* the verdict has not stood long enough */                                   \
    X(GATE_EVIDENCE, "evidence", true)   /* no second kind of evidence is configured */                                \
    X(GATE_PARALLEL, "parallel", true)   /* another service is being moved: one at a time, critical tier first */      \
    X(GATE_BOOT, "boot", true)           /* the cluster has just come back and has not heard the primary's site since */
#define GATE_ENUM(name, word, override) name,
enum gate { GATE_LIST(GATE_ENUM) GATE_COUNT };
#undef GATE_ENUM

#define GATE_TEXT_MAX_BYTES 240
#define BOOT_GRACE_MIN 5 /* how long GATE_BOOT may stand */

const char *gate_word(enum gate gate);
bool gate_overridable(enum gate gate);
/* GATE_COUNT when there is no such word. */
enum gate gate_from_word(const char *word);

/* Bit per gate that says no to moving `service` to `target` at display time now_ms. For a promotion by hand the gates that speak of
 * automatic decisions (mode, lockout, hold_down, evidence, parallel) say yes. Those in `overrides` that may be overridden say yes. */
uint32_t gates_check(const struct state *s, service_id service, site_id target, enum operation_kind kind,
                     uint32_t overrides, int64_t now_ms);
/* The reason of one no, in words with numbers. */
void gate_reason(const struct state *s, service_id service, site_id target, enum gate gate, int64_t now_ms, char *out,
                 size_t capacity_bytes);

#endif
