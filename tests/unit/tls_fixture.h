/* Certificates for tests, good and bad ones, as PEM files in a directory of the test's own. Each function ends the test when it fails. */
#ifndef COORD_TESTS_TLS_FIXTURE_H
#define COORD_TESTS_TLS_FIXTURE_H

#include "io/tls.h"

#define DAY_S (24 * 60 * 60)

/* A directory below /tmp, removed with what is in it by tls_fixture_close. */
const char *tls_fixture_open(void);
void tls_fixture_close(void);

/* NAME.crt and NAME.key (mode 600): an authority. */
void tls_fixture_authority(const char *name);

struct tls_fixture_certificate {
    const char *authority;  /* one that was made before */
    const char *uris[2];    /* alternative names; NULL: none */
    int64_t begin_s, end_s; /* from now; both 0: from an hour ago until tomorrow */
};
/* NAME.crt and NAME.key, replacing what is there. */
void tls_fixture_certificate(const char *name, const struct tls_fixture_certificate *what);

/* NAME.crt: two authorities. */
void tls_fixture_join(const char *name, const char *first, const char *second);

/* DIRECTORY/NAME.ENDING; the text stays valid for eight further calls. */
const char *tls_fixture_path(const char *name, const char *ending);

/* NAME's files, believing `authority`; fails the test when they do not load. */
struct tls_context *tls_fixture_context(const char *name, const char *authority);

#endif
