/* The wide area network between the lab's sites: one TUN device per site, and every IPv4 packet between two of them passes here.
 *
 *     lab_relay SEED NUMBER=DEVICE@PID ...
 *
 * makes DEVICE in the network namespace of process PID for each port; a packet goes to the port whose NUMBER is the third byte of
 * its destination address. Then it obeys lines on standard input, each answered by one line, until that ends:
 *
 *     link FROM TO [cut=1] [loss=%] [duplicate=%] [reorder=%] [delay_ms=N] [jitter_ms=N]    what happens from FROM to TO; unnamed is 0
 *     counts                                                                               what happened so far
 *
 * A delay alone keeps the order of a link's packets; a reordered packet is held back for REORDER_MS more, so that later ones overtake it.
 * Does for the tests what netem does in kernels that have it; what TCP makes of it is the kernel's own. */
#include "relay_queue.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

enum { PORTS_MAX = 16, BATCH = 64, REORDER_MS = 30, LINE_MAX_BYTES = 256 };

struct link {
    unsigned cut, loss_percent, duplicate_percent, reorder_percent, delay_ms, jitter_ms;
    int64_t last_due_ns;
};

struct counts {
    uint64_t passed, cut, lost, delayed, duplicated, reordered, overflowed, undelivered;
};

struct relay {
    int fds[PORTS_MAX]; /* -1: no such port */
    struct link links[PORTS_MAX][PORTS_MAX];
    struct counts counts;
    struct queue queue;
    uint64_t random;
    char line[LINE_MAX_BYTES];
    size_t line_length;
};

static void give_up(const char *what, const char *with)
{
    fprintf(stderr, "lab_relay: %s %s: %s\n", what, with, strerror(errno));
    exit(1);
}

static int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static uint64_t random_below(struct relay *r, uint64_t limit)
{
    r->random ^= r->random << 13;
    r->random ^= r->random >> 7;
    r->random ^= r->random << 17;
    return r->random % limit;
}

static bool by_chance(struct relay *r, unsigned percent)
{
    return percent > 0 && random_below(r, 100) < percent;
}

static int open_device(const char *name, const char *pid, int home)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%s/ns/net", pid);
    int namespace = open(path, O_RDONLY | O_CLOEXEC);
    if (namespace < 0 || setns(namespace, CLONE_NEWNET) != 0)
        give_up("cannot enter", path);
    int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    struct ifreq request = { .ifr_flags = IFF_TUN | IFF_NO_PI };
    snprintf(request.ifr_name, sizeof request.ifr_name, "%s", name);
    if (fd < 0 || ioctl(fd, TUNSETIFF, &request) != 0)
        give_up("/dev/net/tun does not make", name);
    if (setns(home, CLONE_NEWNET) != 0)
        give_up("cannot leave", path);
    close(namespace);
    return fd;
}

static void open_ports(struct relay *r, int count, char **ports)
{
    for (size_t i = 0; i < PORTS_MAX; i++)
        r->fds[i] = -1;
    int home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    for (int i = 0; i < count; i++) {
        unsigned number;
        char device[IFNAMSIZ], pid[16];
        if (sscanf(ports[i], "%2u=%15[^@]@%15[0-9]", &number, device, pid) != 3 || number >= PORTS_MAX ||
            r->fds[number] >= 0) {
            fprintf(stderr, "lab_relay: a port is NUMBER=DEVICE@PID with a number below %d, each once; not '%s'\n",
                    PORTS_MAX, ports[i]);
            exit(2);
        }
        r->fds[number] = open_device(device, pid, home);
    }
    close(home);
}

static void send_after(struct relay *r, size_t to, const unsigned char *bytes, size_t length, int64_t due_ns)
{
    if (!queue_add(&r->queue, due_ns, to, bytes, length))
        r->counts.overflowed++;
}

static void carry(struct relay *r, size_t from, const unsigned char *bytes, size_t length)
{
    if (length < 20 || bytes[0] >> 4 != 4)
        return; /* IPv6 looks for routers: there are none */
    size_t to = bytes[18];
    if (to >= PORTS_MAX || r->fds[to] < 0)
        return;
    struct link *l = &r->links[from][to];
    if (l->cut) {
        r->counts.cut++;
        return;
    }
    if (by_chance(r, l->loss_percent)) {
        r->counts.lost++;
        return;
    }
    int64_t due_ns = now_ns() + (int64_t)l->delay_ms * 1000000;
    if (l->jitter_ms > 0)
        due_ns += ((int64_t)random_below(r, 2 * l->jitter_ms * 1000 + 1) - (int64_t)l->jitter_ms * 1000) * 1000;
    if (due_ns < l->last_due_ns)
        due_ns = l->last_due_ns;
    if (l->delay_ms > 0)
        r->counts.delayed++;
    if (by_chance(r, l->reorder_percent)) {
        r->counts.reordered++;
        send_after(r, to, bytes, length, due_ns + REORDER_MS * 1000000LL);
    } else {
        l->last_due_ns = due_ns;
        send_after(r, to, bytes, length, due_ns);
    }
    if (by_chance(r, l->duplicate_percent)) {
        r->counts.duplicated++;
        send_after(r, to, bytes, length, due_ns);
    }
}

static void read_port(struct relay *r, size_t from)
{
    unsigned char bytes[PACKET_BYTES_MAX];
    for (int i = 0; i < BATCH; i++) {
        ssize_t length = read(r->fds[from], bytes, sizeof bytes);
        if (length < 0 && errno == EAGAIN)
            return;
        if (length < 0)
            give_up("a port is gone", "(read)");
        carry(r, from, bytes, (size_t)length);
    }
}

static void deliver(struct relay *r)
{
    struct packet *p;
    int64_t now = now_ns();
    while ((p = queue_take(&r->queue, now)) != NULL) {
        if (write(r->fds[p->to], p->bytes, p->length) == (ssize_t)p->length)
            r->counts.passed++;
        else
            r->counts.undelivered++; /* the device is down or its queue is full */
        free(p);
    }
}

static bool set_link(struct relay *r, char *words)
{
    char *rest = NULL;
    const char *ends[2] = { strtok_r(words, " ", &rest), strtok_r(NULL, " ", &rest) };
    if (ends[0] == NULL || ends[1] == NULL)
        return false;
    unsigned long from = strtoul(ends[0], NULL, 10), to = strtoul(ends[1], NULL, 10);
    if (from >= PORTS_MAX || to >= PORTS_MAX || r->fds[from] < 0 || r->fds[to] < 0)
        return false;
    struct link made = { 0 };
    const struct {
        const char *name;
        unsigned *value;
    } keys[] = { { "cut", &made.cut },
                 { "loss", &made.loss_percent },
                 { "duplicate", &made.duplicate_percent },
                 { "reorder", &made.reorder_percent },
                 { "delay_ms", &made.delay_ms },
                 { "jitter_ms", &made.jitter_ms } };
    for (char *word; (word = strtok_r(NULL, " ", &rest)) != NULL;) {
        char *value = strchr(word, '=');
        if (value == NULL)
            return false;
        *value++ = '\0';
        size_t i = 0;
        while (i < sizeof keys / sizeof *keys && strcmp(keys[i].name, word) != 0)
            i++;
        if (i == sizeof keys / sizeof *keys)
            return false;
        *keys[i].value = (unsigned)strtoul(value, NULL, 10);
    }
    if (made.loss_percent > 100 || made.delay_ms > 60000 || made.jitter_ms > made.delay_ms)
        return false;
    r->links[from][to] = made;
    return true;
}

static void obey(struct relay *r, char *line)
{
    const struct counts *c = &r->counts;
    if (strcmp(line, "counts") == 0)
        printf("passed=%llu cut=%llu lost=%llu delayed=%llu duplicated=%llu reordered=%llu overflowed=%llu "
               "undelivered=%llu\n",
               (unsigned long long)c->passed, (unsigned long long)c->cut, (unsigned long long)c->lost,
               (unsigned long long)c->delayed, (unsigned long long)c->duplicated, (unsigned long long)c->reordered,
               (unsigned long long)c->overflowed, (unsigned long long)c->undelivered);
    else
        puts(strncmp(line, "link ", 5) == 0 && set_link(r, line + 5) ? "ok" : "unknown command or value");
    fflush(stdout);
}

/* False when nobody is there any more. */
static bool read_commands(struct relay *r)
{
    ssize_t length = read(STDIN_FILENO, r->line + r->line_length, sizeof r->line - 1 - r->line_length);
    if (length <= 0)
        return false;
    r->line_length += (size_t)length;
    r->line[r->line_length] = '\0';
    for (char *end; (end = strchr(r->line, '\n')) != NULL;) {
        *end++ = '\0';
        obey(r, r->line);
        r->line_length -= (size_t)(end - r->line);
        memmove(r->line, end, r->line_length + 1);
    }
    return r->line_length < sizeof r->line - 1;
}

static void run(struct relay *r)
{
    struct pollfd polled[PORTS_MAX + 1] = { { .fd = STDIN_FILENO, .events = POLLIN } };
    for (size_t i = 0; i < PORTS_MAX; i++)
        polled[i + 1] = (struct pollfd){ .fd = r->fds[i], .events = POLLIN };
    for (;;) {
        int64_t due_ns = queue_due_ns(&r->queue), wait_ns = due_ns == INT64_MAX ? 1000000000 : due_ns - now_ns();
        if (wait_ns < 0)
            wait_ns = 0;
        struct timespec wait = { .tv_sec = wait_ns / 1000000000, .tv_nsec = wait_ns % 1000000000 };
        if (ppoll(polled, PORTS_MAX + 1, &wait, NULL) < 0 && errno != EINTR)
            give_up("cannot wait", "(ppoll)");
        for (size_t i = 0; i < PORTS_MAX; i++)
            if (polled[i + 1].revents != 0)
                read_port(r, i);
        deliver(r);
        if (polled[0].revents != 0 && !read_commands(r))
            return;
    }
}

int main(int argc, char **argv)
{
    static struct relay r;
    if (argc < 4) {
        fputs("usage: lab_relay SEED NUMBER=DEVICE@PID NUMBER=DEVICE@PID ...\n", stderr);
        return 2;
    }
    r.random = strtoull(argv[1], NULL, 10) * 0x9E3779B97F4A7C15ULL | 1;
    open_ports(&r, argc - 2, argv + 2);
    puts("ready");
    fflush(stdout);
    run(&r);
    return 0;
}
