#include "base/check.h"

#include <stdio.h>
#include <stdlib.h>

_Noreturn void check_failed(const char *condition, const char *file, int line)
{
    (void)fprintf(stderr, "level=error event=assertion_failed condition=\"%s\" at=%s:%d\n", condition, file, line);
    abort();
}
