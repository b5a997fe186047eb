/* libpq's keyword strings. The parts of a server, whatever stands in them, come out of the string that is made of them as they went in, and
 * bring no keyword of their own; a string that is accepted names no host that would have to be looked up. */
#include "config_value.h"
#include "io/pg_internal.h"
#include "tests/fuzz/fuzz.h"

static const char *value_of(const struct pg_keywords *k, const char *keyword)
{
    for (uint32_t i = 0; i < k->count; i++)
        if (strcmp(k->keywords[i], keyword) == 0)
            return k->values[i];
    return "";
}

static void as_written(const char *text)
{
    struct error err = ERROR_NONE;
    struct pg_keywords k;
    char state[6], line[80], why[200];

    pg_connect_sqlstate(state, text);
    ASSERT(state[5] == '\0');
    pg_first_line(line, sizeof line, text);
    ASSERT(strchr(line, '\n') == NULL);
    if (pg_keywords_parse(&k, text, "-c statement_timeout=1", &err) != STATUS_OK) {
        ASSERT(err.status == STATUS_INVALID && k.parsed == NULL);
        if (config_value_check_conninfo(text, why, sizeof why))
            check_failed(err.text, __FILE__, __LINE__); /* the file would be taken, and every connection refused */
        return;
    }
    ASSERT(value_of(&k, "user")[0] != '\0' && value_of(&k, "service")[0] == '\0');
    ASSERT(value_of(&k, "hostaddr")[0] != '\0' || value_of(&k, "host")[0] == '/');
    ASSERT(k.keywords[k.count] == NULL);
    pg_keywords_free(&k);
}

static void of_parts(struct fuzz_input *in)
{
    char *user = fuzz_line(in), *dbname = fuzz_line(in), *password = fuzz_line(in);
    char out[PG_CONNINFO_MAX];
    struct error err = ERROR_NONE;
    struct pg_keywords k;

    if (user[0] != '\0' &&
        pg_conninfo_format(out, sizeof out, "127.0.0.1", 5432, user, dbname, password, &err) == STATUS_OK) {
        if (pg_keywords_parse(&k, out, NULL, &err) != STATUS_OK)
            check_failed(out, __FILE__, __LINE__);
        ASSERT(strcmp(value_of(&k, "user"), user) == 0 && strcmp(value_of(&k, "dbname"), dbname) == 0);
        ASSERT(strcmp(value_of(&k, "password"), password) == 0 && strcmp(value_of(&k, "hostaddr"), "127.0.0.1") == 0);
        ASSERT(strcmp(value_of(&k, "port"), "5432") == 0);
        pg_keywords_free(&k);
    }
    free(user);
    free(dbname);
    free(password);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input in = { data, size };
    char *text = fuzz_text(data, size);

    as_written(text);
    free(text);
    of_parts(&in);
    return 0;
}
