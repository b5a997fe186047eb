/* The numbers by which the replicated state names things. Names are for people and stand once, in the configuration. */
#ifndef COORD_BASE_IDS_H
#define COORD_BASE_IDS_H

#include <stdint.h>

typedef uint64_t node_id;      /* a node's Raft id, from the cluster's member list; 0 is no node */
typedef uint8_t site_id;       /* index into the replicated sites; SITE_NONE is no site */
typedef uint8_t service_id;    /* index into the replicated services; SERVICE_NONE is no service */
typedef uint64_t epoch_t;      /* rises with each grant, from one counter, never reset; 0 is before the first grant */
typedef uint64_t operation_id; /* the log index of the entry that started it; 0 is no operation */
typedef uint64_t instance_id;  /* random, made with a PostgreSQL server's shared memory; 0 is no instance */

#define SITE_NONE ((site_id)0xff)
#define SERVICE_NONE ((service_id)0xff)

#endif
