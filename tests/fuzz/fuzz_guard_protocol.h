/* Between the two halves of fuzz_guard_protocol: lease_guard's side knows PostgreSQL's headers, the client's side our own, and the two have
 * names in common. */
#ifndef COORD_TESTS_FUZZ_GUARD_PROTOCOL_H
#define COORD_TESTS_FUZZ_GUARD_PROTOCOL_H

/* Does our client understand what the server answers (its newline removed) to a request that begins with `request`? */
_Bool fuzz_client_understands(const char *request, const char *answer);

#endif
