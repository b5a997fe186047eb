/* A context is what was read from the three files at one time, complete or not at all. Each connection holds its own reference to OpenSSL's part of
 * it, so a reload touches none that exist.
 *
 * Failure modes: whatever is wrong with a file is an error that names it; a file that is half-way through being replaced is one of them, and the
 * next look finds it changed again. */
#include "io/tls_internal.h"

#include "base/check.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MAX_BYTES (256 * 1024)
#define CHAIN_MAX 8        /* intermediate certificates that we send */
#define AUTHORITIES_MAX 16 /* in one file */
#define VERIFY_DEPTH 5

/* ---- files ---- */

static const char *const file_words[FILE_COUNT] = { "certificate", "key", "authority" };

static struct tls_file_stamp stamp_of(const struct stat *st)
{
    return (struct tls_file_stamp){
        .device = st->st_dev, .inode = st->st_ino, .size = st->st_size, .changed = st->st_ctim
    };
}

static bool stamp_equal(const struct tls_file_stamp *a, const struct tls_file_stamp *b)
{
    return a->device == b->device && a->inode == b->inode && a->size == b->size &&
           a->changed.tv_sec == b->changed.tv_sec && a->changed.tv_nsec == b->changed.tv_nsec;
}

static enum status check_file(const struct stat *st, int which, const char *path, struct error *err)
{
    if (!S_ISREG(st->st_mode))
        return error_set(err, STATUS_INVALID, "%s %s: not a regular file", file_words[which], path);
    if (st->st_size > FILE_MAX_BYTES)
        return error_set(err, STATUS_INVALID, "%s %s: longer than %d bytes", file_words[which], path, FILE_MAX_BYTES);
    if (which == FILE_KEY && (st->st_mode & 077) != 0)
        return error_set(err, STATUS_REFUSED, "key %s: others may read it (mode %o): chmod 600 %s", path,
                         (unsigned)(st->st_mode & 0777), path);
    return STATUS_OK;
}

/* The file's bytes, in memory that is wiped when it is freed. A regular local file: reading it does not block for long. */
static BIO *file_open(struct tls_context *c, int which, struct error *err)
{
    const char *path = c->paths[which];
    char bytes[4096];
    ssize_t got = 0;
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

    if (fd < 0 || fstat(fd, &st) != 0) {
        error_set(err, errno == ENOENT ? STATUS_NOT_FOUND : STATUS_FAILED, "%s %s: %s%s", file_words[which], path,
                  strerror(errno), errno == ENOENT ? ": `coordctl pki` makes certificates" : "");
        if (fd >= 0)
            (void)close(fd); /* read only: nothing can be lost */
        return NULL;
    }
    c->stamps[which] = stamp_of(&st);
    if (check_file(&st, which, path, err) != STATUS_OK) {
        (void)close(fd);
        return NULL;
    }
    BIO *bio = BIO_new(BIO_s_secmem());
    ASSERT(bio != NULL);
    while ((got = read(fd, bytes, sizeof bytes)) > 0)
        ASSERT(BIO_write(bio, bytes, (int)got) == (int)got);
    if (got < 0)
        error_set(err, STATUS_FAILED, "%s %s: %s", file_words[which], path, strerror(errno));
    explicit_bzero(bytes, sizeof bytes);
    (void)close(fd);
    if (got == 0)
        return bio;
    BIO_free(bio);
    return NULL;
}

const char *tls_openssl_reason(void)
{
    const char *text = ERR_reason_error_string(ERR_get_error());

    ERR_clear_error();
    return text != NULL ? text : "no reason given";
}

/* ---- certificates ---- */

static int64_t seconds_of(const ASN1_TIME *time)
{
    struct tm parts;

    return ASN1_TIME_to_tm(time, &parts) == 1 ? (int64_t)timegm(&parts) : 0;
}

bool tls_identity_of(X509 *certificate, struct tls_identity *out)
{
    GENERAL_NAMES *names = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
    const int prefix = (int)strlen(TLS_IDENTITY_URI_PREFIX);
    unsigned ours = 0;
    bool good = false;

    *out = (struct tls_identity){ .kind = TLS_NOBODY };
    for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
        if (name->type != GEN_URI)
            continue;
        const char *uri = (const char *)ASN1_STRING_get0_data(name->d.uniformResourceIdentifier);
        int length = ASN1_STRING_length(name->d.uniformResourceIdentifier);
        if (length < prefix || memcmp(uri, TLS_IDENTITY_URI_PREFIX, (size_t)prefix) != 0)
            continue;
        ours++;
        good = tls_identity_parse(uri, (size_t)length, out);
    }
    GENERAL_NAMES_free(names);
    if (good && ours == 1)
        return true;
    *out = (struct tls_identity){ .kind = TLS_NOBODY };
    return false;
}

/* Every certificate of a PEM text; NULL and `err` when there is none, one too many, or something else between them. */
static STACK_OF(X509) * certificates_read(BIO *bio, int which, const char *path, int count_max, struct error *err)
{
    STACK_OF(X509) *all = sk_X509_new_null();
    X509 *one;

    ASSERT(all != NULL);
    ERR_clear_error();
    while ((one = PEM_read_bio_X509(bio, NULL, NULL, NULL)) != NULL)
        ASSERT(sk_X509_push(all, one) > 0);
    bool at_end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
    if (at_end && sk_X509_num(all) > 0 && sk_X509_num(all) <= count_max) {
        ERR_clear_error();
        return all;
    }
    if (!at_end)
        error_set(err, STATUS_INVALID, "%s %s: damaged: %s", file_words[which], path, tls_openssl_reason());
    else if (sk_X509_num(all) == 0)
        error_set(err, STATUS_INVALID, "%s %s: no certificate in it (PEM: -----BEGIN CERTIFICATE-----)",
                  file_words[which], path);
    else
        error_set(err, STATUS_INVALID, "%s %s: more than %d certificates", file_words[which], path, count_max);
    ERR_clear_error();
    sk_X509_pop_free(all, X509_free);
    return NULL;
}

/* A key that asks for a passphrase would stop the daemon at a prompt: there is none. */
static int no_passphrase(char *out, int capacity, int writing, void *ctx)
{
    (void)out;
    (void)capacity;
    (void)writing;
    *(bool *)ctx = true;
    return -1;
}

static enum status load_key(struct tls_context *c, struct error *err)
{
    const char *path = c->paths[FILE_KEY];
    bool encrypted = false;
    BIO *bio = file_open(c, FILE_KEY, err);

    if (bio == NULL)
        return err->status;
    ERR_clear_error();
    EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, &encrypted);
    BIO_free(bio);
    if (encrypted)
        error_set(err, STATUS_INVALID,
                  "key %s: it is encrypted, and nobody is there to be asked: store it without a "
                  "passphrase, mode 600",
                  path);
    else if (key == NULL)
        error_set(err, STATUS_INVALID, "key %s: no private key in PEM: %s", path, tls_openssl_reason());
    else if (SSL_CTX_use_PrivateKey(c->ssl, key) != 1 || SSL_CTX_check_private_key(c->ssl) != 1)
        error_set(err, STATUS_INVALID, "key %s: it is not the key of certificate %s", path, c->paths[FILE_CERTIFICATE]);
    EVP_PKEY_free(key);
    ERR_clear_error();
    return err->status;
}

static enum status load_certificate(struct tls_context *c, struct error *err)
{
    const char *path = c->paths[FILE_CERTIFICATE];
    BIO *bio = file_open(c, FILE_CERTIFICATE, err);
    STACK_OF(X509) * all;

    if (bio == NULL)
        return err->status;
    all = certificates_read(bio, FILE_CERTIFICATE, path, 1 + CHAIN_MAX, err);
    BIO_free(bio);
    if (all == NULL)
        return err->status;
    X509 *own = sk_X509_value(all, 0);
    c->validity.certificate_begin_s = seconds_of(X509_get0_notBefore(own));
    c->validity.certificate_end_s = seconds_of(X509_get0_notAfter(own));
    if (SSL_CTX_use_certificate(c->ssl, own) != 1)
        error_set(err, STATUS_INVALID, "certificate %s: %s", path, tls_openssl_reason());
    else if (!tls_identity_of(own, &c->identity))
        error_set(
            err, STATUS_INVALID,
            "certificate %s: it must name exactly one of coord:node:ID, coord:operator:NAME, coord:viewer:NAME as "
            "URI among its alternative names",
            path);
    for (int i = 1; i < sk_X509_num(all); i++)
        ASSERT(SSL_CTX_add1_chain_cert(c->ssl, sk_X509_value(all, i)) == 1);
    sk_X509_pop_free(all, X509_free);
    return err->status;
}

static enum status load_authority(struct tls_context *c, struct error *err)
{
    BIO *bio = file_open(c, FILE_AUTHORITY, err);
    STACK_OF(X509) * all;

    if (bio == NULL)
        return err->status;
    all = certificates_read(bio, FILE_AUTHORITY, c->paths[FILE_AUTHORITY], AUTHORITIES_MAX, err);
    BIO_free(bio);
    if (all == NULL)
        return err->status;
    for (int i = 0; i < sk_X509_num(all); i++) {
        X509 *one = sk_X509_value(all, i);
        if (X509_check_ca(one) == 0 && err->status == STATUS_OK)
            error_set(err, STATUS_INVALID, "authority %s: its certificate %d is no authority's (CA:TRUE is missing)",
                      c->paths[FILE_AUTHORITY], i + 1);
        ASSERT(X509_STORE_add_cert(SSL_CTX_get_cert_store(c->ssl), one) == 1);
        ASSERT(SSL_CTX_add_client_CA(c->ssl, one) == 1);
    }
    sk_X509_pop_free(all, X509_free);
    return err->status;
}

/* May our own certificate be shown to somebody who believes our authority? Its time aside: an expired one is loaded, so that the node runs and
 * can say what is wrong. */
static enum status check_own(struct tls_context *c, struct error *err)
{
    X509 *own = SSL_CTX_get0_certificate(c->ssl);
    STACK_OF(X509) *chain = NULL;
    X509_STORE_CTX *check = X509_STORE_CTX_new();

    ASSERT(check != NULL);
    ASSERT(SSL_CTX_get0_chain_certs(c->ssl, &chain) == 1);
    ASSERT(X509_STORE_CTX_init(check, SSL_CTX_get_cert_store(c->ssl), own, chain) == 1);
    X509_STORE_CTX_set_flags(check, X509_V_FLAG_NO_CHECK_TIME);
    if (X509_verify_cert(check) != 1) {
        error_set(err, STATUS_INVALID, "certificate %s is not of the authority in %s: %s", c->paths[FILE_CERTIFICATE],
                  c->paths[FILE_AUTHORITY], X509_verify_cert_error_string(X509_STORE_CTX_get_error(check)));
    } else {
        const STACK_OF(X509) *way = X509_STORE_CTX_get0_chain(check);
        c->validity.authority_end_s = INT64_MAX;
        for (int i = sk_X509_num(way) > 1 ? 1 : 0; i < sk_X509_num(way); i++) {
            int64_t end_s = seconds_of(X509_get0_notAfter(sk_X509_value(way, i)));
            if (end_s < c->validity.authority_end_s)
                c->validity.authority_end_s = end_s;
        }
    }
    X509_STORE_CTX_free(check);
    ERR_clear_error();
    if (err->status != STATUS_OK)
        return err->status;
    if (X509_check_purpose(own, X509_PURPOSE_SSL_CLIENT, 0) != 1 ||
        (c->identity.kind == TLS_NODE && X509_check_purpose(own, X509_PURPOSE_SSL_SERVER, 0) != 1))
        return error_set(err, STATUS_INVALID, "certificate %s: its (extended) key usage forbids it to be a client's%s",
                         c->paths[FILE_CERTIFICATE],
                         c->identity.kind == TLS_NODE ? " or a server's: a node needs both" : "");
    return STATUS_OK;
}

/* ---- context ---- */

/* Fills a context that has its paths. */
static enum status load(struct tls_context *c, struct error *err)
{
    *err = ERROR_NONE;
    c->ssl = SSL_CTX_new(TLS_method());
    ASSERT(c->ssl != NULL);
    ASSERT(SSL_CTX_set_min_proto_version(c->ssl, TLS1_3_VERSION) == 1);
    ASSERT(SSL_CTX_set_num_tickets(c->ssl, 0) == 1);
    SSL_CTX_set_session_cache_mode(c->ssl, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_mode(c->ssl, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_verify_depth(c->ssl, VERIFY_DEPTH);
    if (load_certificate(c, err) == STATUS_OK && load_key(c, err) == STATUS_OK && load_authority(c, err) == STATUS_OK)
        (void)check_own(c, err);
    return err->status;
}

static void context_init(struct tls_context *c, const char *certificate, const char *key, const char *authority)
{
    const char *paths[FILE_COUNT] = { certificate, key, authority };

    *c = (struct tls_context){ .ssl = NULL };
    for (int i = 0; i < FILE_COUNT; i++) {
        c->paths[i] = strdup(paths[i]);
        ASSERT(c->paths[i] != NULL);
    }
}

static void context_close(struct tls_context *c)
{
    for (int i = 0; i < FILE_COUNT; i++)
        free(c->paths[i]);
    SSL_CTX_free(c->ssl);
}

struct tls_context *tls_context_create(const struct tls_files *files, struct error *err)
{
    struct error ignored;
    struct tls_context *c = malloc(sizeof *c);

    ASSERT(c != NULL);
    context_init(c, files->certificate, files->key, files->authority);
    if (load(c, err != NULL ? err : &ignored) == STATUS_OK)
        return c;
    tls_context_destroy(c);
    return NULL;
}

enum status tls_context_reload(struct tls_context *c, struct error *err)
{
    struct tls_context next;
    char was[TLS_IDENTITY_TEXT_MAX_BYTES], is[TLS_IDENTITY_TEXT_MAX_BYTES];

    context_init(&next, c->paths[FILE_CERTIFICATE], c->paths[FILE_KEY], c->paths[FILE_AUTHORITY]);
    if (load(&next, err) == STATUS_OK &&
        (next.identity.kind != c->identity.kind || next.identity.id != c->identity.id ||
         strcmp(next.identity.name, c->identity.name) != 0))
        error_set(err, STATUS_INVALID, "certificate %s is now that of %s, and this is %s", c->paths[FILE_CERTIFICATE],
                  tls_identity_text(&next.identity, is), tls_identity_text(&c->identity, was));
    if (err->status == STATUS_OK) {
        context_close(c);
        *c = next;
        return STATUS_OK;
    }
    memcpy(c->stamps, next.stamps, sizeof c->stamps);
    context_close(&next);
    return err->status;
}

bool tls_context_stale(const struct tls_context *c)
{
    for (int i = 0; i < FILE_COUNT; i++) {
        struct stat st;
        struct tls_file_stamp now = { 0 };
        if (stat(c->paths[i], &st) == 0)
            now = stamp_of(&st);
        if (!stamp_equal(&now, &c->stamps[i]))
            return true;
    }
    return false;
}

const struct tls_identity *tls_context_identity(const struct tls_context *c)
{
    return &c->identity;
}

struct tls_validity tls_context_validity(const struct tls_context *c)
{
    return c->validity;
}

void tls_context_destroy(struct tls_context *c)
{
    if (c == NULL)
        return;
    context_close(c);
    free(c);
}
