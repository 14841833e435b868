/* Changes of a gateway inside this program: keys that it learns from another gateway, what a lack of disk does to them, and who waits until none is under way. */
#include "keys.h"
#include "base/file.h"
#include "gateway/admission.h"
#include "gateway/gateway.h"
#include "gateway/key_file.h"
#include <event2/event.h>
#include <unistd.h>

static const char config[] = "return { state = '%s', providers = { a = { script = 'a.lua' } }, models = { m = { { provider = 'a' } } },\n"
                             "  clients = { { name = 'filed', hash = 'sha256:0000000000000000000000000000000000000000000000000000000000000001' } } }";

struct house {
    char folder[64], *text;
    struct event_base *base;
    struct lun_log log;                 /* nowhere */
    struct lun_config_source source;
    struct lun_gateway *gateway;
    int told, status, n_warnings; bool changed, kept; char error[300];      /* of the last change */
    int held;
};

static const char *const nothing[] = { NULL };
static const struct lun_file script = { "a.lua", "return function() return { text = 'hi' } end", 44 };

static void open_house(struct house *h)
{
    struct lun_mistakes mistakes = {0};
    char *error = NULL;
    h->base = event_base_new();
    h->source = (struct lun_config_source){ .name = "gateway.lua", .text = h->text, .n = strlen(h->text),
                                            .options = { .environment = nothing, .cpu = LUN_CPU_STEPS, .files = &script, .n_files = 1 } };
    h->gateway = lun_gateway_new(&(struct lun_gateway_options){ .log = &h->log, .source = &h->source, .base = h->base, .limits = LUN_BY_COUNT }, &mistakes, &error);
    if (!h->gateway) fail_msg("%s", mistakes.n ? mistakes.items[0].what : error);
    lun_mistakes_free(&mistakes);
}

static void close_house(struct house *h)
{
    lun_gateway_free(h->gateway);
    event_base_free(h->base);
}

static int set_up(void **state)
{
    struct house *h = *state = lun_zalloc(sizeof *h);
    strcpy(h->folder, "/tmp/lunette-keys-XXXXXX");
    if (!mkdtemp(h->folder)) return -1;
    h->text = lun_printf(config, h->folder);
    open_house(h);
    return 0;
}

static int tear_down(void **state)
{
    struct house *h = *state;
    close_house(h);
    char *command = lun_printf("rm -rf '%s'", h->folder);
    int status = system(command);
    free(command), free(h->text), free(h);
    return status;
}

static void told(void *self, const struct lun_change_result *r)
{
    struct house *h = self;
    h->told++;
    h->status = r->status, h->changed = r->changed, h->kept = r->kept, h->n_warnings = r->warnings.n;
    snprintf(h->error, sizeof h->error, "%s", r->errors.n ? r->errors.at[0] : "");
}

/* A key that another gateway made, told as text, as gateways tell it each other. */
static void learn(struct house *h, const struct lun_key *l)
{
    struct lun_key *made = lun_key_new(l), *got;
    struct lun_buf text = {0};
    struct lun_json json;
    char *why;
    int before = h->told;
    lun_key_put(&text, made);
    assert_true(lun_json_check(text.at, text.n, &json, NULL));
    got = lun_key_read(json, &why);
    if (!got) fail_msg("%s", why);
    lun_reactor_enter(lun_gateway_reactor(h->gateway));
    lun_changes_learn_keys(lun_gateway_changes(h->gateway), "redis", &got, 1, told, h);
    lun_reactor_leave_later(lun_gateway_reactor(h->gateway));
    while (h->told == before) assert_int_equal(event_base_loop(h->base, EVLOOP_ONCE), 0);
    lun_key_unref(made), lun_key_unref(got);
    lun_buf_free(&text);
}

/* Whether that text may ask, as the worker sees it. */
static const char *admits(struct house *h, const char *text)
{
    struct lun_admitted who;
    struct lun_error error;
    bool good = lun_admission_key(lun_worker_station(lun_gateway_worker(h->gateway, 0)), text, strlen(text), &who, &error);
    if (good) assert_true(who.rule->state && who.rule->account);
    return good ? who.rule->name : error.message;
}

static void what_another_gateway_made_is_in_force_and_kept(void **state)
{
    struct house *h = *state;
    struct lun_key l = like("app", "sk-lun-app");
    l.fields = "{\"models\":[\"m\"],\"team\":\"elsewhere\"}", l.team = "elsewhere";
    learn(h, &l);
    assert_int_equal(h->status, 200);
    assert_true(h->changed && h->kept);
    assert_non_null(strstr(admits(h, "sk-lun-app"), "The team of this key"));      /* this gateway does not have it: its limit is not known */
    l.fields = "{\"models\":[\"m\"]}", l.team = NULL, l.version = 2;
    learn(h, &l);
    assert_string_equal(admits(h, "sk-lun-app"), "app");
    close_house(h);
    open_house(h);
    assert_string_equal(admits(h, "sk-lun-app"), "app");
}

static void what_is_older_changes_nothing(void **state)
{
    struct house *h = *state;
    struct lun_key l = like("app", "sk-lun-app");
    l.version = 3;
    learn(h, &l);
    l.version = 2, l.now = digest_of("sk-lun-old", LUN_NEVER);
    learn(h, &l);
    assert_int_equal(h->status, 200);
    assert_false(h->changed);
    assert_string_equal(admits(h, "sk-lun-app"), "app");
    assert_string_equal(admits(h, "sk-lun-old"), "The key is not known here.");
}

static void a_revocation_ends_a_key_whatever_changed_here(void **state)
{
    struct house *h = *state;
    struct lun_key l = like("app", "sk-lun-app");
    learn(h, &l);
    l.version = 9;
    learn(h, &l);
    l.version = 2, l.revoked = 5;
    learn(h, &l);
    assert_true(h->changed);
    assert_non_null(strstr(admits(h, "sk-lun-app"), "was revoked"));
    close_house(h);
    open_house(h);
    assert_non_null(strstr(admits(h, "sk-lun-app"), "was revoked"));
}

static void a_revocation_that_cannot_be_written_ends_it_all_the_same(void **state)
{
    struct house *h = *state;
    struct lun_key l = like("app", "sk-lun-app");
    const char *why;
    learn(h, &l);
    char *path = lun_printf("%s/keys.json.new", h->folder);
    assert_true(lun_folder_make(path, &why));
    l.version = 2, l.revoked = 5;
    learn(h, &l);
    assert_int_equal(h->status, 503);
    assert_non_null(strstr(h->error, "cannot be written down"));
    assert_non_null(strstr(admits(h, "sk-lun-app"), "was revoked"));
    assert_int_equal(rmdir(path), 0);
    free(path);
}

static void a_name_that_stands_in_the_file_too_is_warned_of(void **state)
{
    struct house *h = *state;
    struct lun_key l = like("filed", "sk-lun-app");
    learn(h, &l);
    assert_int_equal(h->status, 200);
    assert_int_equal(h->n_warnings, 1);
}

/* ---- who waits until none is under way ---- */

static void let_go(void *self)
{
    struct house *h = self;
    h->held++;
    lun_changes_go_on(lun_gateway_changes(h->gateway));
}

/* The first change, that of the start, is under way yet. */
static void hold(struct house *h)
{
    lun_reactor_enter(lun_gateway_reactor(h->gateway));
    lun_changes_hold(lun_gateway_changes(h->gateway), let_go, h);
    assert_int_equal(h->held, 0);
}

static void who_holds_and_lets_go_at_once_loses_no_change_and_doubles_none(void **state)
{
    struct house *h = *state;
    hold(h);
    for (int i = 0; i < 3; i++) lun_changes_rollback(lun_gateway_changes(h->gateway), "me", "why", told, h);
    lun_reactor_leave_later(lun_gateway_reactor(h->gateway));
    while (h->told < 3) assert_int_equal(event_base_loop(h->base, EVLOOP_ONCE), 0);
    event_base_loop(h->base, EVLOOP_NONBLOCK);
    assert_int_equal(h->told, 3);
    assert_int_equal(h->held, 1);
    assert_int_equal(h->status, 409);
}

static void nobody_who_waits_is_called_when_the_gateway_stops(void **state)
{
    struct house *h = *state;
    hold(h);
    lun_gateway_stop(h->gateway, 0);
    lun_changes_rollback(lun_gateway_changes(h->gateway), "me", "why", told, h);
    lun_reactor_leave_later(lun_gateway_reactor(h->gateway));
    while (!h->told) assert_int_equal(event_base_loop(h->base, EVLOOP_ONCE), 0);
    assert_int_equal(h->status, 503);
    assert_int_equal(h->held, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_another_gateway_made_is_in_force_and_kept, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_older_changes_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_revocation_ends_a_key_whatever_changed_here, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_revocation_that_cannot_be_written_ends_it_all_the_same, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_name_that_stands_in_the_file_too_is_warned_of, set_up, tear_down),
        cmocka_unit_test_setup_teardown(who_holds_and_lets_go_at_once_loses_no_change_and_doubles_none, set_up, tear_down),
        cmocka_unit_test_setup_teardown(nobody_who_waits_is_called_when_the_gateway_stops, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
