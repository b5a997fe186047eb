#include "core/version.h"

const uint8_t program_version = 1;
