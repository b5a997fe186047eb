/* `coordd recover`: a survivor's directory becomes the whole cluster, after more than half of the voters were lost for good. Asks before it
 * acts, in words that say what is lost; refuses while another member answers. */
#ifndef COORD_RECOVER_H
#define COORD_RECOVER_H

#include "config.h"

struct recover_line {
    bool force;
    const char *reason, *confirm; /* "": not given */
};

/* Prints; the process's exit code. */
int recover_run(const struct node_config *config, const struct recover_line *line);

#endif
