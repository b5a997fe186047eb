/* The parsed file, as yaml.c makes it and yaml_walk.c and yaml_report.c read it; nobody else includes this. */
#ifndef COORD_IO_YAML_TREE_H
#define COORD_IO_YAML_TREE_H

#include "io/yaml.h"

#include <libfyaml.h>

struct yaml {
    char *name;
    char *bytes;
    size_t length;
    struct fy_diag *diag;
    struct fy_parser *parser;
    struct fy_document *document;
    struct fy_node *root; /* NULL: nothing to walk */
    size_t error_count, dropped;
    struct yaml_error errors[YAML_ERRORS_MAX];
};

struct place {
    int line, column;
};

void yaml_mistake(struct yaml *y, int line, int column, const char *format, ...) __attribute__((format(printf, 4, 5)));

/* Where a node begins; `otherwise` when it has no bytes of its own ("key:" and nothing more). */
struct place yaml_place(const struct yaml *y, struct fy_node *node, struct place otherwise);

#endif
