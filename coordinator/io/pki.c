#include "io/pki.h"

#include "base/check.h"
#include "base/text.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#define SERIAL_BYTES 20 /* RFC 5280's bound; the first bit stays clear, so that the number is positive */

static const char coord_scheme[] = "coord:";

/* OpenSSL's own word about what failed last, for a person. */
static enum status openssl_failed(struct error *err, const char *what)
{
    unsigned long code = ERR_peek_last_error();
    const char *reason = code != 0 ? ERR_reason_error_string(code) : NULL;

    ERR_clear_error();
    return error_set(err, STATUS_FAILED, "%s: %s", what, reason != NULL ? reason : "OpenSSL gave no reason");
}

/* ---- reading files ---- */

static enum status open_to_read(const char *path, FILE **out, struct error *err)
{
    *out = fopen(path, "re");
    if (*out != NULL)
        return STATUS_OK;
    return error_set(err, errno == ENOENT ? STATUS_NOT_FOUND : STATUS_FAILED, "%s: %s", path, strerror(errno));
}

/* An encrypted key is not asked for its passphrase: the terminal belongs to coordctl's own questions. */
static int no_passphrase(char *buffer, int size, int writing, void *ctx)
{
    (void)buffer;
    (void)size;
    (void)writing;
    (void)ctx;
    return -1;
}

static enum status read_certificate(const char *path, X509 **out, struct error *err)
{
    FILE *file;
    enum status status = open_to_read(path, &file, err);

    if (status != STATUS_OK)
        return status;
    *out = PEM_read_X509(file, NULL, no_passphrase, NULL);
    (void)fclose(file); /* read only: nothing can be lost */
    ERR_clear_error();
    if (*out == NULL)
        return error_set(err, STATUS_INVALID, "%s: holds no certificate in PEM format", path);
    return STATUS_OK;
}

static enum status read_key(const char *path, EVP_PKEY **out, struct error *err)
{
    FILE *file;
    enum status status = open_to_read(path, &file, err);

    if (status != STATUS_OK)
        return status;
    *out = PEM_read_PrivateKey(file, NULL, no_passphrase, NULL);
    (void)fclose(file);
    ERR_clear_error();
    if (*out == NULL)
        return error_set(err, STATUS_INVALID, "%s: holds no private key in PEM format without a passphrase", path);
    return STATUS_OK;
}

/* ---- what a certificate holds ---- */

static bool add_extension(X509 *certificate, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX context;
    X509_EXTENSION *extension;
    bool added;

    X509V3_set_ctx(&context, issuer, certificate, NULL, NULL, 0);
    extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
    added = extension != NULL && X509_add_ext(certificate, extension, -1) == 1;
    X509_EXTENSION_free(extension);
    return added;
}

/* One alternative name; built by hand, because in OpenSSL's text form a comma in the value would begin another name. */
static bool add_name(GENERAL_NAMES *names, int type, const void *bytes, size_t length)
{
    GENERAL_NAME *name = GENERAL_NAME_new();
    ASN1_STRING *value = type == GEN_IPADD ? ASN1_OCTET_STRING_new() : ASN1_IA5STRING_new();

    ASSERT(name != NULL);
    ASSERT(value != NULL);
    ASSERT(ASN1_STRING_set(value, bytes, (int)length) == 1);
    GENERAL_NAME_set0_value(name, type, value);
    return sk_GENERAL_NAME_push(names, name) > 0;
}

static bool is_host_name(const char *text)
{
    for (const char *p = text; *p != '\0'; p++)
        if (!((*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || (*p >= '0' && *p <= '9') || *p == '-' ||
              *p == '.'))
            return false;
    return text[0] != '\0' && text[0] != '-' && text[0] != '.' && strlen(text) < PKI_TEXT_MAX_BYTES;
}

static enum status add_alternative_names(X509 *certificate, const struct pki_request *request, struct error *err)
{
    GENERAL_NAMES *names = sk_GENERAL_NAME_new_null();
    enum status status = STATUS_OK;
    bool added = names != NULL && add_name(names, GEN_URI, request->uri, strlen(request->uri));

    for (size_t i = 0; i < request->host_count && added && status == STATUS_OK; i++) {
        const char *host = request->hosts[i];
        unsigned char bytes[16];
        if (inet_pton(AF_INET, host, bytes) == 1)
            added = add_name(names, GEN_IPADD, bytes, 4);
        else if (inet_pton(AF_INET6, host, bytes) == 1)
            added = add_name(names, GEN_IPADD, bytes, 16);
        else if (is_host_name(host))
            added = add_name(names, GEN_DNS, host, strlen(host));
        else
            status = error_set(err, STATUS_INVALID, "'%.100s' is neither a host name nor an IP address", host);
    }
    if (status == STATUS_OK && (!added || X509_add1_ext_i2d(certificate, NID_subject_alt_name, names, 0, 0) != 1))
        status = openssl_failed(err, "the certificate's names");
    sk_GENERAL_NAME_pop_free(names, GENERAL_NAME_free);
    return status;
}

static bool set_serial(X509 *certificate)
{
    unsigned char bytes[SERIAL_BYTES];
    BIGNUM *number;
    bool set;

    if (RAND_bytes(bytes, sizeof bytes) != 1)
        return false;
    bytes[0] = (unsigned char)((bytes[0] & 0x7f) | 0x40); /* positive, and of full length: never zero */
    number = BN_bin2bn(bytes, sizeof bytes, NULL);
    set = number != NULL && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(certificate)) != NULL;
    BN_free(number);
    return set;
}

static bool set_times(X509 *certificate, int64_t not_before_s, int64_t not_after_s)
{
    return ASN1_TIME_set(X509_getm_notBefore(certificate), (time_t)not_before_s) != NULL &&
           ASN1_TIME_set(X509_getm_notAfter(certificate), (time_t)not_after_s) != NULL;
}

/* What may be done with the key. Every use is named; a program that checks uses refuses every other. */
static bool add_uses(X509 *certificate, X509 *issuer, const struct pki_request *request)
{
    if (request->uri == NULL)
        return add_extension(certificate, issuer, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") &&
               add_extension(certificate, issuer, NID_key_usage, "critical,keyCertSign,cRLSign") &&
               add_extension(certificate, issuer, NID_subject_key_identifier, "hash");
    return add_extension(certificate, issuer, NID_basic_constraints, "critical,CA:FALSE") &&
           add_extension(certificate, issuer, NID_key_usage, "critical,digitalSignature") &&
           add_extension(certificate, issuer, NID_ext_key_usage,
                         request->serves ? "serverAuth,clientAuth" : "clientAuth") &&
           add_extension(certificate, issuer, NID_subject_key_identifier, "hash") &&
           add_extension(certificate, issuer, NID_authority_key_identifier, "keyid:always");
}

/* The whole certificate for `key`, signed with `signer`, the key of `issuer` (NULL: of itself). */
static enum status make_certificate(const struct pki_request *request, EVP_PKEY *key, X509 *issuer, EVP_PKEY *signer,
                                    X509 **out, struct error *err)
{
    X509 *certificate = X509_new();
    X509_NAME *name = certificate != NULL ? X509_get_subject_name(certificate) : NULL;
    enum status status = STATUS_OK;
    bool made;

    ASSERT(name != NULL);
    made = X509_set_version(certificate, X509_VERSION_3) == 1 && set_serial(certificate) &&
           set_times(certificate, request->not_before_s, request->not_after_s) &&
           X509_NAME_add_entry_by_NID(name, NID_commonName, MBSTRING_UTF8, (const unsigned char *)request->name, -1, -1,
                                      0) == 1 &&
           X509_set_issuer_name(certificate, issuer != NULL ? X509_get_subject_name(issuer) : name) == 1 &&
           X509_set_pubkey(certificate, key) == 1 &&
           add_uses(certificate, issuer != NULL ? issuer : certificate, request);
    if (made && request->uri != NULL)
        status = add_alternative_names(certificate, request, err);
    if (status == STATUS_OK && (!made || X509_sign(certificate, signer, EVP_sha256()) == 0))
        status = openssl_failed(err, "the certificate");
    if (status == STATUS_OK)
        *out = certificate;
    else
        X509_free(certificate);
    return status;
}

/* ---- writing files ---- */

/* Creates `path` with what `bio` holds, synced. */
static enum status write_new(const char *path, BIO *bio, mode_t mode, struct error *err)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
    char *bytes;
    long length = BIO_get_mem_data(bio, &bytes);
    enum status status = STATUS_OK;

    if (fd < 0 && errno == EEXIST)
        return error_set(err, STATUS_REFUSED, "%s is there already and is not touched: move it away first", path);
    if (fd < 0)
        return error_set(err, STATUS_FAILED, "%s: %s", path, strerror(errno));
    errno = ENOSPC; /* what a short write means */
    if (write(fd, bytes, (size_t)length) != length || fchmod(fd, mode) != 0 || fsync(fd) != 0)
        status = error_set(err, STATUS_FAILED, "%s: %s", path, strerror(errno));
    if (close(fd) != 0 && status == STATUS_OK)
        status = error_set(err, STATUS_FAILED, "%s: %s", path, strerror(errno));
    if (status != STATUS_OK)
        (void)unlink(path);
    return status;
}

static enum status write_pair(EVP_PKEY *key, X509 *certificate, const char *certificate_path, const char *key_path,
                              struct error *err)
{
    BIO *secret = BIO_new(BIO_s_secmem()), *open_text = BIO_new(BIO_s_mem());
    enum status status = STATUS_OK;

    ASSERT(secret != NULL);
    ASSERT(open_text != NULL);
    if (PEM_write_bio_PKCS8PrivateKey(secret, key, NULL, NULL, 0, NULL, NULL) != 1 ||
        PEM_write_bio_X509(open_text, certificate) != 1)
        status = openssl_failed(err, "writing PEM");
    if (status == STATUS_OK)
        status = write_new(key_path, secret, 0600, err);
    if (status == STATUS_OK) {
        status = write_new(certificate_path, open_text, 0644, err);
        if (status != STATUS_OK)
            (void)unlink(key_path); /* it is ours, a moment old, and nothing is signed for it */
    }
    BIO_free(secret);
    BIO_free(open_text);
    return status;
}

/* A new key and its certificate, into two new files. `issuer` and `signer` NULL: it signs itself. */
static enum status make_pair(const struct pki_request *request, X509 *issuer, EVP_PKEY *signer,
                             const char *certificate_path, const char *key_path, struct error *err)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *certificate = NULL;
    enum status status;

    if (key == NULL)
        return openssl_failed(err, "a new key");
    status = make_certificate(request, key, issuer, signer != NULL ? signer : key, &certificate, err);
    if (status == STATUS_OK)
        status = write_pair(key, certificate, certificate_path, key_path, err);
    X509_free(certificate);
    EVP_PKEY_free(key);
    return status;
}

/* ---- making ---- */

static enum status check_text(const char *what, const char *text, size_t capacity_bytes, struct error *err)
{
    if (text[0] == '\0' || strlen(text) >= capacity_bytes)
        return error_set(err, STATUS_INVALID, "%s: expected 1 to %zu characters", what, capacity_bytes - 1);
    for (const char *p = text; *p != '\0'; p++)
        if (*p <= 0x20 || *p == 0x7f)
            return error_set(err, STATUS_INVALID, "%s: expected letters, digits and signs without blanks", what);
    return STATUS_OK;
}

static enum status check_request(const struct pki_request *request, struct error *err)
{
    enum status status = check_text("the certificate's name", request->name, PKI_NAME_MAX_BYTES, err);

    if (status == STATUS_OK && request->uri != NULL)
        status = check_text("the identity", request->uri, PKI_TEXT_MAX_BYTES, err);
    if (status == STATUS_OK && request->not_after_s <= request->not_before_s)
        status = error_set(err, STATUS_INVALID, "the certificate would end before it begins");
    return status;
}

enum status pki_make_authority(const struct pki_request *request, const char *certificate_path, const char *key_path,
                               struct error *err)
{
    enum status status;

    ASSERT(request->uri == NULL);
    status = check_request(request, err);
    return status == STATUS_OK ? make_pair(request, NULL, NULL, certificate_path, key_path, err) : status;
}

static int64_t seconds_of(const ASN1_TIME *time)
{
    struct tm utc;

    if (ASN1_TIME_to_tm(time, &utc) != 1)
        return 0;
    return (int64_t)timegm(&utc);
}

/* May these two sign? Judged here, because a certificate signed with the wrong key only fails much later, at somebody's connection. */
static enum status judge_authority(const char *path, const char *key_path, X509 *certificate, EVP_PKEY *key,
                                   int64_t now_s, struct error *err)
{
    if (X509_check_ca(certificate) != 1)
        return error_set(err, STATUS_INVALID, "%s is not the certificate of an authority", path);
    if (X509_check_private_key(certificate, key) != 1) {
        ERR_clear_error();
        return error_set(err, STATUS_INVALID, "%s is not the key of %s", key_path, path);
    }
    if (seconds_of(X509_get0_notAfter(certificate)) <= now_s)
        return error_set(
            err, STATUS_REFUSED,
            "the authority %s has expired: make a new one (coordctl pki init) and issue every certificate again", path);
    return STATUS_OK;
}

enum status pki_issue(const char *authority_certificate, const char *authority_key, const struct pki_request *request,
                      const char *certificate_path, const char *key_path, struct error *err)
{
    struct pki_request bounded = *request;
    X509 *issuer = NULL;
    EVP_PKEY *signer = NULL;
    enum status status;

    ASSERT(request->uri != NULL);
    status = check_request(request, err);
    if (status == STATUS_OK)
        status = read_certificate(authority_certificate, &issuer, err);
    if (status == STATUS_OK)
        status = read_key(authority_key, &signer, err);
    if (status == STATUS_OK)
        status = judge_authority(authority_certificate, authority_key, issuer, signer, request->not_before_s, err);
    if (status == STATUS_OK) {
        int64_t end_s = seconds_of(X509_get0_notAfter(issuer));
        if (bounded.not_after_s > end_s)
            bounded.not_after_s = end_s;
        status = make_pair(&bounded, issuer, signer, certificate_path, key_path, err);
    }
    EVP_PKEY_free(signer);
    X509_free(issuer);
    return status;
}

/* ---- reading ---- */

static void clean_copy(char *out, size_t capacity_bytes, const unsigned char *bytes, size_t length)
{
    size_t kept = length < capacity_bytes - 1 ? length : capacity_bytes - 1;

    for (size_t i = 0; i < kept; i++)
        out[i] = bytes[i] < 0x20 || bytes[i] == 0x7f ? '?' : (char)bytes[i];
    out[kept] = '\0';
}

static void common_name(const X509_NAME *name, char *out, size_t capacity_bytes)
{
    int place = X509_NAME_get_index_by_NID(name, NID_commonName, -1);
    const ASN1_STRING *value = place >= 0 ? X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, place)) : NULL;

    out[0] = '\0';
    if (value != NULL)
        clean_copy(out, capacity_bytes, ASN1_STRING_get0_data(value), (size_t)ASN1_STRING_length(value));
}

static void add_host(struct pki_facts *out, const char *text)
{
    text_add(out->hosts, sizeof out->hosts, "%s%s", out->hosts[0] != '\0' ? ", " : "", text);
}

static void read_name(struct pki_facts *out, const GENERAL_NAME *name)
{
    int type;
    const ASN1_STRING *value = GENERAL_NAME_get0_value(name, &type);
    char text[PKI_TEXT_MAX_BYTES];

    if (type != GEN_URI && type != GEN_DNS && type != GEN_IPADD)
        return;
    if (type == GEN_IPADD) {
        int length = ASN1_STRING_length(value);
        if ((length == 4 || length == 16) &&
            inet_ntop(length == 4 ? AF_INET : AF_INET6, ASN1_STRING_get0_data(value), text, sizeof text) != NULL)
            add_host(out, text);
        return;
    }
    clean_copy(text, sizeof text, ASN1_STRING_get0_data(value), (size_t)ASN1_STRING_length(value));
    if (type == GEN_DNS) {
        add_host(out, text);
    } else if (strncmp(text, coord_scheme, sizeof coord_scheme - 1) == 0) {
        out->uri_count++;
        text_set(out->uri, sizeof out->uri, "%s", out->uri_count == 1 ? text : "");
    }
}

static void read_names(struct pki_facts *out, const X509 *certificate)
{
    GENERAL_NAMES *names = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);

    for (int i = 0; i < sk_GENERAL_NAME_num(names); i++)
        read_name(out, sk_GENERAL_NAME_value(names, i));
    GENERAL_NAMES_free(names);
}

static void read_numbers(struct pki_facts *out, const X509 *certificate)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned length = 0;
    const ASN1_INTEGER *serial = X509_get0_serialNumber(certificate);

    for (int i = 0; i < ASN1_STRING_length(serial) && i < SERIAL_BYTES; i++)
        text_add(out->serial, sizeof out->serial, "%02x", ASN1_STRING_get0_data(serial)[i]);
    ASSERT(X509_digest(certificate, EVP_sha256(), digest, &length) == 1);
    for (unsigned i = 0; i < length; i++)
        text_add(out->fingerprint, sizeof out->fingerprint, "%s%02x", i > 0 ? ":" : "", digest[i]);
}

enum status pki_read(const char *path, struct pki_facts *out, struct error *err)
{
    X509 *certificate = NULL;
    enum status status = read_certificate(path, &certificate, err);

    memset(out, 0, sizeof *out);
    if (status != STATUS_OK)
        return status;
    common_name(X509_get_subject_name(certificate), out->name, sizeof out->name);
    common_name(X509_get_issuer_name(certificate), out->issuer, sizeof out->issuer);
    out->authority = X509_check_ca(certificate) == 1;
    out->not_before_s = seconds_of(X509_get0_notBefore(certificate));
    out->not_after_s = seconds_of(X509_get0_notAfter(certificate));
    read_names(out, certificate);
    read_numbers(out, certificate);
    X509_free(certificate);
    ERR_clear_error();
    return STATUS_OK;
}
