/* io/json: text into a table of wanted keys. What is read prints as it reads; what is unpacked is bounded text that stands in the input. */
#include "io/json.h"

#include <stdbool.h>
#include <stddef.h>

#include "tests/fuzz/fuzz.h"

struct body {
    char text[16];
    char texts[3][8];
    uint32_t text_count;
    int64_t number;
    bool flag, flag_present;
};

static const struct json_want wanted[] = {
    { .key = "text", .kind = JSON_IS_TEXT, .required = true, .offset = offsetof(struct body, text), .size = 16 },
    { .key = "texts",
      .kind = JSON_IS_TEXTS,
      .offset = offsetof(struct body, texts),
      .size = 8,
      .count_max = 3,
      .count = offsetof(struct body, text_count) },
    { .key = "number", .kind = JSON_IS_INT, .offset = offsetof(struct body, number) },
    { .key = "flag",
      .kind = JSON_IS_BOOL,
      .offset = offsetof(struct body, flag),
      .present = offsetof(struct body, flag_present) },
};

static void unpack(const struct json_t *value)
{
    struct body *body = calloc(1, sizeof *body);
    struct error err = ERROR_NONE;

    ASSERT(body != NULL);
    if (json_unpack_wanted(value, wanted, sizeof wanted / sizeof wanted[0], body, &err) == STATUS_OK) {
        ASSERT(memchr(body->text, '\0', sizeof body->text) != NULL && body->text_count <= 3);
        ASSERT(strcmp(body->text, json_look_text(value, "text")) == 0);
        ASSERT(body->text_count == json_item_count(json_look(value, "texts")));
        for (uint32_t i = 0; i < body->text_count; i++)
            ASSERT(strcmp(body->texts[i], json_item_text(json_look(value, "texts"), i)) == 0);
        ASSERT(body->number == json_look_int(value, "number", 0) && body->flag == json_look_bool(value, "flag"));
    } else {
        ASSERT(err.status == STATUS_INVALID && err.text[0] != '\0');
    }
    free(body);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *bytes = fuzz_text(data, size), *printed, *again;
    struct error err = ERROR_NONE;
    struct json_t *value = json_read(bytes, size, &err), *second;

    if (value == NULL) {
        ASSERT(err.status == STATUS_INVALID && err.text[0] != '\0');
        free(bytes);
        return 0;
    }
    unpack(value);
    printed = json_print(value);
    second = json_read(printed, strlen(printed), &err);
    if (second == NULL)
        check_failed(printed, __FILE__, __LINE__);
    again = json_print(second);
    ASSERT(strcmp(printed, again) == 0);
    free(printed);
    free(again);
    json_free(second);
    json_free(value);
    free(bytes);
    return 0;
}
