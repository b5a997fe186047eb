/* Every named maximum that more than one room relies on. A queue, loop, retry or buffer without a name here or at the top of its
 * own file has no bound, and that is a defect. */
#ifndef COORD_BASE_LIMITS_H
#define COORD_BASE_LIMITS_H

#define NODES_MAX 9     /* voters and members without vote of one cluster */
#define SITES_MAX 6     /* failure domains of one cluster */
#define SERVICES_MAX 50 /* services of one cluster */
#define NAME_MAX_BYTES                                                                                                 \
    32 /* a site's, node's or service's name with its NUL: a DNS label fits most, and a status line stays readable */
#define ADDRESS_MAX_BYTES                                                                                              \
    64 /* "host:port" with its NUL; libraft's configuration of all nodes must fit one 4 KiB disk block */

#define ENTRY_MAX_BYTES (64 * 1024)              /* one Raft entry; libraft has no limit of its own */
#define FRAME_MAX_BYTES (ENTRY_MAX_BYTES + 1024) /* one message between two nodes */

_Static_assert(NODES_MAX *(ADDRESS_MAX_BYTES + 32) < 4096, "the configuration entry must fit one disk block");

#endif
