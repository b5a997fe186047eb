#include "program.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define ARGUMENTS_MAX 32

char program_out[PROGRAM_TEXT_MAX_BYTES], program_err[PROGRAM_TEXT_MAX_BYTES];

static void slurp(FILE *file, char *into)
{
    size_t length;

    rewind(file);
    length = fread(into, 1, PROGRAM_TEXT_MAX_BYTES - 1, file);
    into[length] = '\0';
    (void)fclose(file);
}

int program_run(const char *program, const char *input, const char *const *arguments)
{
    const char *argv[ARGUMENTS_MAX] = { program };
    FILE *out = tmpfile(), *err = tmpfile();
    int status = -1, pipes[2];
    pid_t pid;

    assert_non_null(out);
    assert_non_null(err);
    for (size_t i = 0; arguments[i] != NULL; i++) {
        assert_true(i + 2 < ARGUMENTS_MAX);
        argv[i + 1] = arguments[i];
    }
    assert_int_equal(pipe(pipes), 0);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void)dup2(pipes[0], STDIN_FILENO);
        (void)close(pipes[0]);
        (void)close(pipes[1]);
        (void)dup2(fileno(out), STDOUT_FILENO);
        (void)dup2(fileno(err), STDERR_FILENO);
        (void)execvp(program, (char *const *)(uintptr_t)argv);
        _exit(127);
    }
    (void)close(pipes[0]);
    assert_int_equal(write(pipes[1], input, strlen(input)), strlen(input));
    (void)close(pipes[1]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    slurp(out, program_out);
    slurp(err, program_err);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}
