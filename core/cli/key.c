#include "cli/amount.h"
#include "cli/cli.h"
#include "base/alloc.h"
#include "base/http.h"
#include "base/text.h"
#include "cli/print.h"
#include "cli/remote.h"
#include "cli/table.h"
#include "script/settings.h"
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

const char lun_usage_key[] =
    "usage: lunette key list [--admin ADDR] [--json]\n"
    "       lunette key show NAME\n"
    "       lunette key create NAME [FIELD=VALUE…] [--anew]\n"
    "       lunette key change NAME FIELD=VALUE…\n"
    "       lunette key rotate NAME [--keep TIME]\n"
    "       lunette key revoke NAME\n"
    "\n"
    "Keys of a running gateway: who may ask. Those of gateway.lua are shown, and changed there. `create` and `rotate` print the new key's text, which is\n"
    "told this once and kept nowhere; all else that they say goes to stderr. What changes is in force on all workers, and on the disk, when the command\n"
    "ends. `revoke` is for good: the name stays taken, for what was spent belongs to it. `show` exits 1 where the key is not valid.\n"
    "\n"
    "A FIELD is one that an entry of `clients` may have, and `expires`. An empty value takes it away.\n"
    "  team=web class=batch task=mail     as in gateway.lua\n"
    "  models=gpt-*,deepseek-v3.2         a list, with commas; trust=task,tags too\n"
    "  requests_per_minute=60 substitute=false expose=false\n"
    "  budget.limit=5 budget.per=day budget.soft=0.8\n"
    "  tags.tier=premium\n"
    "  expires=30d                        from now: a number with s, m, h or d; or 2027-01-31T12:00:00Z\n"
    "\n"
    "  --anew         makes a key of a name that was revoked\n"
    "  --keep TIME    how long the text before stays valid: 24h, unless said otherwise; 0: it ends at once\n"
    LUN_REMOTE_HELP;

static const char path[] = "/admin/keys";

/* ---- what is shown ---- */

static void put_list(struct lun_buf *out, struct lun_json list)
{
    for (struct lun_json_each e = lun_json_each(list); lun_json_next(&e); ) {
        if (e.index) lun_buf_puts(out, ", ");
        if (lun_json_type(e.value) == LUN_JSON_OBJECT) {
            lun_remote_put(out, lun_json_get(e.value, "hint"));
            lun_buf_puts(out, "… until "), lun_remote_put(out, lun_json_get(e.value, "until"));
        } else lun_remote_put(out, e.value);
    }
}

static void put_object(struct lun_buf *out, struct lun_json object)
{
    for (struct lun_json_each e = lun_json_each(object); lun_json_next(&e); ) {
        if (e.index) lun_buf_putc(out, ' ');
        lun_remote_put(out, e.key);
        lun_buf_putc(out, '=');
        lun_remote_put(out, e.value);
    }
}

static void put_value(struct lun_buf *out, struct lun_json v)
{
    if (lun_json_type(v) == LUN_JSON_ARRAY) put_list(out, v);
    else if (lun_json_type(v) == LUN_JSON_OBJECT) put_object(out, v);
    else lun_remote_put(out, v);
}

static void put_models(struct lun_buf *out, struct lun_json row) { put_value(out, lun_json_get(row, "models")); }

static void put_budget(struct lun_buf *out, struct lun_json row)
{
    struct lun_json budget = lun_json_get(row, "budget");
    if (!budget.n) return;
    lun_remote_put(out, lun_json_get(budget, "limit"));
    lun_buf_puts(out, " a ");
    if (lun_json_get(budget, "per").n) lun_remote_put(out, lun_json_get(budget, "per"));
    else lun_buf_puts(out, "month");
}

static const struct lun_column columns[] = {
    { "key", "name" }, { "state", "state" }, { "from", "from" }, { "begins", "hint" }, { "team", "team" }, { .head = "models", .put = put_models },
    { "per minute", "requests_per_minute" }, { .head = "USD", .put = put_budget }, { "expires", "expires" } };

static void put_key(struct lun_buf *out, struct lun_json key)
{
    for (struct lun_json_each e = lun_json_each(key); lun_json_next(&e); ) {
        size_t before = out->n;
        if (!lun_json_count(e.value) && (lun_json_type(e.value) == LUN_JSON_ARRAY || lun_json_type(e.value) == LUN_JSON_OBJECT)) continue;
        lun_remote_put(out, e.key);
        lun_buf_printf(out, "%*s", (int)(22 - (out->n - before) % 22), "");
        put_value(out, e.value);
        lun_buf_putc(out, '\n');
    }
}

static int list(const struct lun_remote *r, bool json)
{
    struct lun_remote_answer answer;
    struct lun_buf out = {0};
    int status = lun_remote_get(r, path, json, &answer);
    struct lun_json keys = lun_json_get(answer.json, "keys");
    if (json) lun_remote_print_json(&answer);
    else if (!status && lun_json_count(keys)) lun_table_put(&out, keys, columns, sizeof columns / sizeof *columns);
    else if (!status) lun_buf_puts(&out, "There are no keys.\n");
    lun_print(&out, stdout);
    lun_remote_answer_free(&answer);
    return status;
}

/* ---- what is asked ---- */

/* The path of a key, with what follows it; yours to free. */
static char *path_of(const char *name, const char *rest)
{
    struct lun_buf out = {0};
    lun_buf_printf(&out, "%s/", path);
    lun_http_escape(&out, name, "-._~");
    lun_buf_puts(&out, rest);
    return lun_buf_text(&out);
}

static bool is_literal(const char *value, bool number)
{
    struct lun_json v;
    if (!lun_json_check(value, strlen(value), &v, NULL) || v.n != strlen(value)) return false;
    enum lun_json_type type = lun_json_type(v);
    return type == LUN_JSON_TRUE || type == LUN_JSON_FALSE || (number && type == LUN_JSON_NUMBER);
}

static void put_texts(struct lun_buf *out, const char *value)
{
    lun_buf_putc(out, '[');
    for (size_t n; ; value += n + 1) {
        n = strcspn(value, ",");
        lun_json_put_string(out, value, n);
        if (!value[n]) break;
        lun_buf_putc(out, ',');
    }
    lun_buf_putc(out, ']');
}

static void put_expires(struct lun_buf *out, const char *value)
{
    double seconds = lun_amount_seconds(value);
    if (seconds >= 0) lun_json_put_number(out, seconds);
    else lun_json_put_text(out, value);
}

/* As the setting's own type; what cannot be that stays a text, and the gateway says what it must be. */
static void put_field(struct lun_buf *out, const struct lun_setting *s, const char *value)
{
    bool list_wanted = s && (s->type == LUN_TEXTS || s->type == LUN_WORDS);
    bool literal = s && s->type != LUN_TEXT && s->type != LUN_CHOICE;
    if (!*value) lun_buf_puts(out, "null");
    else if (list_wanted) put_texts(out, value);
    else if (literal && is_literal(value, true)) lun_buf_puts(out, value);
    else lun_json_put_text(out, value);
}

struct said { const char *name, *dot, *equals; };       /* "budget.limit=5": where its parts begin; dot NULL: there is none */

static bool read_said(const char *text, struct said *s)
{
    s->name = text;
    s->equals = strchr(text, '=');
    s->dot = s->equals ? memchr(text, '.', (size_t)(s->equals - text)) : NULL;
    return s->equals && s->equals != text && s->dot != text && (!s->dot || s->dot + 1 != s->equals);
}

static char *part(const char *from, const char *to) { return lun_strndup(from, (size_t)(to - from)); }

static char *head_of(const struct said *s) { return part(s->name, s->dot ? s->dot : s->equals); }

/* All `head.x=…` as one object. */
static void put_inside(struct lun_buf *out, const char *head, char *const *all, int n)
{
    const struct lun_setting *table = lun_setting_find(LUN_SCOPE_CLIENT, head);
    lun_buf_putc(out, '{');
    for (int i = 0; i < n; i++) {
        struct said s;
        if (!read_said(all[i], &s) || !s.dot) continue;
        char *own = head_of(&s), *name = part(s.dot + 1, s.equals);
        const struct lun_setting *inside = table && table->type == LUN_TABLE ? lun_setting_find(table->inside, name) : NULL;
        if (!strcmp(own, head)) lun_json_put_key(out, name), put_field(out, inside, s.equals + 1);
        free(own), free(name);
    }
    lun_buf_putc(out, '}');
}

static bool was_said(const char *head, char *const *all, int n)
{
    size_t length = strlen(head);
    for (int i = 0; i < n; i++) if (!strncmp(all[i], head, length) && (all[i][length] == '.' || all[i][length] == '=')) return true;
    return false;
}

static void put_said(struct lun_buf *out, char *const *all, int n)
{
    for (int i = 0; i < n; i++) {
        struct said s;
        if (!read_said(all[i], &s)) continue;
        char *head = head_of(&s);
        if (!was_said(head, all, i)) {
            lun_json_put_key(out, head);
            if (s.dot) put_inside(out, head, all, n);
            else if (!strcmp(head, "expires") && s.equals[1]) put_expires(out, s.equals + 1);
            else put_field(out, lun_setting_find(LUN_SCOPE_CLIENT, head), s.equals + 1);
        }
        free(head);
    }
}

static bool are_fields(char *const *all, int n)
{
    for (int i = 0; i < n; i++) {
        struct said s, before;
        if (!read_said(all[i], &s)) return fprintf(stderr, "lunette key: `%s` is not field=value\n", all[i]), false;
        if (!lun_text_valid(all[i], strlen(all[i]))) return fprintf(stderr, "lunette key: one of the fields is not UTF-8 text\n"), false;
        for (int k = 0; k < i; k++) {
            read_said(all[k], &before);
            char *head = head_of(&s), *other = head_of(&before);
            size_t length = (size_t)(s.equals - s.name);
            bool same = (size_t)(before.equals - before.name) == length && !strncmp(s.name, before.name, length);
            bool twice = !strcmp(head, other) && (same || !s.dot || !before.dot);
            free(head), free(other);
            if (twice) return fprintf(stderr, "lunette key: `%s`: that field was named before\n", all[i]), false;
        }
    }
    return true;
}

/* ---- telling ---- */

static void print_warnings(struct lun_remote_answer *a)
{
    struct lun_buf out = {0};
    lun_remote_put_warnings(&out, a->json);
    lun_print(&out, stderr);
}

/* The text alone on stdout, so that a script can take it from there. */
static void print_made(struct lun_remote_answer *a, struct lun_json text)
{
    struct lun_buf out = {0}, about = {0};
    struct lun_json key = lun_json_get(a->json, "key");
    lun_remote_put(&out, text);
    lun_buf_putc(&out, '\n');
    fwrite(out.at, 1, out.n, stdout);
    explicit_bzero(out.at, out.n);
    lun_buf_free(&out);
    put_key(&about, key);
    lun_buf_puts(&about, "The text is shown this once: keep it where secrets are kept.\n");
    lun_print(&about, stderr);
}

static int tell(const struct lun_remote *r, const char *method, char *where, const struct lun_buf *body, bool json)
{
    struct lun_remote_answer answer;
    struct lun_buf out = {0};
    int status = lun_remote_tell(r, method, where, body, json, &answer);
    struct lun_json text = lun_json_get(answer.json, "text");
    if (json) lun_remote_print_json(&answer);
    else if (!status && text.n) print_made(&answer, text);
    else if (!status) put_key(&out, lun_json_get(answer.json, "key"));
    if (!status && !json) print_warnings(&answer);
    lun_print(&out, stdout);
    if (answer.text.n) explicit_bzero(answer.text.at, answer.text.n);
    lun_remote_answer_free(&answer);
    free(where);
    return status;
}

static int show(const struct lun_remote *r, const char *name, bool json)
{
    struct lun_remote_answer answer;
    struct lun_buf out = {0};
    char *where = path_of(name, "");
    int status = lun_remote_get(r, where, json, &answer);
    struct lun_json key = lun_json_get(answer.json, "key");
    if (json) lun_remote_print_json(&answer);
    else if (!status) put_key(&out, key);
    if (!status) status = !lun_json_is(lun_json_get(key, "state"), "valid");
    lun_print(&out, stdout);
    lun_remote_answer_free(&answer);
    free(where);
    return status;
}

static int say(const struct lun_remote *r, const char *name, char *const *fields, int n, bool change, bool anew, bool json)
{
    struct lun_buf body = {0};
    lun_buf_putc(&body, '{');
    if (!change) lun_json_member_text(&body, "name", name);
    if (anew) lun_json_member_bool(&body, "anew", true);
    put_said(&body, fields, n);
    lun_buf_putc(&body, '}');
    int status = tell(r, change ? "PATCH" : "POST", change ? path_of(name, "") : lun_strdup(path), &body, json);
    lun_buf_free(&body);
    return status;
}

static int rotate(const struct lun_remote *r, const char *name, const char *keep, bool json)
{
    struct lun_buf body = {0};
    lun_buf_putc(&body, '{');
    if (keep) lun_json_member_number(&body, "keep", lun_amount_seconds(keep));
    lun_buf_putc(&body, '}');
    int status = tell(r, "POST", path_of(name, "/rotate"), &body, json);
    lun_buf_free(&body);
    return status;
}

/* ---- arguments ---- */

enum verb { LIST, SHOW, CREATE, CHANGE, ROTATE, REVOKE, VERBS };
static const char *const verbs[VERBS] = { "list", "show", "create", "change", "rotate", "revoke" };
struct wish { const char *admin, *keep; bool json, anew; char **list; int n; };

static enum verb verb_of(const char *text)
{
    int i = 0;
    while (i < VERBS && strcmp(verbs[i], text)) i++;
    return (enum verb)i;
}

static bool is_name(const char *text) { return *text && !strchr(text, '=') && lun_text_valid(text, strlen(text)); }

static bool is_right(enum verb verb, const struct wish *w)
{
    bool fields = verb == CREATE || verb == CHANGE;
    if (verb == VERBS) {
        const char *near = w->n ? lun_text_nearest(w->list[0], verbs, VERBS) : NULL;
        if (near) fprintf(stderr, "lunette key: there is no `%s`; did you mean `%s`?\n", w->list[0], near);
        else fputs(lun_usage_key, stderr);
        return false;
    }
    if (verb == LIST ? w->n > 1 : fields ? w->n < 2 + (verb == CHANGE) : w->n != 2) return fputs(lun_usage_key, stderr), false;
    if (w->n > 1 && !is_name(w->list[1])) return fprintf(stderr, "lunette key: a name is wanted behind `%s`\n", verbs[verb]), false;
    if (w->keep && verb != ROTATE) return fprintf(stderr, "lunette key: --keep belongs to rotate\n"), false;
    if (w->anew && verb != CREATE) return fprintf(stderr, "lunette key: --anew belongs to create\n"), false;
    if (w->keep && lun_amount_seconds(w->keep) < 0) return fprintf(stderr, "lunette key: --keep wants a time: 24h, 30m, 0\n"), false;
    return !fields || are_fields(w->list + 2, w->n - 2);
}

static int carry_out(const struct lun_remote *r, enum verb verb, const struct wish *w)
{
    const char *name = w->n > 1 ? w->list[1] : NULL;
    switch (verb) {
    case LIST:   return list(r, w->json);
    case SHOW:   return show(r, name, w->json);
    case ROTATE: return rotate(r, name, w->keep, w->json);
    case REVOKE: return tell(r, "DELETE", path_of(name, ""), NULL, w->json);
    default:     return say(r, name, w->list + 2, w->n - 2, verb == CHANGE, w->anew, w->json);
    }
}

int lun_command_key(int argc, char **argv)
{
    static const struct option options[] = { { "anew", no_argument, NULL, 'n' }, { "keep", required_argument, NULL, 'k' }, { "admin", required_argument, NULL, 'a' },
        { "json", no_argument, NULL, 'j' }, { "help", no_argument, NULL, 'h' }, { 0 } };
    struct lun_remote remote;
    struct wish w = {0};
    for (int c; (c = getopt_long(argc, argv, "h", options, NULL)) != -1; ) {
        if (c == 'h') return fputs(lun_usage_key, stdout) < 0;
        if (c == '?') return fputs(lun_usage_key, stderr), 2;
        if (c == 'a') w.admin = optarg;
        if (c == 'k') w.keep = optarg;
        w.json |= c == 'j';
        w.anew |= c == 'n';
    }
    w.list = argv + optind, w.n = argc - optind;
    enum verb verb = w.n ? verb_of(w.list[0]) : VERBS;
    if (!is_right(verb, &w)) return 2;
    int status = lun_remote_open(&remote, "key", w.admin);
    if (!status) status = carry_out(&remote, verb, &w);
    lun_remote_free(&remote);
    return status;
}
