#include "core/version.h"

const uint8_t program_version = 2; /* before the library's own */
