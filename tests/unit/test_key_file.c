/* keys.json: what was written is read again; whatever else it holds is refused, never read as fewer keys. And the text of a new key. */
#include "keys.h"
#include "gateway/key_file.h"
#include "gateway/key_text.h"
#include "script/load_key.h"
#include <openssl/evp.h>

static struct lun_keyring *example(void)
{
    static const char fields[] = "{\"team\":\"web\",\"models\":[\"gpt-*\",\"auto\"],\"requests_per_minute\":60,\"budget\":{\"limit\":2.5,\"per\":\"day\"},\"tags\":{\"tier\":\"x\"},\"trust\":[\"budget\"]}";
    struct lun_key_digest older[] = { digest_of("sk-lun-older", 77), digest_of("sk-lun-oldest", 66) };
    struct lun_key one = like("app", "sk-lun-app"), two = like("a \"b\"/c\\é", "sk-lun-two");
    one.fields = fields, one.older = older, one.n_older = 2, one.life = 2, one.version = 9, one.made = 1795865913938417, one.changed = 1795865913938418, one.expires = 1795865999999999;
    two.revoked = 5;
    return ring_of((struct lun_key *[]){ lun_key_new(&one), lun_key_new(&two) }, 2);
}

static char *text_of(const struct lun_keyring *r)
{
    struct lun_buf out = {0};
    lun_key_file_put(&out, r);
    return lun_buf_text(&out);
}

static void refused(const char *text, size_t n, const char *expected)
{
    char *why, *copy = lun_memdup(text, n ? n : 1);         /* of its own size, so that a byte read too far is noticed */
    struct lun_keyring *r = lun_key_file_read(copy, n, &why);
    if (r) fail_msg("was read: %.*s", (int)n, text);
    assert_non_null(why);
    if (expected && !strstr(why, expected)) fail_msg("says %s, not %s", why, expected);
    free(why), free(copy);
}

static void what_was_written_is_read_again(void **state)
{
    char *why;
    (void)state;
    struct lun_keyring *r = example();
    char *text = text_of(r);
    struct lun_keyring *again = lun_key_file_read(text, strlen(text), &why);
    if (!again) fail_msg("%s", why);
    char *twice = text_of(again);
    assert_string_equal(text, twice);
    const struct lun_key *k = lun_keyring_named(again, "app");
    assert_int_equal(k->life, 2);
    assert_int_equal(k->expires, 1795865999999999);
    assert_int_equal(k->older[1].until, 66);
    assert_int_equal(k->rule.requests_per_minute, 60);
    assert_int_equal(k->rule.budget.limit, 2500000000);
    assert_int_equal(k->rule.budget.per, LUN_PER_DAY);
    assert_int_equal(k->rule.trust, LUN_TRUST_BUDGET);
    assert_true(k->rule.substitute && k->rule.expose);      /* what was not said is as in gateway.lua */
    assert_string_equal(k->rule.models[0], "gpt-*");
    assert_string_equal(k->team, "web");
    free(text), free(twice);
    lun_keyring_unref(r), lun_keyring_unref(again);
}

static void a_file_without_keys_is_one(void **state)
{
    char *why, *text = text_of(NULL);
    (void)state;
    struct lun_keyring *r = lun_key_file_read(text, strlen(text), &why);
    assert_non_null(r);
    assert_int_equal(r->n, 0);
    lun_keyring_unref(r);
    free(text);
}

static void a_file_cut_anywhere_is_refused(void **state)
{
    (void)state;
    struct lun_keyring *r = example();
    char *text = text_of(r);
    size_t whole = strlen(text) - 1;        /* what follows is a line feed */
    for (size_t n = 0; n < whole; n++) refused(text, n, "it is not whole");
    free(text);
    lun_keyring_unref(r);
}

static void a_file_with_any_byte_changed_is_refused(void **state)
{
    (void)state;
    struct lun_keyring *r = example();
    char *text = text_of(r), *why;
    for (size_t i = 0; i < strlen(text) - 1; i++)
        for (int bit = 0; bit < 8; bit++) {
            char *changed = lun_strdup(text);
            changed[i] = (char)(changed[i] ^ 1 << bit);
            struct lun_keyring *got = lun_key_file_read(changed, strlen(text), &why);
            if (got) {                      /* nothing but what JSON lets one write in two ways, or what nobody reads: the keys are the same */
                char *again = text_of(got);
                assert_string_equal(again, text);
                free(again);
                lun_keyring_unref(got);
            } else free(why);
            free(changed);
        }
    free(text);
    lun_keyring_unref(r);
}

/* With a sum that is right, as somebody would write it who wants to harm. */
static char *summed(const char *list)
{
    unsigned char sum[LUN_KEY_HASH];
    char text[LUN_KEY_HASH_TEXT];
    assert_int_equal(EVP_Digest(list, strlen(list), sum, NULL, EVP_sha256(), NULL), 1);
    lun_key_hash_text(sum, text);
    return lun_printf("{\"format\":1,\"sum\":\"%s\",\"keys\":%s}", text, list);
}

#define HASH "sha256:0000000000000000000000000000000000000000000000000000000000000001"
#define KEY(name, rest) "{\"name\":" name ",\"life\":1,\"version\":1,\"made\":1,\"changed\":1,\"hash\":\"" HASH "\",\"hint\":\"x\"" rest "}"

static void hostile_json_is_refused_with_the_place(void **state)
{
    static const struct { const char *list, *why; } cases[] = {
        { "[5]", "key number 1: its `name`" }, { "[{}]", "its `name`" }, { "[null]", "its `name`" }, { "[[]]", "its `name`" },
        { "[" KEY("\"\"", ",\"fields\":{}") "]", "its `name`" },
        { "[" KEY("\"a\\u0000\"", ",\"fields\":{}") "]", "its `name`" },
        { "[" KEY("\"a\\nb\"", ",\"fields\":{}") "]", "name: must be one line, without control characters" },
        { "[" KEY("\"a\"", "") "]", "its `fields`" },
        { "[" KEY("\"a\"", ",\"fields\":[]") "]", "its `fields`" },
        { "[" KEY("\"a\"", ",\"fields\":{\"nonsense\":1}") "]", "nonsense: there is no such field" },
        { "[" KEY("\"a\"", ",\"fields\":{\"hash\":\"" HASH "\"}") "]", "hash: is not said" },
        { "[" KEY("\"a\"", ",\"fields\":{\"name\":\"b\"}") "]", "name: stays as it is" },
        { "[" KEY("\"a\"", ",\"fields\":{\"budget\":{\"limit\":-1}}") "]", "budget.limit: must be" },
        { "[" KEY("\"a\"", ",\"fields\":{\"budget\":{\"limit\":1e999}}") "]", "budget.limit:" },
        { "[" KEY("\"a\"", ",\"fields\":{\"models\":{\"a\":1}}") "]", "models: must be a list" },
        { "[" KEY("\"a\"", ",\"fields\":{},\"older\":[{}]") "]", "its `hash`" },
        { "[" KEY("\"a\"", ",\"fields\":{},\"older\":[{\"hash\":\"" HASH "\",\"hint\":\"x\"}]") "]", "its `until`" },
        { "[" KEY("\"a\"", ",\"fields\":{},\"expires\":-1") "]", "its `expires`" },
        { "[" KEY("\"a\"", ",\"fields\":{},\"expires\":\"never\"") "]", "its `expires`" },
        { "[" KEY("\"a\"", ",\"fields\":{},\"revoked\":1.5") "]", "its `revoked`" },
        { "[" KEY("\"a\"", ",\"fields\":{},\"version\":0") "]", "its `version`" },
        { "[" KEY("\"a\"", ",\"fields\":{},\"hash\":\"sha256:0\"") "]", "its `hash`" },
        { "[" KEY("\"a\"", ",\"fields\":{},\"hint\":\"sk-lun-much-too-long\"") "]", "its `hint`" },
        { "[" KEY("\"a\"", ",\"fields\":{}") "," KEY("\"a\"", ",\"fields\":{}") "]", "a name is in it twice" },
        { "[" KEY("\"a\"", ",\"fields\":{}") "," KEY("\"b\"", ",\"fields\":{}") "]", "the same hash" },
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *text = summed(cases[i].list);
        refused(text, strlen(text), cases[i].why);
        free(text);
    }
    static const struct { const char *text, *why; } whole[] = { { "{}", "another version" }, { "[]", "not whole" }, { "{\"format\":2,\"sum\":\"\",\"keys\":[]}", "another version" },
        { "{\"format\":1,\"keys\":[]}", "sum" }, { "{\"format\":1,\"keys\":{}}", "no list" } };
    for (size_t i = 0; i < sizeof whole / sizeof *whole; i++) refused(whole[i].text, strlen(whole[i].text), whole[i].why);
}

static void what_is_deep_or_long_is_refused_in_time(void **state)
{
    struct lun_buf deep = {0}, wide = {0};
    (void)state;
    lun_buf_puts(&deep, "[{\"name\":\"a\",\"fields\":{\"tags\":");
    for (int i = 0; i < 100; i++) lun_buf_puts(&deep, "{\"a\":");
    lun_buf_puts(&deep, "1");
    for (int i = 0; i < 100; i++) lun_buf_puts(&deep, "}");
    lun_buf_puts(&deep, "}}]");
    char *text = summed(lun_buf_text(&deep));
    refused(text, strlen(text), "fields");
    free(text);
    lun_buf_puts(&wide, "[{\"name\":\"a\",\"fields\":{\"x\":1");
    for (int i = 0; i < 100000; i++) lun_buf_printf(&wide, ",\"n%d\":1", i);
    lun_buf_puts(&wide, "}}]");
    text = summed(lun_buf_text(&wide));
    refused(text, strlen(text), "1,000 values");
    free(text);
    lun_buf_free(&deep), lun_buf_free(&wide);
}

/* ---- what is said of a key ---- */


static void form(const char *said, const char *onto, unsigned may, const char *expected)
{
    static const struct lun_team teams[] = { { .name = "web" } };
    static const struct lun_model models[] = { { .name = "gpt-4.1" } };
    struct lun_snapshot *s = lun_snapshot_new();
    struct lun_mistakes mistakes = {0};
    struct lun_key_form f = {0};
    struct lun_json a, b = {0};
    s->teams = teams, s->n_teams = 1, s->models = models, s->n_models = 1;
    assert_true(lun_json_check(said, strlen(said), &a, NULL));
    if (onto) assert_true(lun_json_check(onto, strlen(onto), &b, NULL));
    bool good = lun_key_form_read(&f, a, b, "app", may, s, 1000 * LUN_SECOND, &mistakes);
    assert_int_equal(good, !mistakes.n);
    if (good) assert_string_equal(f.key.fields, expected);
    else if (strcmp(mistakes.items[0].what, expected)) fail_msg("for %s says: %s", said, mistakes.items[0].what);
    lun_mistakes_free(&mistakes);
    lun_key_form_free(&f);
    lun_snapshot_unref(s);
}

enum { NEW = LUN_KEY_SAYS_NAME | LUN_KEY_SAYS_EXPIRES | LUN_KEY_SAYS_ANEW };

static void fields_are_those_of_clients_with_the_same_checks(void **state)
{
    (void)state;
    form("{\"name\":\"app\",\"team\":\"web\",\"task\":null,\"expires\":60}", NULL, NEW, "{\"team\":\"web\"}");
    form("{}", NULL, NEW, "name: is missing");
    form("{\"name\":\"\"}", NULL, NEW, "name: must not be empty");
    form("{\"name\":\"..\"}", NULL, NEW, "name: must be more than points");
    form("{\"name\":\"a\",\"team\":\"wbe\"}", NULL, NEW, "team: there is no team \"wbe\" in teams (did you mean web?)");
    form("{\"name\":\"a\",\"models\":[\"gpt4.1\"]}", NULL, NEW, "models[1]: there is no model \"gpt4.1\" in models (did you mean gpt-4.1?)");
    form("{\"name\":\"a\",\"models\":[]}", NULL, NEW, "models: allows none at all: leave it out for all, or name one");
    form("{\"name\":\"a\",\"modles\":[]}", NULL, NEW, "modles: there is no such field (did you mean models?)");
    form("{\"name\":\"a\",\"expire\":1}", NULL, NEW, "expire: there is no such field (did you mean expires?)");
    form("{\"name\":\"a\",\"class\":\"a b\"}", NULL, NEW, "class: must be letters, digits, _ - and .");
    form("{\"name\":\"a\",\"budget\":{}}", NULL, NEW, "budget.limit: is missing");
    form("{\"name\":\"a\",\"budget\":{\"limit\":1,\"per\":\"year\"}}", NULL, NEW, "budget.per: must be \"ever\", \"hour\", \"day\", \"week\", \"month\" or \"rolling\", not \"year\"");
    form("{\"name\":\"a\",\"budget\":{\"limit\":1,\"per\":\"rolling\"}}", NULL, NEW, "budget.window: is missing: how many seconds per = \"rolling\" looks back");
    form("{\"name\":\"a\",\"budget\":{\"limit\":1,\"per\":\"day\",\"window\":60}}", NULL, NEW, "budget.window: is for per = \"rolling\"");
    form("{\"name\":\"a\",\"requests_per_minute\":1.5}", NULL, NEW, "requests_per_minute: must be a whole number, 1 or more, not 1.5");
    form("{\"name\":\"a\",\"trust\":[\"all\"]}", NULL, NEW, "trust: must be a list out of \"task\", \"tags\", \"budget\", \"class\" or \"explain\"; \"all\" is none of them");
    form("{\"name\":\"a\",\"hash\":\"sha256:00\"}", NULL, NEW, "hash: is not said: the gateway makes the key's text and shows it once");
    form("{\"name\":\"a\",\"team\":\"web\",\"team\":\"web\"}", NULL, NEW, "team: is said twice");
    form("{\"name\":\"a\",\"expires\":0}", NULL, NEW, "expires: must be a time as in \"2027-01-31T12:00:00Z\", a number of seconds from now, or null for never; not 0");
    form("{\"name\":\"a\",\"expires\":\"1970-01-01T00:16:40Z\"}", NULL, NEW, "expires: \"1970-01-01T00:16:40Z\" is past");
    form("{\"name\":\"a\",\"anew\":1}", NULL, NEW, "anew: must be true or false, not 1");
}

static void a_change_is_a_merge_patch(void **state)
{
    static const char before[] = "{\"team\":\"web\",\"budget\":{\"limit\":5,\"per\":\"day\"},\"tags\":{\"a\":\"1\",\"b\":\"2\"}}";
    (void)state;
    form("{\"budget\":{\"limit\":6},\"tags\":{\"a\":null,\"c\":\"3\"},\"team\":null,\"expires\":null}", before, LUN_KEY_SAYS_EXPIRES, "{\"budget\":{\"limit\":6,\"per\":\"day\"},\"tags\":{\"b\":\"2\",\"c\":\"3\"}}");
    form("{}", before, LUN_KEY_SAYS_EXPIRES, before);
    form("{\"budget\":null,\"tags\":null}", before, LUN_KEY_SAYS_EXPIRES, "{\"team\":\"web\"}");
    form("{\"name\":\"other\"}", before, LUN_KEY_SAYS_EXPIRES, "name: stays as it is: what was spent belongs to it");
    form("{\"budget\":{\"limit\":null}}", before, LUN_KEY_SAYS_EXPIRES, "budget.limit: is missing");
    form("{\"anew\":true}", before, LUN_KEY_SAYS_EXPIRES, "anew: is not said here");
}

/* Also where one of the two is null, or takes the place of what there was. */
static void what_is_said_twice_is_refused(void **state)
{
    static const char before[] = "{\"team\":\"web\",\"tags\":{\"a\":\"1\"}}";
    (void)state;
    form("{\"team\":\"api\",\"team\":\"web\"}", before, LUN_KEY_SAYS_EXPIRES, "team: is said twice");
    form("{\"team\":null,\"team\":\"web\"}", before, LUN_KEY_SAYS_EXPIRES, "team: is said twice");
    form("{\"team\":\"web\",\"team\":null}", before, LUN_KEY_SAYS_EXPIRES, "team: is said twice");
    form("{\"tags\":{\"a\":\"2\",\"\\u0061\":\"3\"}}", before, LUN_KEY_SAYS_EXPIRES, "tags.a: is said twice");
    form("{\"name\":\"a\",\"team\":\"web\",\"team\":null}", NULL, NEW, "team: is said twice");
    form("{\"name\":\"a\",\"expires\":60,\"expires\":null}", NULL, NEW, "expires: is said twice");
    form("{\"name\":\"a\",\"expires\":null,\"expires\":60}", NULL, NEW, "expires: is said twice");
    form("{\"name\":\"a\",\"name\":\"b\"}", NULL, NEW, "name: is said twice");
    form("{\"name\":\"a\",\"anew\":true,\"anew\":false}", NULL, NEW, "anew: is said twice");
}

/* ---- the text of a new key ---- */

static void every_new_key_is_another_one_of_letters_and_digits(void **state)
{
    enum { MANY = 2000 };
    char texts[2][LUN_KEY_TEXT];
    int seen[256] = {0};
    unsigned char hash[LUN_KEY_HASH];
    (void)state;
    for (int i = 0; i < MANY; i++) {
        struct lun_key_digest d;
        char *text = texts[i & 1];
        assert_true(lun_key_text_make(text, &d));
        assert_int_equal(strlen(text), LUN_KEY_TEXT - 1);
        assert_memory_equal(text, "sk-lun-", 7);
        assert_int_equal(strspn(text + 7, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"), LUN_KEY_LETTERS);
        hash_of(text, hash);
        assert_memory_equal(hash, d.hash, LUN_KEY_HASH);
        assert_int_equal(strncmp(text, d.hint, 11), 0);
        assert_int_equal(strlen(d.hint), 11);
        if (i) assert_string_not_equal(texts[0], texts[1]);
        for (int c = 7; text[c]; c++) seen[(unsigned char)text[c]]++;
    }
    for (const char *c = "059AZaz"; *c; c++) assert_in_range(seen[(unsigned char)*c], 1100, 1700);     /* 1,387 is even; 8 standard deviations */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_written_is_read_again),
        cmocka_unit_test(a_file_without_keys_is_one),
        cmocka_unit_test(a_file_cut_anywhere_is_refused),
        cmocka_unit_test(a_file_with_any_byte_changed_is_refused),
        cmocka_unit_test(hostile_json_is_refused_with_the_place),
        cmocka_unit_test(what_is_deep_or_long_is_refused_in_time),
        cmocka_unit_test(fields_are_those_of_clients_with_the_same_checks),
        cmocka_unit_test(a_change_is_a_merge_patch), cmocka_unit_test(what_is_said_twice_is_refused),
        cmocka_unit_test(every_new_key_is_another_one_of_letters_and_digits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
