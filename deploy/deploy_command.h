/* Runs the site's own argv with COORD_SERVICE, COORD_SITE, COORD_EPOCH and COORD_OPERATION in its environment; exit code 0 is success.
 * What it leaves running in the background stays (the application); it must redirect that one's output. */
#ifndef DEPLOY_DEPLOY_COMMAND_H
#define DEPLOY_DEPLOY_COMMAND_H

#include <uv.h>

#include "deploy/deploy_method.h"
#include "io/child.h"

struct deploy_command; /* the `self` of deploy_command_method */

extern const struct deploy_method deploy_command_method;

/* Copies `config` and `argv` (NULL-terminated, at most CHILD_ARGS_MAX, never a shell line); borrows `loop`. */
enum status deploy_command_create(uv_loop_t *loop, const struct child_config *config, const char *const *argv,
                                  struct deploy_command **out, struct error *err);
/* Nothing is under way. */
void deploy_command_destroy(struct deploy_command *d);

#endif
