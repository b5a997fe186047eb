/* Runs a program and keeps what it printed and how it ended. One at a time. */
#ifndef COORD_TEST_PROGRAM_H
#define COORD_TEST_PROGRAM_H

#define PROGRAM_TEXT_MAX_BYTES 65536

/* Of the last run, NUL-terminated; what is longer is cut. */
extern char program_out[PROGRAM_TEXT_MAX_BYTES], program_err[PROGRAM_TEXT_MAX_BYTES];

/* `arguments` ends with NULL and does not hold the program's own name, which is looked for on the path. `input` is its standard input. Returns
 * its exit code; asserts by cmocka that it ended by itself (a sanitizer's abort does not). */
int program_run(const char *program, const char *input, const char *const *arguments);

#define assert_says(text, part)                                                                                        \
    do {                                                                                                               \
        if (strstr(text, part) == NULL)                                                                                \
            fail_msg("'%s' is not in: %s", part, text);                                                                \
    } while (0)

#endif
