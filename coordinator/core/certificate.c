#include "core/certificate.h"

#include "base/check.h"

static const char *const kind_words[CERTIFICATE_KIND_COUNT] = {
#define WORD(name, word) [name] = (word),
    CERTIFICATE_KIND_LIST(WORD)
#undef WORD
};

const char *certificate_kind_word(enum certificate_kind kind)
{
    return (unsigned)kind < CERTIFICATE_KIND_COUNT ? kind_words[kind] : "no_kind";
}

void certificate_give(struct proof *proof, enum certificate_kind kind, epoch_t epoch, uint64_t index)
{
    ASSERT((unsigned)kind < CERTIFICATE_KIND_COUNT);
    proof->kinds[kind] = (struct certificate){ .epoch = epoch, .index = index };
}

void certificate_void_all(struct proof *proof)
{
    for (int k = 0; k < CERTIFICATE_KIND_COUNT; k++)
        proof->kinds[k] = (struct certificate){ 0 };
}

bool certificate_expiry_is_proof(const struct lease *lease)
{
    return lease->state == LEASE_EXPIRED && lease->enforcement.enforcing && lease->promises_ended_index != 0;
}

bool certificate_counts(const struct proof *proof, enum certificate_kind kind, const struct lease *lease)
{
    const struct certificate *c = &proof->kinds[kind];

    if (c->epoch == 0 || c->epoch != lease->epoch)
        return false;
    if (!lease_ended(lease)) /* a live lease may be acted on, whatever was proven before */
        return false;
    if (proof->veto.epoch == lease->epoch) {
        /* The old primary was seen to acknowledge after the expiry: time proves nothing there. A later look at the server itself, or a
         * person's word, does. */
        if (kind == CERT_EXPIRED || c->index < proof->veto.index)
            return false;
    }
    return true;
}

bool certificate_any(const struct proof *proof, const struct lease *lease, enum certificate_kind *kind)
{
    for (int k = 0; k < CERTIFICATE_KIND_COUNT; k++) {
        if (certificate_counts(proof, (enum certificate_kind)k, lease)) {
            if (kind != (enum certificate_kind *)0)
                *kind = (enum certificate_kind)k;
            return true;
        }
    }
    return false;
}
