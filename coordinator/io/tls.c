/* One connection: two memory buffers instead of a socket, and OpenSSL between them.
 *
 * Failure modes: a peer is refused inside the handshake, by the verification's own callback, so that TLS tells it why; OpenSSL's queue of errors is
 * emptied before each call and read once after it. */
#include "io/tls_internal.h"

#include "base/check.h"

#include <inttypes.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdlib.h>

#define ALERT_REASON 1000 /* OpenSSL's reason for an alert that was received is this plus its number */

struct tls {
    SSL *ssl;
    BIO *in, *out; /* owned by ssl */
    struct tls_options options;
    struct tls_identity peer;
    bool started, established, ended;
    struct error refusal; /* what our own verification said */
};

/* OpenSSL has half a dozen ways to say the commonest mistake. */
static const char *verify_text(int code)
{
    switch (code) {
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_CERT_SIGNATURE_FAILURE:
        return "another authority signed it";
    default:
        return X509_verify_cert_error_string(code);
    }
}

/* OpenSSL asks for each certificate of the peer's chain, the peer's own last. What is refused here, TLS tells the peer. */
static int on_verify(int good, X509_STORE_CTX *check)
{
    SSL *ssl = X509_STORE_CTX_get_ex_data(check, SSL_get_ex_data_X509_STORE_CTX_idx());
    struct tls *t = SSL_get_app_data(ssl);
    char text[TLS_IDENTITY_TEXT_MAX_BYTES];
    struct tls_identity peer;
    X509 *own = X509_STORE_CTX_get0_cert(check);

    if (good != 1) {
        (void)tls_identity_of(own, &peer);
        error_set(&t->refusal, STATUS_REFUSED, "the certificate it shows (%s) is not accepted: %s",
                  tls_identity_text(&peer, text), verify_text(X509_STORE_CTX_get_error(check)));
        return 0;
    }
    if (X509_STORE_CTX_get_error_depth(check) > 0)
        return 1;
    if (!tls_identity_of(own, &peer))
        error_set(&t->refusal, STATUS_REFUSED, "its certificate does not name exactly one coord: identity");
    else if (t->options.peer_kind != TLS_NOBODY && peer.kind != t->options.peer_kind)
        error_set(&t->refusal, STATUS_REFUSED, "its certificate is that of %s, not of a %s",
                  tls_identity_text(&peer, text), tls_kind_word(t->options.peer_kind));
    else if (t->options.peer_id != 0 && peer.id != t->options.peer_id)
        error_set(&t->refusal, STATUS_REFUSED, "its certificate is that of %s, not of node %" PRIu64,
                  tls_identity_text(&peer, text), t->options.peer_id);
    else
        t->peer = peer;
    if (t->refusal.status == STATUS_OK)
        return 1;
    X509_STORE_CTX_set_error(check, X509_V_ERR_APPLICATION_VERIFICATION);
    return 0;
}

/* What OpenSSL's queue holds, as a sentence about the peer. */
static enum status refusal_text(const struct tls *t, struct error *err)
{
    unsigned long first = ERR_peek_error();
    int reason = ERR_GET_REASON(first);

    if (t->refusal.status != STATUS_OK) {
        *err = t->refusal;
    } else if (reason > ALERT_REASON && reason < ALERT_REASON + 256) {
        error_set(err, STATUS_REFUSED, "it refuses this side: %s (its log says more)",
                  SSL_alert_desc_string_long(reason - ALERT_REASON));
    } else if (reason == SSL_R_UNSUPPORTED_PROTOCOL || reason == SSL_R_WRONG_SSL_VERSION) {
        error_set(err, STATUS_REFUSED, "it does not offer TLS 1.3");
    } else if (reason == SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE) {
        error_set(err, STATUS_REFUSED, "it shows no certificate");
    } else {
        const char *text = ERR_reason_error_string(first);
        error_set(err, STATUS_CORRUPT, "TLS failed: %s", text != NULL ? text : "no reason given");
    }
    ERR_clear_error();
    return err->status;
}

static enum status handshake(struct tls *t, struct error *err)
{
    ERR_clear_error();
    int rv = SSL_do_handshake(t->ssl);
    if (rv != 1) {
        if (SSL_get_error(t->ssl, rv) == SSL_ERROR_WANT_READ)
            return STATUS_OK;
        return refusal_text(t, err);
    }
    if (t->peer.kind == TLS_NOBODY && !t->options.certificate_optional) /* cannot be: on_verify was not asked */
        return error_set(err, STATUS_REFUSED, "it shows no certificate");
    t->established = true;
    return STATUS_OK;
}

struct tls *tls_create(struct tls_context *c, const struct tls_options *options, struct error *err)
{
    struct tls *t = calloc(1, sizeof *t);
    struct error failed = ERROR_NONE;
    int mode = SSL_VERIFY_PEER;

    ASSERT(!options->certificate_optional || options->side == TLS_SERVER);
    if (t != NULL)
        t->ssl = SSL_new(c->ssl);
    if (t == NULL || t->ssl == NULL)
        goto fail;
    t->options = *options;
    t->in = BIO_new(BIO_s_mem());
    t->out = BIO_new(BIO_s_mem());
    if (t->in == NULL || t->out == NULL) {
        BIO_free(t->in);
        BIO_free(t->out);
        goto fail;
    }
    SSL_set_bio(t->ssl, t->in, t->out);
    SSL_set_app_data(t->ssl, t);
    if (!options->certificate_optional)
        mode |= SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
    SSL_set_verify(t->ssl, mode, on_verify);
    if (options->side == TLS_SERVER)
        SSL_set_accept_state(t->ssl);
    else
        SSL_set_connect_state(t->ssl);
    if (options->side == TLS_SERVER || handshake(t, &failed) == STATUS_OK)
        return t;
fail:
    ERR_clear_error();
    tls_destroy(t);
    error_set(err, STATUS_FAILED, "TLS: %s", failed.status != STATUS_OK ? failed.text : "out of memory");
    return NULL;
}

void tls_destroy(struct tls *t)
{
    if (t == NULL)
        return;
    SSL_free(t->ssl);
    free(t);
}

enum status tls_receive(struct tls *t, const uint8_t *bytes, size_t length, struct error *err)
{
    size_t taken = 0;

    if (length == 0)
        return STATUS_OK;
    if (!t->started && (bytes[0] < SSL3_RT_CHANGE_CIPHER_SPEC || bytes[0] > SSL3_RT_APPLICATION_DATA)) {
        /* OpenSSL would hang up without a word: in TLS's own words, it is told to speak TLS 1.3. */
        static const uint8_t alert[] = { SSL3_RT_ALERT, 3, 3, 0, 2, SSL3_AL_FATAL, SSL_AD_PROTOCOL_VERSION };
        if (t->options.side == TLS_SERVER)
            (void)BIO_write_ex(t->out, alert, sizeof alert, &taken);
        return error_set(err, STATUS_CORRUPT, "it does not speak TLS");
    }
    t->started = true;
    if (BIO_write_ex(t->in, bytes, length, &taken) != 1 || taken != length)
        return error_set(err, STATUS_FAILED, "out of memory");
    return t->established ? STATUS_OK : handshake(t, err);
}

enum status tls_read(struct tls *t, uint8_t *out, size_t capacity, size_t *length, struct error *err)
{
    *length = 0;
    if (!t->established || t->ended)
        return STATUS_OK;
    ERR_clear_error();
    if (SSL_read_ex(t->ssl, out, capacity, length) == 1)
        return STATUS_OK;
    *length = 0;
    switch (SSL_get_error(t->ssl, 0)) {
    case SSL_ERROR_WANT_READ:
        return STATUS_OK;
    case SSL_ERROR_ZERO_RETURN:
        t->ended = true;
        return STATUS_OK;
    default:
        return refusal_text(t, err);
    }
}

enum status tls_write(struct tls *t, const uint8_t *bytes, size_t length, struct error *err)
{
    size_t taken = 0;

    ASSERT(t->established);
    if (length == 0)
        return STATUS_OK;
    ERR_clear_error();
    if (SSL_write_ex(t->ssl, bytes, length, &taken) == 1 && taken == length)
        return STATUS_OK;
    error_set(err, STATUS_FAILED, "TLS: cannot encrypt: %s", tls_openssl_reason());
    return STATUS_FAILED;
}

void tls_end(struct tls *t)
{
    ERR_clear_error();
    if (t->established)
        (void)SSL_shutdown(t->ssl); /* half of it: whether the peer answers is nobody's concern */
    ERR_clear_error();
}

size_t tls_output_bytes(const struct tls *t)
{
    return BIO_ctrl_pending(t->out);
}

size_t tls_output(struct tls *t, uint8_t *out, size_t capacity)
{
    size_t given = 0;

    return BIO_read_ex(t->out, out, capacity, &given) == 1 ? given : 0;
}

bool tls_established(const struct tls *t)
{
    return t->established;
}

bool tls_ended(const struct tls *t)
{
    return t->ended;
}

const struct tls_identity *tls_peer(const struct tls *t)
{
    static const struct tls_identity nobody = { .kind = TLS_NOBODY };

    /* A certificate that was shown proves nothing until its key has signed. */
    return t->established ? &t->peer : &nobody;
}
