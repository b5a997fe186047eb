#include "tls_fixture.h"

#include "base/check.h"

#include <dirent.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char directory[64];

const char *tls_fixture_open(void)
{
    strcpy(directory, "/tmp/coord-tls-XXXXXX");
    ASSERT(mkdtemp(directory) != NULL);
    return directory;
}

void tls_fixture_close(void)
{
    char path[512];
    DIR *all = opendir(directory);

    ASSERT(all != NULL);
    for (struct dirent *one; (one = readdir(all)) != NULL;)
        if (one->d_name[0] != '.') {
            (void)snprintf(path, sizeof path, "%s/%s", directory, one->d_name);
            ASSERT(unlink(path) == 0);
        }
    (void)closedir(all);
    ASSERT(rmdir(directory) == 0);
}

const char *tls_fixture_path(const char *name, const char *ending)
{
    static char paths[8][192];
    static unsigned next;
    char *path = paths[next++ % 8];

    (void)snprintf(path, sizeof paths[0], "%s/%s.%s", directory, name, ending);
    return path;
}

static void store(const char *name, X509 *certificate, EVP_PKEY *key)
{
    FILE *file = fopen(tls_fixture_path(name, "crt"), "we");

    ASSERT(file != NULL);
    ASSERT(PEM_write_X509(file, certificate) == 1);
    ASSERT(fclose(file) == 0);
    file = fopen(tls_fixture_path(name, "key"), "we");
    ASSERT(file != NULL);
    ASSERT(PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL) == 1);
    ASSERT(fclose(file) == 0);
    ASSERT(chmod(tls_fixture_path(name, "key"), 0600) == 0);
}

static void extension(X509 *certificate, int which, const char *value)
{
    X509_EXTENSION *one = X509V3_EXT_conf_nid(NULL, NULL, which, value);

    ASSERT(one != NULL);
    ASSERT(X509_add_ext(certificate, one, -1) == 1);
    X509_EXTENSION_free(one);
}

static X509 *begin(const char *name, EVP_PKEY *key, int64_t begin_s, int64_t end_s)
{
    static long serial = 1;
    X509 *made = X509_new();

    ASSERT(made != NULL);
    ASSERT(X509_set_version(made, X509_VERSION_3) == 1);
    ASSERT(ASN1_INTEGER_set(X509_get_serialNumber(made), serial++) == 1);
    ASSERT(X509_gmtime_adj(X509_getm_notBefore(made), (long)begin_s) != NULL);
    ASSERT(X509_gmtime_adj(X509_getm_notAfter(made), (long)end_s) != NULL);
    ASSERT(X509_NAME_add_entry_by_txt(X509_get_subject_name(made), "CN", MBSTRING_ASC, (const unsigned char *)name, -1,
                                      -1, 0) == 1);
    ASSERT(X509_set_pubkey(made, key) == 1);
    return made;
}

void tls_fixture_authority(const char *name)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *made = begin(name, key, -3600, DAY_S);

    ASSERT(X509_set_issuer_name(made, X509_get_subject_name(made)) == 1);
    extension(made, NID_basic_constraints, "critical,CA:TRUE");
    extension(made, NID_key_usage, "critical,keyCertSign,cRLSign");
    ASSERT(X509_sign(made, key, EVP_sha256()) > 0);
    store(name, made, key);
    X509_free(made);
    EVP_PKEY_free(key);
}

void tls_fixture_certificate(const char *name, const struct tls_fixture_certificate *what)
{
    char names[256] = "DNS:nobody.example";
    bool default_time = what->begin_s == 0 && what->end_s == 0;
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *made = begin(name, key, default_time ? -3600 : what->begin_s, default_time ? DAY_S : what->end_s);
    FILE *file = fopen(tls_fixture_path(what->authority, "crt"), "re");
    ASSERT(file != NULL);
    X509 *authority = PEM_read_X509(file, NULL, NULL, NULL);
    ASSERT(fclose(file) == 0);
    file = fopen(tls_fixture_path(what->authority, "key"), "re");
    ASSERT(file != NULL);
    EVP_PKEY *authority_key = PEM_read_PrivateKey(file, NULL, NULL, NULL);
    ASSERT(fclose(file) == 0);
    ASSERT(authority != NULL && authority_key != NULL);

    for (unsigned i = 0; i < 2; i++)
        if (what->uris[i] != NULL) {
            strcat(names, ",URI:");
            strcat(names, what->uris[i]);
        }
    extension(made, NID_subject_alt_name, names);
    extension(made, NID_basic_constraints, "critical,CA:FALSE");
    extension(made, NID_ext_key_usage, "serverAuth,clientAuth");
    ASSERT(X509_set_issuer_name(made, X509_get_subject_name(authority)) == 1);
    ASSERT(X509_sign(made, authority_key, EVP_sha256()) > 0);
    store(name, made, key);
    X509_free(made);
    X509_free(authority);
    EVP_PKEY_free(key);
    EVP_PKEY_free(authority_key);
}

void tls_fixture_join(const char *name, const char *first, const char *second)
{
    const char *names[] = { first, second };
    char text[4096];
    FILE *both = fopen(tls_fixture_path(name, "crt"), "we");

    ASSERT(both != NULL);
    for (unsigned i = 0; i < 2; i++) {
        FILE *file = fopen(tls_fixture_path(names[i], "crt"), "re");
        ASSERT(file != NULL);
        size_t got = fread(text, 1, sizeof text, file);
        ASSERT(got > 0 && got < sizeof text && fwrite(text, 1, got, both) == got);
        ASSERT(fclose(file) == 0);
    }
    ASSERT(fclose(both) == 0);
}

struct tls_context *tls_fixture_context(const char *name, const char *authority)
{
    struct tls_files files = { .certificate = tls_fixture_path(name, "crt"),
                               .key = tls_fixture_path(name, "key"),
                               .authority = tls_fixture_path(authority, "crt") };
    struct error err = ERROR_NONE;
    struct tls_context *context = tls_context_create(&files, &err);

    if (context == NULL)
        (void)fprintf(stderr, "%s: %s\n", name, err.text);
    ASSERT(context != NULL);
    return context;
}
