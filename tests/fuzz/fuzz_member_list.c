/* raft: the member list of an entry of the log. What libraft itself writes is read as it was; anything else is refused or bounded. */
#include "base/bytes.h"
#include "raft/member_list.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

static void same_as_written(const struct rnode_member *members, size_t count)
{
    struct raft_configuration list;
    struct rnode_member again[MEMBER_LIST_MAX];
    uint8_t bytes[16 + MEMBER_LIST_MAX * (ADDRESS_MAX_BYTES + 10)];
    struct writer w;

    writer_init(&w, bytes, sizeof bytes);
    writer_u8(&w, 1);
    writer_u64(&w, count);
    raft_configuration_init(&list);
    for (size_t i = 0; i < count; i++) {
        int role = members[i].voter ? RAFT_VOTER : members[i].spare ? RAFT_SPARE : RAFT_STANDBY;
        writer_u64(&w, members[i].id);
        writer_bytes(&w, members[i].address, strlen(members[i].address) + 1);
        writer_u8(&w, (uint8_t)role);
        (void)raft_configuration_add(&list, members[i].id, members[i].address,
                                     role); /* refuses a second one of an id */
    }
    ASSERT(writer_ok(&w));
    size_t number = 0;
    ASSERT(member_list_decode(bytes, w.used, again, &number) == STATUS_OK && number == count);
    for (size_t i = 0; i < count; i++)
        ASSERT(again[i].id == members[i].id && again[i].voter == members[i].voter &&
               again[i].spare == members[i].spare && strcmp(again[i].address, members[i].address) == 0);
    number = member_list_from(&list, again, MEMBER_LIST_MAX);
    ASSERT(number == list.n);
    raft_configuration_close(&list);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct rnode_member members[MEMBER_LIST_MAX];
    size_t count = 99;
    enum status status = member_list_decode(data, size, members, &count);

    ASSERT(status == STATUS_OK || (status == STATUS_CORRUPT && count == 0));
    ASSERT(count <= MEMBER_LIST_MAX);
    for (size_t i = 0; i < count; i++)
        ASSERT(memchr(members[i].address, 0, sizeof members[i].address) != NULL &&
               !(members[i].voter && members[i].spare));
    if (status == STATUS_OK)
        same_as_written(members, count);
    return 0;
}
