/* The transcript of `lunette explain` in README.md is what it says of examples/explain; and the way to it repeats. */
#include "page.h"
#include "cli/explain_text.h"
#include "gateway/dry_run.h"
#include "script/load.h"

#define FOLDER "examples/explain/"

static struct lun_snapshot *load(void *self)
{
    struct lun_mistakes mistakes = {0};
    struct lun_snapshot *s = lun_load(FOLDER "gateway.lua", &(struct lun_load_options){ .no_secrets = true, .cpu = LUN_CPU_STEPS }, &mistakes);
    (void)self;
    lun_mistakes_free(&mistakes);
    return s;
}

static void dry_run(struct lun_buf *json)
{
    char *body = page_read(FOLDER "request.json"), *error = NULL;
    bool good = false;
    struct lun_dry_run d = { .load = load, .body = body, .n = strlen(body) };
    if (!lun_dry_run(&d, json, &good, &error)) fail_msg("%s", error ? error : "the configuration cannot be loaded");
    assert_true(good);
    free(body);
}

static void put_transcript(struct lun_buf *out)
{
    struct lun_buf json = {0}, text = {0};
    struct lun_ink ink = { &text, false };
    dry_run(&json);
    lun_explain_put(&ink, (struct lun_json){ json.at, json.n });
    lun_ink_end(&ink);
    lun_buf_puts(out, "```\n$ lunette explain " FOLDER "gateway.lua " FOLDER "request.json\n");
    lun_buf_add(out, text.at, text.n);
    lun_buf_puts(out, "```\n");
    lun_buf_free(&json), lun_buf_free(&text);
}

static const struct page_part parts[] = { { "README.md", "explain", put_transcript } };

static void the_transcript_is_what_it_says(void **state)
{
    (void)state;
    page_is_current(&parts[0]);
}

static void the_object_is_json_and_the_same_again(void **state)
{
    struct lun_buf first = {0}, second = {0};
    struct lun_json json;
    (void)state;
    dry_run(&first), dry_run(&second);
    assert_true(lun_json_check(first.at, first.n, &json, NULL));
    assert_int_equal(first.n, second.n);
    assert_memory_equal(first.at, second.at, first.n);
    lun_buf_free(&first), lun_buf_free(&second);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(the_transcript_is_what_it_says), cmocka_unit_test(the_object_is_json_and_the_same_again) };
    PAGE_WRITES(argc, argv, parts);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
