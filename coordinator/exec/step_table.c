#include "exec/steps.h"

const struct step_table step_table_real = { .methods = {
                                                [STEP_SEVER] = &step_sever,
                                                [STEP_FENCE] = &step_fence,
                                                [STEP_PROMOTE] = &step_promote,
                                                [STEP_CHECKPOINT] = &step_checkpoint,
                                                [STEP_CANARY] = &step_canary,
                                                [STEP_DNS] = &step_dns,
                                                [STEP_DEPLOY] = &step_deploy,
                                                [STEP_VERIFY] = &step_verify,
                                                [STEP_RECONNECT] = &step_reconnect,
                                            } };
