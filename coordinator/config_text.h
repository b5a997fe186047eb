/* A configuration table as text: a sample to start from, the reference in docs/configuration.md, the same in a man page. Decides only
 * how it looks; a unit test fails while the committed pages differ from what the tables say. */
#ifndef COORD_CONFIG_TEXT_H
#define COORD_CONFIG_TEXT_H

#include "io/yaml.h"

/* Each gives: free() it. */
char *
config_text_sample(const struct yaml_schema *
                       schema); /* a file that is read without a mistake about types; optional keys stand as comments */
char *config_text_markdown(const struct yaml_schema *schema); /* one table per mapping */
char *config_text_man(const struct yaml_schema *schema);      /* .TP entries */

#endif
