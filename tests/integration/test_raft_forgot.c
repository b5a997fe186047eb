/* A directory that was wiped, or came back from a backup: its files are consistent, and it has forgotten what it acknowledged. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "test_raft_harness.h"

static struct cluster cluster;

static int setup(void **state)
{
    (void)state;
    cluster_make(&cluster);
    cluster_bootstrap(&cluster);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    cluster_remove(&cluster);
    return 0;
}

static bool log_says(unsigned id, const char *words)
{
    char path[300], text[1 << 16];
    snprintf(path, sizeof path, "%s/stderr%u", cluster.dir, id);
    FILE *f = fopen(path, "re");
    assert_non_null(f);
    text[fread(text, 1, sizeof text - 1, f)] = '\0';
    fclose(f);
    return strstr(text, words) != NULL;
}

static void a_member_restored_from_a_backup_is_found_and_stays_out(void **state)
{
    char text[4096];
    (void)state;
    cluster_start_all(&cluster);
    unsigned leader = cluster_leader(&cluster);
    unsigned id = leader % CLUSTER_NODES + 1;
    for (unsigned n = 0; n < 10; n++)
        cluster_put(&cluster, leader, n);
    cluster_expect_all(&cluster, 10);
    cluster_kill(&cluster, id);
    shell("cp -a --sparse=always %s %s/backup", cluster.nodes[id].dir, cluster.dir);
    cluster_start(&cluster, id);
    for (unsigned n = 10; n < 30; n++)
        cluster_put(&cluster, leader, n);
    cluster_expect_all(&cluster, 30);
    cluster_kill(&cluster, id);
    shell("rm -r %s && mv %s/backup %s", cluster.nodes[id].dir, cluster.dir, cluster.nodes[id].dir);
    cluster_start(&cluster, id);
    assert_int_equal(cluster_ended(&cluster, id), 42);
    assert_true(log_says(leader, "event=member_forgot"));
    assert_true(log_says(id, "its directory was wiped, or is an old copy"));
    assert_int_equal(cluster_start_refused(&cluster, id, text, sizeof text), 1);
    assert_non_null(strstr(text, "condemned"));
    assert_non_null(strstr(text, "quarantine"));
    cluster_put(&cluster, leader, 30); /* the others go on */
}

static void a_member_bootstrapped_again_helps_nobody_to_lose_entries(void **state)
{
    (void)state;
    cluster_start_all(&cluster);
    cluster_put(&cluster, cluster_leader(&cluster), 0);
    cluster_expect_all(&cluster, 1);
    cluster_kill(&cluster, 3); /* is behind from here on */
    for (unsigned n = 1; n < 30; n++)
        cluster_put(&cluster, 1, n);
    cluster_kill(&cluster, 1); /* alone has them all, once node 2 is wiped */
    cluster_kill(&cluster, 2);
    shell("rm -r %s", cluster.nodes[2].dir);
    cluster_bootstrap_node(&cluster, 2);
    cluster_start(&cluster, 2);
    cluster_start(&cluster, 3);
    for (int64_t end = cluster_now_ms() + WAIT_MS; !log_says(2, "event=vote_withheld");)
        assert_true(cluster_now_ms() < end);
    cluster_start(&cluster, 1);
    cluster_leader(&cluster);
    cluster_expect_all(&cluster, 30);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_member_restored_from_a_backup_is_found_and_stays_out, setup, teardown),
        cmocka_unit_test_setup_teardown(a_member_bootstrapped_again_helps_nobody_to_lose_entries, setup, teardown),
    };
    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
