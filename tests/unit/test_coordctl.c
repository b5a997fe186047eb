/* The program itself: what it prints, what it exits with. The node behind it is the fixture's. */
#include "api_fixture.h"
#include "base/status.h"
#include "io/json.h"
#include "program.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static struct api_fixture fixture;
static char directory[64];
#define out program_out
#define err program_err

static int run_with(const char *input, const char *const *arguments)
{
    if (fixture.socket_path[0] != '\0')
        (void)setenv("COORD_SOCKET", fixture.socket_path, 1);
    return program_run(COORDCTL, input, arguments);
}

#define run(...) run_with("", (const char *const[]){ __VA_ARGS__, NULL })

/* The words of a line, as a shell without quotes takes them. */
static int run_line(const char *line)
{
    char text[256], *rest = text;
    const char *words[24] = { NULL };
    size_t count = 0;

    (void)snprintf(text, sizeof text, "%s", line);
    while (rest != NULL && count < sizeof words / sizeof words[0] - 1)
        words[count++] = strsep(&rest, " ");
    return run_with("", words);
}

static int setup(void **state)
{
    (void)state;
    (void)snprintf(directory, sizeof directory, "/tmp/test-ctl-XXXXXX");
    return mkdtemp(directory) == NULL ? -1 : 0;
}

static int teardown(void **state)
{
    (void)state;
    return rmdir(directory);
}

/* The output is exactly one JSON document. */
static struct json_t *parsed(void)
{
    struct error why = ERROR_NONE;
    struct json_t *value = json_read(out, strlen(out), &why);
    if (value == NULL)
        fail_msg("%s: %s", why.text, out);
    return value;
}

static void status_is_a_table_for_people_and_json_for_programs(void **state)
{
    struct json_t *value;
    (void)state;
    api_fixture_begin(&fixture, FIXTURE_READY);
    assert_int_equal(run("status"), 0);
    assert_says(out, "node c1 at site-c (leader)  leader c1, term 7  3 of 3 nodes heard  configuration 1\n");
    assert_says(out, "app  ok  mode auto, armed  epoch 1  lease live, enforced by lease_guard\n");
    assert_says(out, "  primary site-a, epoch 1; site-b is ready\n");
    assert_says(out, "  SITE    ROLE     VERDICT  READY  EXECUTOR  POSTGRES         OPINIONS\n"
                     "  site-a  primary  up       -      a1        127.10.1.1:5432  a1 up; b1 up; c1 up\n"
                     "  site-b  standby  up       yes    b1        127.10.2.1:5432  a1 up; b1 up; c1 up\n");
    assert_null(strchr(out, '\033')); /* no colours where nobody sees them */
    assert_string_equal(err, "");
    assert_int_equal(run("--json", "status"), 0);
    value = parsed();
    assert_string_equal(json_look_text(json_item(json_look(value, "services"), 0), "name"), "app");
    json_free(value);
    assert_int_equal(run("status", "app", "--json"), 0);
    value = parsed();
    assert_string_equal(json_look_text(value, "name"), "app");
    json_free(value);
    assert_int_equal(run("status", "other"), 1);
    assert_says(err, "coordctl: not_found: there is no service 'other'\n  way out: coordctl status\n");
    api_fixture_end(&fixture);
}

static void members_recover_tells_the_way_and_claims_nothing(void **state)
{
    (void)state;
    assert_int_equal(run("members", "recover"), 0);
    assert_says(out, "at each of them: coordd recover -c FILE");
    assert_string_equal(err, "");
    assert_int_equal(run("members", "recover", "--force=quorum", "--reason", "WHY"), 1);
    assert_says(err, "coordctl: refused: nothing was done");
    assert_says(err, "at each of them: coordd recover -c FILE");
    assert_string_equal(out, "");
}

static void a_node_that_is_not_there_is_exit_3_with_the_way_out(void **state)
{
    struct json_t *value;
    (void)state;
    assert_int_equal(run("-S", "/nonexistent/s", "status"), 3);
    assert_says(err,
                "coordctl: unreachable: /nonexistent/s: No such file or directory\n  way out: is coordd running here?");
    assert_int_equal(run("-S", "/nonexistent/s", "status", "--json"), 3);
    value = parsed();
    assert_string_equal(json_look_text(value, "status"), "unreachable");
    assert_non_null(json_look_text(value, "fix"));
    json_free(value);
    assert_string_equal(err, "");
}

/* Root may use every socket: then it is asked as somebody else, who must be able to run the program. */
static int run_as_a_stranger(const char *const *words)
{
    const char *argv[16] = { "--reuid=65534", "--regid=65534", "--clear-groups", COORDCTL, "-S", fixture.socket_path };
    const size_t own = geteuid() == 0 ? 0 : 4;

    for (size_t i = 0; words[i] != NULL; i++)
        argv[6 + i] = words[i];
    return program_run(own == 0 ? "setpriv" : COORDCTL, "", &argv[own]);
}

static void whoever_may_not_use_the_socket_is_told_who_may(void **state)
{
    static const char told[] =
        ": Permission denied\n  way out: run coordctl as root, as coordd's account, or as a member "
        "of the group of the node's socket\n";
    int code;
    (void)state;
    api_fixture_begin(&fixture, FIXTURE_READY);
    assert_int_equal(chmod(fixture.socket_path, 0), 0);
    code = run_as_a_stranger((const char *const[]){ "status", NULL });
    if (code != 126 && code != 127) {
        assert_int_equal(code, 3);
        assert_says(err, told);
        assert_int_equal(run_as_a_stranger((const char *const[]){ "events", "-f", NULL }), 3);
        assert_says(err, told);
    }
    api_fixture_end(&fixture);
    if (code == 126 || code == 127)
        skip();
}

static void no_quorum_is_exit_3_and_a_lost_answer_4(void **state)
{
    (void)state;
    api_fixture_begin(&fixture, FIXTURE_NO_LEADER);
    assert_int_equal(run("status"), 0);
    assert_says(
        out,
        "no leader: nothing can be decided  configuration 1\n"
        "  way out: start coordd until a majority runs: a1, b1; if they are lost for good: coordctl members recover\n");
    assert_null(strstr(out, "heard"));
    assert_int_equal(run("disarm", "app"), 3);
    assert_says(err, "coordctl: no_leader: ");
    assert_int_equal(run("promote", "site-b", "-s", "app"), 3);
    api_fixture_end(&fixture);
    api_fixture_begin(&fixture, FIXTURE_UNKNOWN);
    assert_int_equal(run("disarm", "app"), 4);
    assert_says(err, "before you try again");
    api_fixture_end(&fixture);
}

static void a_wrong_command_line_is_exit_2(void **state)
{
    (void)state;
    assert_int_equal(run("stauts"), 2);
    assert_says(err, "there is no command 'stauts'; did you mean 'status'?");
    assert_int_equal(run("promote", "site-b"), 2);
    assert_int_equal(run("promote", "-s", "app"), 2);
    assert_int_equal(run("why"), 2);
    assert_int_equal(run("apply"), 2);
    assert_int_equal(run("report"), 2);
    assert_int_equal(run("skip", "5", "dns"), 2);
    assert_int_equal(run("approve", "5", "--fenced"), 2);
    assert_int_equal(run("--bogus"), 2);
    assert_int_equal(run("--timeout", "5", "status"), 2);
    assert_says(err, "--timeout: expected a duration");
    assert_int_equal(run("promote", "site-b", "-s", "app", "--force=paused"), 2);
    assert_says(err, "--reason");
    assert_int_equal(run("promote", "site-b", "-s", "app", "--force=paused", "--reason", "x"), 2); /* no terminal */
    assert_says(err, "--confirm app");
    assert_int_equal(run("help"), 0);
    assert_says(out, "exit codes: 0 ok, 1 refused or failed, 2 usage, 3 no quorum or unreachable, 4 timed out");
    assert_int_equal(run("version"), 0);
}

/* Who writes --dry-run must not get the deed. The node would do each of them. */
static void an_option_of_another_command_is_refused(void **state)
{
    static const char *const foreign[] = {
        "members demote b1 --dry-run",
        "members remove b1 --dry-run",
        "members promote b1 --no-vote",
        "members transfer b1 --dry-run",
        "members add d1 --site site-a --address 127.0.0.1:1 --dry-run",
        "members list --force=lease",
        "members --site site-a",
        "resume app --dry-run",
        "pause app --reason x",
        "resume app --reason x",
        "arm app --reason x",
        "disarm app --reason x",
        "disarm app --dry-run",
        "abort 5 --dry-run",
        "abort 5 --fenced",
        "approve 5 --dry-run",
        "skip 5 dns --reason x --confirm app",
        "promote site-b -s app --fenced",
        "apply x --no-wait",
        "apply x --follow",
        "events --file=x",
        "config check --file=x",
        "diff x --watch",
        "config --base 1",
        "config check x --key k",
        "status -f",
        "why app --watch",
        "events --mermaid",
        "incidents --since 1",
        "report 5 --watch",
        "pki init d --id 1",
        "pki node d n --id 1 --authority a",
        "pki client d n --role viewer --id 1",
        "pki show f --days 1",
        "version --watch",
        "help -s app",
    };
    (void)state;
    api_fixture_begin(&fixture, FIXTURE_READY);
    for (size_t i = 0; i < sizeof foreign / sizeof foreign[0]; i++) {
        if (run_line(foreign[i]) != 2 || strstr(err, " is no option of it\n  way out: coordctl help\n") == NULL)
            fail_msg("%s: %s%s", foreign[i], out, err);
        assert_string_equal(out, "");
    }
    assert_int_equal(run_line("members demote b1 --dry-run"), 2);
    assert_says(err, "coordctl: members demote: --dry-run is no option of it\n");
    assert_int_equal(run("status"), 0);
    assert_says(out, "mode auto, armed  epoch 1"); /* disarm did nothing */
    assert_int_equal(run_line("members demote b1 --dry-run --help"), 0);
    assert_says(out, "exit codes: ");
    api_fixture_end(&fixture);
}

/* No node is there: what belongs to the command comes as far as to asking for it. */
static void every_command_takes_its_own_options(void **state)
{
    static const char *const own[] = {
        "status -s app --json --timeout 1s",
        "status --service app --pki d --key k --certificate c --authority a",
        "why -s app",
        "promote site-b -s app --force=paused --reason x --confirm app --dry-run --no-wait",
        "apply -f /dev/null --base 1 --dry-run",
        "diff -f /dev/null --base 1",
        "diff --file /dev/null",
        "apply --file=/dev/null",
        "config",
        "config show",
        "events -s app --since 1",
        "events app -f",
        "events app --follow",
        "incidents -s app",
        "report 5 --mermaid",
        "arm -s app",
        "disarm app",
        "pause app",
        "resume app",
        "approve 5 --fenced --reason x --confirm app",
        "abort 5 --reason x",
        "skip 5 dns --reason x",
        "members",
        "members list",
        "members add d1 --site s --address 127.0.0.1:1 --witness --no-vote",
        "members remove b1 --force=lease --reason x --confirm b1",
        "members promote b1 --reason x",
        "members demote 2",
        "members transfer",
        "members transfer b1",
    };
    (void)state;
    fixture.socket_path[0] = '\0';
    (void)setenv("COORD_SOCKET", "/nonexistent/s", 1);
    for (size_t i = 0; i < sizeof own / sizeof own[0]; i++)
        if (run_line(own[i]) != 3)
            fail_msg("%s: %s", own[i], err);
    assert_int_equal(run("version", "-S", "/nonexistent/s"), 0); /* as a shell's alias puts it before any command */
    assert_int_equal(run("version", "--json"), 0);
    assert_int_equal(run("--version"), 0);
}

static void one_operand_too_many_is_refused(void **state)
{
    static const char *const surplus[] = {
        "status app junk",        "status app -s other",
        "why app junk",           "pause app junk",
        "resume app -s other",    "events app junk",
        "incidents app junk",     "report 5 junk",
        "abort 5 junk",           "skip 5 dns junk --reason x",
        "apply x junk",           "config show junk",
        "members junk",           "members b1 list",
        "members remove b1 junk", "config sample node junk",
        "pki init d junk",        "pki node d n junk --id 1",
        "version junk",           "help junk",
    };
    (void)state;
    api_fixture_begin(&fixture, FIXTURE_READY);
    for (size_t i = 0; i < sizeof surplus / sizeof surplus[0]; i++)
        if (run_line(surplus[i]) != 2 || out[0] != '\0')
            fail_msg("%s: %s", surplus[i], out);
    assert_int_equal(run("status", "app", "junk"), 2);
    assert_says(err, "coordctl: status: 'junk' is one too many\n  way out: coordctl help\n");
    assert_int_equal(run_line("members demot b1 --dry-run"), 2);
    assert_says(err, "coordctl: members: say list, add, remove, ");
    api_fixture_end(&fixture);
}

static void a_promotion_is_followed_step_by_step_to_its_end(void **state)
{
    char *fence, *no_return, *canary, *end;
    struct json_t *value;
    (void)state;
    api_fixture_begin(&fixture, FIXTURE_READY);
    assert_int_equal(run("promote", "site-b", "-s", "app", "--reason", "a drill"), 0);
    assert_says(out, ": promotion of app at site-b has started\n");
    fence = strstr(out, "fence       site-a     done: fence by the fixture");
    no_return = strstr(out, "promote     site-b     done: promote by the fixture");
    canary = strstr(out, "canary      site-b     done: canary by the fixture");
    end = strstr(out, " is done after ");
    assert_non_null(fence);
    assert_non_null(no_return);
    assert_non_null(canary);
    assert_non_null(end);
    assert_true(fence < no_return && no_return < canary && canary < end);
    assert_int_equal(run("incidents"), 0);
    assert_says(out, "promote  app      site-a  site-b  done");
    assert_int_equal(run("incidents", "--json"), 0);
    value = parsed();
    {
        char id[24];
        (void)snprintf(id, sizeof id, "%d", (int)json_look_int(json_item(json_look(value, "incidents"), 0), "id", 0));
        assert_int_equal(run("report", id), 0);
        assert_says(out, "reason       a drill\n");
        assert_says(out, "\nTime line\n");
        assert_int_equal(run("report", id, "--json"), 0);
        json_free(parsed());
        assert_int_equal(run("report", id, "--mermaid"), 0);
        assert_says(out, "gantt");
        assert_int_equal(run("abort", id), 1);
    }
    json_free(value);
    assert_int_equal(run("report", "999999"), 1);
    assert_int_equal(run("promote", "site-b", "-s", "app"), 0);
    assert_string_equal(out, "it is the primary already\n");
    api_fixture_end(&fixture);
}

static void a_promotion_that_waits_says_for_what_and_times_out_with_4(void **state)
{
    struct json_t *value;
    (void)state;
    api_fixture_begin(&fixture, FIXTURE_STUCK);
    assert_int_equal(run("promote", "site-b", "-s", "app", "--timeout", "3s"), 4);
    assert_says(out, "begins on ");
    assert_says(out, "waits for ");
    assert_says(out, "way out: ");
    assert_says(err, "is not at its end yet; it goes on");
    assert_int_equal(run("status"), 0);
    assert_says(out, "app  critical  ");
    assert_says(out, "  STEP  "); /* the steps of the open operation */
    assert_int_equal(run("--json", "status", "app"), 0);
    value = parsed();
    assert_string_equal(json_look_text(json_look(value, "operation"), "state"), "running");
    json_free(value);
    api_fixture_end(&fixture);
}

static void a_gates_no_is_printed_with_the_override_which_then_works(void **state)
{
    struct json_t *value;
    (void)state;
    api_fixture_begin(&fixture, FIXTURE_READY);
    assert_int_equal(run("pause", "app"), 0);
    assert_string_equal(out, "app is paused: nothing starts, and the lease is not enforced\n");
    assert_int_equal(run("promote", "site-b", "-s", "app"), 1);
    assert_says(err, "coordctl: refused: ");
    assert_says(err, "  gate paused says no: the service is paused: coordctl resume app\n");
    assert_says(err, "  way out: coordctl promote site-b -s app --force=paused --reason \"WHY\" --confirm app\n");
    assert_int_equal(run("promote", "site-b", "-s", "app", "--json"), 1);
    value = parsed();
    assert_string_equal(json_look_text(value, "status"), "refused");
    json_free(value);
    assert_int_equal(run("promote", "site-b", "-s", "app", "--force=paused", "--reason", "x", "--confirm", "wrong"), 1);
    assert_int_equal(
        run("promote", "site-b", "-s", "app", "--force=paused", "--reason", "x", "--confirm", "app", "--dry-run"), 0);
    assert_int_equal(run("incidents"), 0);
    assert_string_equal(out, "no incidents\n");
    assert_int_equal(
        run("promote", "site-b", "-s", "app", "--force=paused", "--reason", "x", "--confirm", "app", "--json"), 0);
    value = parsed();
    assert_string_equal(json_look_text(value, "state"), "done");
    assert_string_equal(json_item_text(json_look(value, "overrides"), 0), "paused");
    json_free(value);
    api_fixture_end(&fixture);
}

static const char yaml[] = "services:\n  - name: app\n    profile: metro\n    mode: auto\n    primary: site-a\n"
                           "    accept_vm_pause: true\n    max_lag: 2MiB\n    sites:\n"
                           "      - { site: site-a, address: 127.10.1.1, postgres: { host: 127.10.1.1 } }\n"
                           "      - { site: site-b, address: 127.10.2.1, postgres: { host: 127.10.2.1 } }\n";

static void a_services_file_is_compared_and_applied(void **state)
{
    char path[128], long_name[160];
    FILE *file;
    (void)state;
    api_fixture_begin(&fixture, FIXTURE_READY);
    (void)snprintf(path, sizeof path, "%s/s.yaml", directory);
    file = fopen(path, "we");
    assert_non_null(file);
    (void)fputs(yaml, file);
    (void)fclose(file);
    assert_int_equal(run("diff", "-f", path), 0);
    assert_string_equal(out, "~ services/app/max_lag: 1MiB -> 2MiB\n1 changes to version 1; nothing was applied\n");
    (void)snprintf(long_name, sizeof long_name, "--file=%s", path);
    assert_int_equal(run("diff", long_name), 0);
    assert_says(out, "1 changes to version 1; nothing was applied\n");
    assert_int_equal(run("apply", "--file", path, "--dry-run"), 0);
    assert_says(out, "1 changes to version 1; nothing was applied\n");
    assert_int_equal(run("apply", long_name, path), 2);
    assert_int_equal(run("apply", "-f", path, "--base", "7"), 1);
    assert_says(err, "the configuration is at version 1, yours starts from 7");
    assert_int_equal(run_with(yaml, (const char *const[]){ "apply", "-f", "-", NULL }), 0);
    assert_says(out, "applied as version 2: 1 changes\n");
    assert_int_equal(run("diff", "-f", path), 0);
    assert_string_equal(out, "no difference to version 2\n");
    assert_int_equal(run("config"), 0);
    assert_says(out, "# version 2\nservices:\n  - name: app\n");
    assert_int_equal(run_with("services:\n  - nam: x\n", (const char *const[]){ "apply", "-f", "-", NULL }), 1);
    assert_says(err, "standard input:2:5: error: unknown key 'nam'; did you mean 'name'?\n      - nam: x\n        ^\n");
    assert_says(err, "mistakes; nothing was changed\n");
    assert_int_equal(run("apply", "-f", "/nonexistent.yaml"), 1);
    (void)unlink(path);
    api_fixture_end(&fixture);
}

static void configuration_is_checked_without_a_node(void **state)
{
    char path[128];
    struct json_t *value;
    FILE *file;
    (void)state;
    (void)snprintf(path, sizeof path, "%s/s.yaml", directory);
    file = fopen(path, "we");
    assert_non_null(file);
    (void)fputs(yaml, file);
    (void)fclose(file);
    assert_int_equal(run("config", "check", path), 0);
    assert_says(out, ": ok (services file)\n");
    file = fopen(path, "we");
    assert_non_null(file);
    (void)fputs("node: x\nlisten: 7\n", file);
    (void)fclose(file);
    assert_int_equal(run("config", "check", path), 1);
    assert_says(err,
                "s.yaml:2:9: error: key 'listen': expected a numeric address and port (127.0.0.1:7400), got '7'\n");
    assert_int_equal(run("config", "check", path, "--json"), 1);
    value = parsed();
    assert_string_equal(json_look_text(value, "status"), "invalid");
    json_free(value);
    file = fopen(path, "we");
    assert_non_null(file);
    (void)fputs("x: 1\n", file);
    (void)fclose(file);
    assert_int_equal(run("config", "check", path), 1);
    assert_says(err, "neither a node's file");
    assert_int_equal(run("config", "sample", "node"), 0);
    assert_says(out, "\ncluster:\n");
    assert_int_equal(run("config", "sample", "nothing"), 2);
    (void)unlink(path);
}

static void events_why_and_approval(void **state)
{
    struct json_t *value;
    char id[24];
    (void)state;
    api_fixture_begin(&fixture, FIXTURE_PROPOSE);
    for (int i = 0; i < 500; i++) {
        assert_int_equal(run("incidents", "--json"), 0);
        value = parsed();
        (void)snprintf(id, sizeof id, "%d", (int)json_look_int(json_item(json_look(value, "incidents"), 0), "id", 0));
        json_free(value);
        if (strcmp(id, "0") != 0)
            break;
    }
    assert_int_equal(run("status"), 0);
    assert_says(out, "  way out: coordctl approve ");
    assert_int_equal(run("events"), 0);
    assert_says(out, "  alarm       app: failover from site-a to site-b is proposed");
    assert_int_equal(run("events", "--json", "--since", "3"), 0);
    json_free(parsed());
    assert_int_equal(run("why", "app"), 0);
    assert_says(out, "Would an automatic failover to site-b start now?\n");
    assert_says(out, "What happened\n");
    assert_int_equal(run("approve", id, "--reason", "seen"), 0);
    assert_says(out, " approved\n");
    assert_int_equal(run("approve", id), 1);
    assert_int_equal(run("abort", "x"), 1);
    api_fixture_end(&fixture);
}

static void followed_events_end_with_the_node_and_exit_3(void **state)
{
    pid_t follower;
    int status = -1;
    (void)state;
    api_fixture_begin(&fixture, FIXTURE_READY);
    follower = fork();
    if (follower == 0)
        _exit(run("events", "-f", "--json") == 3 && strstr(out, "\"event\":\"lease\"") != NULL &&
                      strstr(out, "coordctl events -f at another node") != NULL
                  ? 0
                  : 1);
    (void)usleep(300000);
    api_fixture_end(&fixture);
    assert_int_equal(waitpid(follower, &status, 0), follower);
    assert_int_equal(status, 0);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(status_is_a_table_for_people_and_json_for_programs),
        T(members_recover_tells_the_way_and_claims_nothing),
        T(a_node_that_is_not_there_is_exit_3_with_the_way_out),
        T(whoever_may_not_use_the_socket_is_told_who_may),
        T(no_quorum_is_exit_3_and_a_lost_answer_4),
        T(a_wrong_command_line_is_exit_2),
        T(an_option_of_another_command_is_refused),
        T(every_command_takes_its_own_options),
        T(one_operand_too_many_is_refused),
        T(a_promotion_is_followed_step_by_step_to_its_end),
        T(a_promotion_that_waits_says_for_what_and_times_out_with_4),
        T(a_gates_no_is_printed_with_the_override_which_then_works),
        T(a_services_file_is_compared_and_applied),
        T(configuration_is_checked_without_a_node),
        T(events_why_and_approval),
        T(followed_events_end_with_the_node_and_exit_3),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
