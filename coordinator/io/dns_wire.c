#include "io/dns_wire.h"

#include <netinet/in.h>

#include <ldns/ldns.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>

#include "base/bytes.h"
#include "base/check.h"
#include "io/clock.h"

enum tsig_rdf {
    TSIG_RDF_ALGORITHM,
    TSIG_RDF_TIME,
    TSIG_RDF_FUDGE,
    TSIG_RDF_MAC,
    TSIG_RDF_ID,
    TSIG_RDF_ERROR,
    TSIG_RDF_COUNT
};
enum tsig_error { TSIG_ERROR_BADSIG = 16, TSIG_ERROR_BADKEY = 17, TSIG_ERROR_BADTIME = 18 };

#define HEADER_BYTES 12

static const struct {
    ldns_rr_type type;
    const char *word;
} types[] = {
    [DNS_TYPE_A] = { LDNS_RR_TYPE_A, "A" },
    [DNS_TYPE_AAAA] = { LDNS_RR_TYPE_AAAA, "AAAA" },
    [DNS_TYPE_TXT] = { LDNS_RR_TYPE_TXT, "TXT" },
    [DNS_TYPE_SOA] = { LDNS_RR_TYPE_SOA, "SOA" },
};

const char *dns_type_word(enum dns_type type)
{
    return types[type].word;
}

const char *dns_rcode_word(enum dns_rcode rcode)
{
    static const char *const words[] = { "NOERROR",  "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED",
                                         "YXDOMAIN", "YXRRSET", "NXRRSET",  "NOTAUTH",  "NOTZONE" };

    return (size_t)rcode < sizeof words / sizeof *words ? words[rcode] : "an unknown response code";
}

/* ---- building ---- */

static enum status name_read(ldns_rdf **out, const char *name, struct error *err)
{
    *out = ldns_dname_new_frm_str(name);
    if (*out == NULL)
        return error_set(err, STATUS_INVALID, "'%.200s' is no DNS name", name);
    return STATUS_OK;
}

/* The value as rdata; NULL when it does not fit the type. */
static ldns_rdf *value_rdf(enum dns_type type, const char *value)
{
    uint8_t text[256];
    size_t length = strlen(value);

    switch (type) {
    case DNS_TYPE_A:
        return ldns_rdf_new_frm_str(LDNS_RDF_TYPE_A, value);
    case DNS_TYPE_AAAA:
        return ldns_rdf_new_frm_str(LDNS_RDF_TYPE_AAAA, value);
    case DNS_TYPE_TXT:
        if (length > 255)
            return NULL;
        text[0] = (uint8_t)length;
        memcpy(text + 1, value, length);
        return ldns_rdf_new_frm_data(LDNS_RDF_TYPE_STR, length + 1, text);
    case DNS_TYPE_SOA:
        return NULL; /* never written */
    }
    return NULL;
}

/* `with_value` false: an RR without rdata, as deletions and the prerequisite "absent" are written. */
static enum status rr_build(ldns_rr **out, const struct dns_record *record, ldns_rr_class class, bool with_value,
                            uint32_t ttl_s, struct error *err)
{
    ldns_rdf *owner = NULL, *value = NULL;

    if (name_read(&owner, record->name, err) != STATUS_OK)
        return STATUS_INVALID;
    if (with_value && (value = value_rdf(record->type, record->value)) == NULL) {
        ldns_rdf_deep_free(owner);
        return error_set(err, STATUS_INVALID, "'%.100s' is no value of type %s", record->value,
                         dns_type_word(record->type));
    }
    *out = ldns_rr_new();
    ASSERT(*out != NULL);
    ldns_rr_set_owner(*out, owner);
    ldns_rr_set_type(*out, types[record->type].type);
    ldns_rr_set_class(*out, class);
    ldns_rr_set_ttl(*out, ttl_s);
    if (value != NULL)
        ldns_rr_push_rdf(*out, value);
    return STATUS_OK;
}

static enum status rr_add(ldns_rr_list *list, const struct dns_record *record, ldns_rr_class class, bool with_value,
                          uint32_t ttl_s, struct error *err)
{
    ldns_rr *rr = NULL;
    enum status status = rr_build(&rr, record, class, with_value, ttl_s, err);

    if (status == STATUS_OK)
        ASSERT(ldns_rr_list_push_rr(list, rr));
    return status;
}

/* ldns leaks when it is given a name that is none or a secret that is not base64. */
static bool key_ok(const struct tsig_key *key)
{
    ldns_rdf *name = ldns_dname_new_frm_str(key->name);
    ldns_rdf *bytes = ldns_rdf_new_frm_str(LDNS_RDF_TYPE_B64, key->secret);
    bool ok = name != NULL && bytes != NULL && ldns_rdf_size(bytes) > 0;

    if (ok)
        explicit_bzero(ldns_rdf_data(bytes), ldns_rdf_size(bytes));
    ldns_rdf_deep_free(name);
    ldns_rdf_deep_free(bytes);
    return ok;
}

/* The key's secret stands in no error text, whatever ldns says about it. */
static enum status message_sign(struct dns_message *out, ldns_pkt *packet, const struct tsig_key *key,
                                struct error *err)
{
    char algorithm[sizeof key->algorithm + 1];
    const ldns_rdf *mac;
    ldns_status failed;

    out->mac_bytes = 0;
    if (key == NULL)
        return STATUS_OK;
    (void)text_copy(algorithm, sizeof algorithm, key->algorithm);
    strcat(algorithm, ".");
    failed = !key_ok(key) ? LDNS_STATUS_INVALID_B64
                          : ldns_pkt_tsig_sign(packet, key->name, key->secret, TSIG_FUDGE_S, algorithm, NULL);
    if (failed != LDNS_STATUS_OK)
        return error_set(err, STATUS_INVALID,
                         "the TSIG key '%.200s' cannot sign: is its secret base64 and its algorithm hmac-sha256?",
                         key->name);
    mac = ldns_rr_rdf(ldns_pkt_tsig(packet),
                      TSIG_RDF_MAC); /* with its own length in front, as the answer's digest wants it */
    ASSERT(mac != NULL && ldns_rdf_size(mac) <= sizeof out->mac);
    memcpy(out->mac, ldns_rdf_data(mac), ldns_rdf_size(mac));
    out->mac_bytes = ldns_rdf_size(mac);
    return STATUS_OK;
}

/* Takes the packet. */
static enum status message_finish(struct dns_message *out, ldns_pkt *packet, const struct tsig_key *key,
                                  struct error *err)
{
    uint8_t *wire = NULL;
    size_t length = 0;
    enum status status;

    ASSERT(getrandom(&out->id, sizeof out->id, 0) == (ssize_t)sizeof out->id);
    ldns_pkt_set_id(packet, out->id);
    status = message_sign(out, packet, key, err);
    if (status == STATUS_OK && ldns_pkt2wire(&wire, packet, &length) != LDNS_STATUS_OK)
        status = error_set(err, STATUS_INVALID, "the DNS message cannot be built");
    if (status == STATUS_OK && length > sizeof out->bytes)
        status = error_set(err, STATUS_INVALID, "the DNS message is longer than %d bytes", DNS_WIRE_MESSAGE_MAX);
    if (status == STATUS_OK) {
        memcpy(out->bytes, wire, length);
        out->length = length;
    }
    free(wire);
    ldns_pkt_free(packet);
    return status;
}

enum status dns_wire_query(struct dns_message *out, const char *name, enum dns_type type, const struct tsig_key *key,
                           struct error *err)
{
    ldns_rdf *owner;
    ldns_pkt *packet;

    if (name_read(&owner, name, err) != STATUS_OK)
        return STATUS_INVALID;
    packet = ldns_pkt_query_new(owner, types[type].type, LDNS_RR_CLASS_IN, 0);
    ASSERT(packet != NULL);
    return message_finish(out, packet, key, err);
}

static enum status update_lists(ldns_rr_list *conditions, ldns_rr_list *changes, const struct dns_update *update,
                                struct error *err)
{
    enum status status = STATUS_OK;

    if (update->prerequisite == DNS_RRSET_ABSENT)
        status = rr_add(conditions, update->expected, LDNS_RR_CLASS_NONE, false, 0, err);
    else if (update->prerequisite == DNS_RRSET_EQUALS)
        status = rr_add(conditions, update->expected, LDNS_RR_CLASS_IN, true, 0, err);
    for (size_t i = 0; i < update->record_count && status == STATUS_OK; i++) {
        const struct dns_record *record = &update->records[i];
        status = rr_add(changes, record, LDNS_RR_CLASS_ANY, false, 0, err);
        if (status == STATUS_OK)
            status = rr_add(changes, record, LDNS_RR_CLASS_IN, true, record->ttl_s, err);
    }
    return status;
}

enum status dns_wire_update(struct dns_message *out, const struct dns_update *update, const struct tsig_key *key,
                            struct error *err)
{
    ldns_rr_list *conditions = ldns_rr_list_new(), *changes = ldns_rr_list_new();
    ldns_rdf *zone = NULL;
    ldns_pkt *packet;
    enum status status;

    ASSERT(conditions != NULL && changes != NULL);
    status = update_lists(conditions, changes, update, err);
    if (status == STATUS_OK)
        status = name_read(&zone, update->zone, err);
    packet = status == STATUS_OK ? ldns_update_pkt_new(zone, LDNS_RR_CLASS_IN, conditions, changes, NULL) : NULL;
    ldns_rr_list_deep_free(conditions); /* the packet has copies */
    ldns_rr_list_deep_free(changes);
    if (status != STATUS_OK)
        return status;
    ASSERT(packet != NULL);
    return message_finish(out, packet, key, err);
}

/* ---- reading ---- */

static bool dname_is(const ldns_rdf *name, const char *text)
{
    ldns_rdf *expected = ldns_dname_new_frm_str(text);
    bool same = expected != NULL && ldns_dname_compare(name, expected) == 0;

    ldns_rdf_deep_free(expected);
    return same;
}

static bool time_is_near(const ldns_rdf *time_rdf)
{
    const uint8_t *bytes = ldns_rdf_data(time_rdf);
    int64_t signed_s = 0, now_s = clock_wall_ms() / 1000;

    for (size_t i = 0; i < ldns_rdf_size(time_rdf); i++)
        signed_s = signed_s << 8 | bytes[i];
    return signed_s - now_s <= TSIG_FUDGE_S && now_s - signed_s <= TSIG_FUDGE_S;
}

static enum tsig_state tsig_judge(ldns_pkt *packet, const void *bytes, size_t length, const struct dns_message *request,
                                  const struct tsig_key *key)
{
    const ldns_rr *tsig = ldns_pkt_tsig(packet);
    ldns_rdf *mac;
    bool verified;

    if (tsig == NULL)
        return TSIG_NONE;
    if (key == NULL || request->mac_bytes == 0 || ldns_rr_rd_count(tsig) < TSIG_RDF_COUNT ||
        ldns_rdf_size(ldns_rr_rdf(tsig, TSIG_RDF_TIME)) != 6 || !dname_is(ldns_rr_owner(tsig), key->name))
        return TSIG_UNVERIFIABLE;
    switch (ldns_rdf2native_int16(ldns_rr_rdf(tsig, TSIG_RDF_ERROR))) {
    case 0:
        break;
    case TSIG_ERROR_BADSIG:
        return TSIG_BADSIG;
    case TSIG_ERROR_BADKEY:
        return TSIG_BADKEY;
    case TSIG_ERROR_BADTIME:
        return TSIG_BADTIME;
    default:
        return TSIG_UNVERIFIABLE;
    }
    if (!dname_is(ldns_rr_rdf(tsig, TSIG_RDF_ALGORITHM), key->algorithm))
        return TSIG_UNVERIFIABLE;
    mac = ldns_rdf_new_frm_data(LDNS_RDF_TYPE_INT16_DATA, request->mac_bytes, request->mac);
    ASSERT(mac != NULL);
    verified = ldns_pkt_tsig_verify(packet, bytes, length, key->name, key->secret, mac);
    ldns_rdf_deep_free(mac);
    if (!verified)
        return TSIG_UNVERIFIABLE;
    return time_is_near(ldns_rr_rdf(ldns_pkt_tsig(packet), TSIG_RDF_TIME)) ? TSIG_VERIFIED : TSIG_BADTIME;
}

/* The strings of a TXT, one after the other. */
static bool txt_read(char *out, size_t capacity_bytes, const ldns_rr *rr)
{
    size_t used = 0;

    for (size_t i = 0; i < ldns_rr_rd_count(rr); i++) {
        const ldns_rdf *rdf = ldns_rr_rdf(rr, i);
        size_t length = ldns_rdf_size(rdf) - 1; /* its first byte is the length itself */
        if (ldns_rdf_size(rdf) == 0 || used + length >= capacity_bytes ||
            memchr(ldns_rdf_data(rdf) + 1, '\0', length) != NULL)
            return false;
        memcpy(out + used, ldns_rdf_data(rdf) + 1, length);
        used += length;
    }
    out[used] = '\0';
    return true;
}

static bool record_read(struct dns_record *out, const ldns_rr *rr)
{
    char *text = NULL;
    bool ok;

    memset(out, 0, sizeof *out);
    for (out->type = DNS_TYPE_A; types[out->type].type != ldns_rr_get_type(rr);)
        if (++out->type > DNS_TYPE_SOA)
            return false;
    out->ttl_s = ldns_rr_ttl(rr);
    text = ldns_rdf2str(ldns_rr_owner(rr));
    ok = text != NULL && text_copy(out->name, sizeof out->name, text);
    free(text);
    if (!ok || ldns_rr_rd_count(rr) == 0)
        return false;
    if (out->type == DNS_TYPE_TXT)
        return txt_read(out->value, sizeof out->value, rr);
    text = ldns_rdf2str(ldns_rr_rdf(rr, 0));
    ok = text != NULL && text_copy(out->value, sizeof out->value, text);
    free(text);
    return ok;
}

static void records_read(struct dns_reply *out, const ldns_pkt *packet)
{
    const ldns_rr_list *answer = ldns_pkt_answer(packet);

    for (size_t i = 0; i < ldns_rr_list_rr_count(answer); i++) {
        if (out->record_count == DNS_WIRE_RECORDS_MAX) {
            out->records_cut = true;
            return;
        }
        if (record_read(&out->records[out->record_count], ldns_rr_list_rr(answer, i)))
            out->record_count++;
        else
            out->records_cut = true;
    }
}

/* A message has at most one signature and one OPT record; of the first of two ldns loses the memory. Its own reader counts them, because the
 * lengths in the message and what it makes of them may differ; where it stops, the message is refused anyway. */
static bool special_records_once(const uint8_t *bytes, size_t length)
{
    static const ldns_pkt_section sections[] = { LDNS_SECTION_QUESTION, LDNS_SECTION_ANSWER, LDNS_SECTION_AUTHORITY,
                                                 LDNS_SECTION_ADDITIONAL };
    size_t at = HEADER_BYTES, tsig_count = 0, opt_count = 0;

    for (size_t s = 0; s < sizeof sections / sizeof sections[0]; s++) {
        size_t count = (size_t)bytes[4 + 2 * s] << 8 | bytes[5 + 2 * s];
        ldns_rr *rr = NULL;

        for (; count > 0 && ldns_wire2rr(&rr, bytes, length, &at, sections[s]) == LDNS_STATUS_OK; count--) {
            tsig_count += ldns_rr_get_type(rr) == LDNS_RR_TYPE_TSIG ? 1 : 0;
            opt_count += ldns_rr_get_type(rr) == LDNS_RR_TYPE_OPT ? 1 : 0;
            ldns_rr_free(rr);
        }
        if (count > 0)
            break;
    }
    return tsig_count <= 1 && opt_count <= 1;
}

enum status dns_wire_parse(struct dns_reply *out, const void *bytes, size_t length, const struct dns_message *request,
                           const struct tsig_key *key, struct error *err)
{
    const uint8_t *header = bytes;
    ldns_pkt *packet = NULL;

    memset(out, 0, sizeof *out);
    if (length < HEADER_BYTES)
        return error_set(err, STATUS_CORRUPT, "an answer of %zu bytes is no DNS message", length);
    if ((header[0] << 8 | header[1]) != request->id || (header[2] & 0x80) == 0)
        return error_set(err, STATUS_NOT_FOUND, "an answer to another question");
    if (!special_records_once(bytes, length) || ldns_wire2pkt(&packet, bytes, length) != LDNS_STATUS_OK)
        return error_set(err, STATUS_CORRUPT, "an answer of %zu bytes is no DNS message", length);
    out->rcode = (enum dns_rcode)ldns_pkt_get_rcode(packet);
    out->authoritative = ldns_pkt_aa(packet);
    out->truncated = ldns_pkt_tc(packet);
    out->tsig = tsig_judge(packet, bytes, length, request, key);
    records_read(out, packet);
    ldns_pkt_free(packet);
    return STATUS_OK;
}
