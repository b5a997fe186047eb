/* The steps, one file per kind. */
#ifndef COORD_EXEC_STEPS_H
#define COORD_EXEC_STEPS_H

#include "exec/step.h"

extern const struct step_method step_sever, step_fence, step_promote, step_checkpoint, step_canary, step_dns,
    step_deploy, step_verify, step_reconnect;

#endif
