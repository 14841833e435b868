/* Versions: which one is gone back to, what is forgotten, what is kept of them; the folder `state`; when failures of hooks are too many. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/alloc.h"
#include "gateway/blame.h"
#include "gateway/keep.h"
#include "gateway/troubles.h"

static char folder[64];

static int make_folder(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/lunette-versions-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    char *command = lun_printf("rm -rf '%s'", folder);
    (void)state;
    int status = system(command);
    free(command);
    return status;
}

static struct lun_snapshot *snapshot(const char *version)
{
    struct lun_snapshot *s = lun_snapshot_new();
    struct lun_part *parts = lun_arena_zalloc(&s->arena, 3 * sizeof *parts);
    parts[0] = (struct lun_part){ LUN_PART_CONFIG, NULL, { "gateway.lua", "return {}", 9 }, false };
    parts[1] = (struct lun_part){ LUN_PART_POLICY, NULL, { "policy.lua", "-- \0x", 5 }, false };
    parts[2] = (struct lun_part){ LUN_PART_POLICY_MODULE, "ours", { "lua/ours.lua", "x", 1 }, true };
    s->parts = parts;
    s->n_parts = 3;
    s->version = lun_arena_strdup(&s->arena, version);
    return s;
}

static struct lun_version *take(struct lun_versions *vs, const char *name) { return lun_versions_take(vs, snapshot(name), 1000, "test", "because"); }

static const char *name_of(const struct lun_version *v) { return v ? v->name : "none"; }

/* ---- the list ---- */

static void the_previous_one_is_the_newest_that_was_not_taken_back(void **state)
{
    struct lun_versions vs = {0};
    (void)state;
    assert_null(lun_versions_current(&vs));
    take(&vs, "p@a");
    assert_string_equal(name_of(lun_versions_previous(&vs)), "none");
    take(&vs, "p@b");
    take(&vs, "p@c");
    assert_string_equal(name_of(lun_versions_previous(&vs)), "p@b");
    lun_version_mark_bad(lun_versions_find(&vs, "p@b"), 5, "ann", "slow", NULL);
    assert_string_equal(name_of(lun_versions_previous(&vs)), "p@a");
    lun_versions_forgive(&vs, NULL);
    assert_string_equal(name_of(lun_versions_previous(&vs)), "p@b");
    lun_versions_free(&vs);
}

/* A version whose gateway.lua and policy.lua have these texts. */
static struct lun_snapshot *with_files(const char *version, const char *config, const char *policy)
{
    struct lun_snapshot *s = snapshot(version);
    struct lun_part *parts = (struct lun_part *)s->parts;
    parts[0].file.text = config, parts[0].file.n = strlen(config);
    parts[1].file.text = policy, parts[1].file.n = strlen(policy);
    return s;
}

static void blamed(const char *config, const char *policy, bool expected, const char *blame)
{
    struct lun_snapshot *s = with_files("p@x", config, policy);
    if (lun_blame_holds(blame, s) != expected) fail_msg("%s %s: %d", config, policy, !expected);
    lun_snapshot_unref(s);
}

static void what_was_taken_back_is_to_blame_in_the_files_that_differ_as_long_as_all_of_them_are_as_they_were(void **state)
{
    struct lun_snapshot *good = with_files("p@a", "c1", "p1"), *policy = with_files("p@b", "c1", "p2"), *both = with_files("p@c", "c2", "p2");
    char *one = lun_blame(policy, good), *two = lun_blame(both, good), *none = lun_blame(good, good), names[200];
    struct lun_versions vs = {0}, again = {0};
    struct lun_buf out = {0};
    struct lun_json all;
    (void)state;
    assert_string_equal(none, "");
    assert_string_equal(lun_blame_names(one, names), "policy.lua");
    assert_string_equal(lun_blame_names(two, names), "gateway.lua, policy.lua");
    blamed("c9", "p2", true, one);
    blamed("c1", "p1", false, one);
    blamed("c1", "p3", false, one);
    blamed("c2", "p2", true, two);
    blamed("c2", "p3", false, two);
    blamed("c9", "p2", false, two);
    blamed("c1", "p1", false, none);
    blamed("c1", "p1", false, NULL);
    blamed("c1", "p1", false, "rubbish");
    blamed("c1", "p1", false, "rubbish\n\n");
    lun_version_mark_bad(lun_versions_take(&vs, policy, 1, "test", ""), 5, "ann", "slow", one);
    lun_versions_take(&vs, good, 1, "test", "");
    assert_null(lun_versions_taken_back(&vs, good));
    assert_string_equal(name_of(lun_versions_taken_back(&vs, both)), "p@b");       /* its policy is the same */
    lun_buf_putc(&out, '{');                                                       /* what was kept says so too */
    lun_json_put_key(&out, "format");
    lun_buf_putc(&out, '1');
    lun_versions_write(&vs, &out);
    lun_buf_putc(&out, '}');
    assert_true(lun_json_check(out.at, out.n, &all, NULL) && lun_versions_read(&again, all));
    assert_string_equal(name_of(lun_versions_taken_back(&again, both)), "p@b");
    lun_buf_free(&out);
    lun_versions_free(&vs);
    lun_versions_free(&again);
    lun_snapshot_unref(both);
    free(one), free(two), free(none);
}

static void one_that_is_taken_again_comes_first_with_its_counts_and_the_next_generation(void **state)
{
    struct lun_versions vs = {0};
    (void)state;
    struct lun_version *a = take(&vs, "p@a");
    atomic_store(&a->snapshot->requests, 7);
    atomic_store(&a->snapshot->hook_failures, 2);
    take(&vs, "p@b");
    lun_version_mark_bad(a, 5, "ann", "slow", NULL);
    assert_ptr_equal(take(&vs, "p@a"), a);
    assert_ptr_equal(lun_versions_current(&vs), a);
    assert_int_equal(vs.n, 2);
    assert_int_equal(a->generation, 3);
    assert_int_equal(lun_version_requests(a), 7);
    assert_int_equal(lun_version_failures(a), 2);
    assert_int_equal(a->bad, 0);
    lun_versions_free(&vs);
}

static void eight_are_kept_those_in_use_and_those_taken_back_longest(void **state)
{
    struct lun_versions vs = {0};
    char name[16];
    (void)state;
    struct lun_version *used = take(&vs, "p@used"), *bad = take(&vs, "p@bad");
    atomic_store(&used->snapshot->desks, 1);
    lun_version_mark_bad(bad, 5, "ann", "slow", NULL);
    for (int i = 0; i < 20; i++) {
        snprintf(name, sizeof name, "p@%d", i);
        take(&vs, name);
    }
    assert_int_equal(vs.n, LUN_VERSIONS_MOST);
    assert_non_null(lun_versions_find(&vs, "p@used"));
    assert_non_null(lun_versions_find(&vs, "p@bad"));
    assert_int_equal(lun_versions_live(&vs), 1);
    assert_null(lun_versions_find(&vs, "p@13"));
    assert_non_null(lun_versions_find(&vs, "p@14"));
    lun_versions_free(&vs);
}

static void an_earlier_one_has_served_only_if_it_answered_and_was_not_taken_back(void **state)
{
    struct lun_versions vs = {0};
    (void)state;
    struct lun_version *a = take(&vs, "p@a");
    take(&vs, "p@b");
    assert_false(lun_versions_earlier_served(&vs));
    atomic_store(&a->snapshot->requests, 1);
    assert_true(lun_versions_earlier_served(&vs));
    take(&vs, "p@c");                   /* two saves, one behind the other: the second never answered anything */
    assert_true(lun_versions_earlier_served(&vs));
    lun_version_mark_bad(a, 5, "ann", "slow", NULL);
    assert_false(lun_versions_earlier_served(&vs));
    lun_versions_free(&vs);
}

static void what_is_kept_of_the_list_is_read_as_it_was(void **state)
{
    struct lun_versions vs = {0}, again = {0};
    struct lun_buf out = {0}, first = {0}, second = {0};
    struct lun_json all;
    (void)state;
    take(&vs, "p@a");
    struct lun_version *b = take(&vs, "p@b");
    lun_version_mark_bad(b, 1795838673789466, "ann \"x\"", "slow\n", NULL);
    atomic_store(&b->snapshot->requests, 12);
    take(&vs, "p@c");
    lun_buf_putc(&out, '{');
    lun_versions_write(&vs, &out);
    lun_buf_putc(&out, '}');
    assert_true(lun_json_check(out.at, out.n, &all, NULL));
    assert_true(lun_versions_read(&again, all));
    lun_versions_show(&vs, &first);
    lun_versions_show(&again, &second);
    assert_string_equal(lun_buf_text(&first), lun_buf_text(&second));
    assert_int_equal(lun_version_requests(lun_versions_find(&again, "p@b")), 12);
    lun_versions_free(&vs), lun_versions_free(&again);
    lun_buf_free(&out), lun_buf_free(&first), lun_buf_free(&second);
}

static void what_is_no_list_is_not_read(void **state)
{
    static const char *const texts[] = { "{}", "{\"versions\":5}", "{\"versions\":{}}" };
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct lun_versions vs = {0};
        assert_false(lun_versions_read(&vs, (struct lun_json){ texts[i], strlen(texts[i]) }));
        lun_versions_free(&vs);
    }
    static const char odd[] = "{\"generation\":-5,\"versions\":[5,{\"version\":7},{},{\"version\":\"p@a\",\"requests\":-1,\"bad\":\"x\"}]}";
    struct lun_versions vs = {0};
    assert_true(lun_versions_read(&vs, (struct lun_json){ odd, sizeof odd - 1 }));
    assert_int_equal(vs.n, 1);
    assert_int_equal(vs.generation, 0);
    assert_int_equal(lun_version_requests(lun_versions_find(&vs, "p@a")), 0);
    lun_versions_free(&vs);
}

/* ---- the folder ---- */

static struct lun_keep *opened(const char *name)
{
    char *path = lun_printf("%s/%s", folder, name), *error = NULL;
    struct lun_keep *k = lun_keep_open(path, NULL, &error);
    if (!k) fail_msg("%s", error);
    free(path);
    return k;
}

static void the_files_of_a_version_come_back_byte_for_byte_without_ours(void **state)
{
    struct lun_snapshot *s = snapshot("policy.lua@0123456789ab");
    struct lun_keep *k = opened("a");
    struct lun_kept kept;
    char *error = NULL;
    (void)state;
    assert_true(lun_keep_version(k, s, &error));
    assert_true(lun_kept_read(k, "policy.lua@0123456789ab", &kept));
    assert_int_equal(kept.n, 2);
    assert_string_equal(kept.files[0].name, "gateway.lua");
    assert_int_equal(kept.files[1].n, 5);
    assert_memory_equal(kept.files[1].text, "-- \0x", 5);
    lun_kept_free(&kept);
    lun_keep_close(k);
    lun_snapshot_unref(s);
}

static void a_version_of_which_a_file_is_missing_is_not_there(void **state)
{
    struct lun_snapshot *s = snapshot("policy.lua@0123456789ab");
    struct lun_keep *k = opened("b");
    struct lun_kept kept;
    char *error = NULL, *path = lun_printf("%s/b/versions/0123456789ab/1", folder);
    (void)state;
    assert_false(lun_kept_read(k, "policy.lua@0123456789ab", &kept));
    assert_true(lun_keep_version(k, s, &error));
    assert_int_equal(unlink(path), 0);
    assert_false(lun_kept_read(k, "policy.lua@0123456789ab", &kept));
    assert_false(lun_kept_read(k, "policy.lua@../../etc", &kept));
    assert_false(lun_kept_read(k, "nothing", &kept));
    lun_keep_close(k);
    lun_snapshot_unref(s);
    free(path);
}

static void what_a_power_cut_spoiled_is_written_again(void **state)
{
    static const char *const spoiled[] = { "1", "index" };
    struct lun_snapshot *s = snapshot("policy.lua@0123456789ab");
    struct lun_keep *k = opened("cut");
    struct lun_kept kept;
    char *error = NULL;
    (void)state;
    assert_true(lun_keep_version(k, s, &error));
    for (int i = 0; i < 2; i++) {
        char *path = lun_printf("%s/cut/versions/0123456789ab/%s", folder, spoiled[i]);
        assert_int_equal(truncate(path, 2), 0);
        assert_true(lun_keep_version(k, s, &error));
        assert_true(lun_kept_read(k, "policy.lua@0123456789ab", &kept));
        assert_int_equal(kept.n, 2);
        assert_int_equal(kept.files[1].n, 5);
        lun_kept_free(&kept);
        free(path);
    }
    lun_keep_close(k);
    lun_snapshot_unref(s);
}

static void only_the_versions_that_are_known_stay(void **state)
{
    static const char *const names[] = { "p@00000000000a", "p@00000000000b", "p@00000000000c" };
    struct lun_keep *k = opened("c");
    struct lun_kept kept;
    char *error = NULL;
    (void)state;
    for (int i = 0; i < 3; i++) {
        struct lun_snapshot *s = snapshot(names[i]);
        assert_true(lun_keep_version(k, s, &error));
        lun_snapshot_unref(s);
    }
    lun_keep_only(k, names + 1, 1);
    assert_false(lun_kept_read(k, names[0], &kept));
    assert_true(lun_kept_read(k, names[1], &kept));
    lun_kept_free(&kept);
    assert_false(lun_kept_read(k, names[2], &kept));
    lun_keep_close(k);
}

static void the_folder_is_its_owners_alone_and_one_process_has_it(void **state)
{
    struct lun_keep *k = opened("d");
    struct stat st;
    char *path = lun_printf("%s/d", folder), *error = NULL, *file = lun_printf("%s/d/state.json", folder);
    size_t n;
    (void)state;
    assert_null(lun_keep_read(k, &n));
    assert_true(lun_keep_write(k, "{}", 2, &error));
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    assert_int_equal(stat(file, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_null(lun_keep_open(path, NULL, &error));
    assert_non_null(strstr(error, path));
    assert_non_null(strstr(error, "in use by another process"));
    free(error);
    lun_keep_close(k);
    k = opened("d");
    char *text = lun_keep_read(k, &n);
    assert_int_equal(n, 2);
    free(text), free(path), free(file);
    lun_keep_close(k);
}

static void a_folder_that_cannot_be_made_is_an_error_for_people(void **state)
{
    char *error = NULL;
    (void)state;
    assert_null(lun_keep_open("/proc/nothing/here", NULL, &error));
    assert_non_null(strstr(error, "the state folder /proc/nothing/here cannot be used: "));
    free(error);
}

/* ---- troubles ---- */

static struct lun_trouble trouble_of(struct lun_snapshot *s, const char *reason) { return (struct lun_trouble){ s, LUN_HOOK_SELECT, reason, "policy.lua:3: it broke" }; }

/* Those of a version that is in use from now on. */
static struct lun_snapshot *watched(struct lun_troubles *t)
{
    struct lun_snapshot *s = snapshot("p@a");
    lun_troubles_init(t);
    lun_troubles_watch(t, s);
    return s;
}

static void five_failures_within_ten_seconds_are_too_many_and_told_once(void **state)
{
    struct lun_troubles t;
    struct lun_snapshot *s = watched(&t);
    struct lun_trouble error = trouble_of(s, "error");
    (void)state;
    for (int i = 0; i < 4; i++) assert_false(lun_troubles_add(&t, &error, (100 + i) * LUN_SECOND));
    assert_true(lun_troubles_add(&t, &error, 110 * LUN_SECOND));
    assert_string_equal(t.why, "5 failures of its hooks within 10 s, the last: policy.lua:3: it broke");
    assert_false(lun_troubles_add(&t, &error, 110 * LUN_SECOND));
    lun_troubles_destroy(&t);
    lun_snapshot_unref(s);
}

static void failures_further_apart_are_not(void **state)
{
    struct lun_troubles t;
    struct lun_snapshot *s = watched(&t);
    struct lun_trouble error = trouble_of(s, "error");
    (void)state;
    for (int i = 0; i < 50; i++) assert_false(lun_troubles_add(&t, &error, (lun_us)(100 + 3 * i) * LUN_SECOND));
    lun_troubles_destroy(&t);
    lun_snapshot_unref(s);
}

static void three_time_outs_are_too_many(void **state)
{
    static const char *const slow[] = { "cpu", "time" };
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct lun_troubles t;
        struct lun_snapshot *s = watched(&t);
        struct lun_trouble late = trouble_of(s, slow[i]);
        assert_false(lun_troubles_add(&t, &late, LUN_SECOND));
        assert_false(lun_troubles_add(&t, &late, LUN_SECOND));
        assert_true(lun_troubles_add(&t, &late, 11 * LUN_SECOND));
        assert_memory_equal(t.why, "3 time-outs", 11);
        lun_troubles_destroy(&t);
        lun_snapshot_unref(s);
    }
}

static void those_of_another_version_do_not_count_and_a_new_one_begins_at_zero(void **state)
{
    struct lun_troubles t;
    struct lun_snapshot *a = watched(&t), *b = snapshot("p@b");
    struct lun_trouble of_a = trouble_of(a, "error"), of_b = trouble_of(b, "error");
    (void)state;
    for (int i = 0; i < 4; i++) assert_false(lun_troubles_add(&t, &of_a, LUN_SECOND));
    for (int i = 0; i < 9; i++) assert_false(lun_troubles_add(&t, &of_b, LUN_SECOND));
    lun_troubles_watch(&t, b);
    for (int i = 0; i < 4; i++) assert_false(lun_troubles_add(&t, &of_b, LUN_SECOND));
    assert_false(lun_troubles_add(&t, &of_a, LUN_SECOND));
    assert_true(lun_troubles_add(&t, &of_b, LUN_SECOND));
    lun_troubles_destroy(&t);
    lun_snapshot_unref(a);
    lun_snapshot_unref(b);
}

static void where_nothing_could_be_done_they_count_again_after_a_while(void **state)
{
    struct lun_troubles t;
    struct lun_snapshot *s = watched(&t);
    struct lun_trouble error = trouble_of(s, "error");
    (void)state;
    for (int i = 0; i < 4; i++) assert_false(lun_troubles_add(&t, &error, 100 * LUN_SECOND));
    assert_true(lun_troubles_add(&t, &error, 100 * LUN_SECOND));
    lun_troubles_pause(&t, 102 * LUN_SECOND);
    for (int i = 0; i < 50; i++) assert_false(lun_troubles_add(&t, &error, 102 * LUN_SECOND - 1));
    for (int i = 0; i < 4; i++) assert_false(lun_troubles_add(&t, &error, 102 * LUN_SECOND));
    assert_true(lun_troubles_add(&t, &error, 102 * LUN_SECOND));
    lun_troubles_destroy(&t);
    lun_snapshot_unref(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(where_nothing_could_be_done_they_count_again_after_a_while),
        cmocka_unit_test(the_previous_one_is_the_newest_that_was_not_taken_back),
        cmocka_unit_test(what_was_taken_back_is_to_blame_in_the_files_that_differ_as_long_as_all_of_them_are_as_they_were),
        cmocka_unit_test(one_that_is_taken_again_comes_first_with_its_counts_and_the_next_generation),
        cmocka_unit_test(eight_are_kept_those_in_use_and_those_taken_back_longest),
        cmocka_unit_test(an_earlier_one_has_served_only_if_it_answered_and_was_not_taken_back),
        cmocka_unit_test(what_is_kept_of_the_list_is_read_as_it_was),
        cmocka_unit_test(what_is_no_list_is_not_read),
        cmocka_unit_test(the_files_of_a_version_come_back_byte_for_byte_without_ours),
        cmocka_unit_test(a_version_of_which_a_file_is_missing_is_not_there),
        cmocka_unit_test(what_a_power_cut_spoiled_is_written_again),
        cmocka_unit_test(only_the_versions_that_are_known_stay),
        cmocka_unit_test(the_folder_is_its_owners_alone_and_one_process_has_it),
        cmocka_unit_test(a_folder_that_cannot_be_made_is_an_error_for_people),
        cmocka_unit_test(five_failures_within_ten_seconds_are_too_many_and_told_once),
        cmocka_unit_test(failures_further_apart_are_not),
        cmocka_unit_test(three_time_outs_are_too_many),
        cmocka_unit_test(those_of_another_version_do_not_count_and_a_new_one_begins_at_zero),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
