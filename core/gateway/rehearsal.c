#include "gateway/rehearsal.h"
#include "base/alloc.h"
#include "gateway/simulate.h"
#include "gateway/station.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- what is asked ---- */

#define SAID(text)  "\"messages\":[{\"role\":\"user\",\"content\":" text "}]"
#define TOOLS       ",\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"look\",\"parameters\":{\"type\":\"object\"}}}]"
#define DIALOGUE    "\"messages\":[{\"role\":\"system\",\"content\":\"You help.\"},{\"role\":\"user\",\"content\":\"Why is the sky blue?\"}," \
                    "{\"role\":\"assistant\",\"content\":\"Because of Rayleigh.\"},{\"role\":\"user\",\"content\":\"So what colour is it at dusk?\"}]"
#define PICTURE     SAID("[{\"type\":\"text\",\"text\":\"What is this?\"},{\"type\":\"image_url\",\"image_url\":{\"url\":\"data:image/png;base64,AAAA\"}}]")

static const struct sample { const char *name; enum lun_endpoint endpoint; const char *body; } samples[] = {
    { "a chat request",             LUN_ENDPOINT_CHAT, SAID("\"Hello!\"") },
    { "a stream",                   LUN_ENDPOINT_CHAT, "\"stream\":true," SAID("\"Hello!\"") },
    { "a chat request with code",   LUN_ENDPOINT_CHAT, SAID("\"Fix this:\\n```python\\ndef f(x): return x\\n```\"") },
    { "a conversation with tools",  LUN_ENDPOINT_CHAT, "\"max_tokens\":100,\"user\":\"ann\"," DIALOGUE TOOLS },
    { "a chat request with an image", LUN_ENDPOINT_CHAT, PICTURE },
    { "a chat request without text", LUN_ENDPOINT_CHAT, "\"messages\":[]" },
    { "a completion",               LUN_ENDPOINT_COMPLETIONS, "\"prompt\":\"Once upon a time\"" },
    { "an embedding",               LUN_ENDPOINT_EMBEDDINGS, "\"input\":\"Hello!\"" },
};
enum { SAMPLES = sizeof samples / sizeof *samples };

#define LONG_AFTER (3600 * LUN_SECOND)

/* ---- what providers do ---- */

static const struct mood { const char *name; int status; enum lun_kind fail; const char *finish; bool once; int samples; } moods[] = {
    { "",                                        200, LUN_KIND_OK, "stop", false, SAMPLES },
    { " after a provider's 429",                 429, LUN_KIND_OK, "stop", true, 2 },
    { " while every provider answers 500",       500, LUN_KIND_OK, "stop", false, 2 },
    { " after a provider that says nothing",     200, LUN_KIND_FIRST_BYTE_TIMEOUT, "stop", true, 2 },
    { " whose answer is cut off by its length",  200, LUN_KIND_OK, "length", false, 1 },
};

struct rehearsal {
    struct lun_snapshot *snapshot;
    const char *path;
    void (*wrong)(void *self, const char *what); void *self;
    const struct mood *mood;
    const struct sample *sample;
    int calls;                          /* of this request */
    bool failed[LUN_HOOK_COUNT], any, enough;
};

static struct lun_slice slice(struct lun_arena *a, const char *text)
{
    size_t n = strlen(text);
    return (struct lun_slice){ lun_arena_strndup(a, text, n), n };
}

static void answer_whole(struct lun_scene *scene, struct lun_arena *arena, const char *path, const char *finish)
{
    static const char embedding[] = "{\"object\":\"list\",\"data\":[{\"object\":\"embedding\",\"index\":0,\"embedding\":[0.5]}],\"usage\":{\"prompt_tokens\":3,\"total_tokens\":3}}";
    bool chat = strstr(path, "chat"), embeds = strstr(path, "embeddings");
    const char *body = embeds ? embedding : lun_arena_printf(arena, "{\"id\":\"x\",\"object\":\"chat.completion\",\"choices\":[{\"index\":0,%s,\"finish_reason\":\"%s\"}],"
        "\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":2,\"total_tokens\":5}}", chat ? "\"message\":{\"role\":\"assistant\",\"content\":\"Hello!\"}" : "\"text\":\"Hello!\"", finish);
    struct lun_slice *piece = lun_arena_alloc(arena, sizeof *piece);
    *piece = scene->all = slice(arena, body);
    scene->pieces = piece;
    scene->n_pieces = 1;
}

static void answer_stream(struct lun_scene *scene, struct lun_arena *arena, const char *path, const char *finish)
{
    const char *content = strstr(path, "chat") ? "\"delta\":{\"content\":\"Hello!\"}" : "\"text\":\"Hello!\"", *empty = strstr(path, "chat") ? "\"delta\":{}" : "\"text\":\"\"";
    struct lun_slice *pieces = lun_arena_alloc(arena, 3 * sizeof *pieces);
    pieces[0] = slice(arena, lun_arena_printf(arena, "data: {\"choices\":[{\"index\":0,%s}]}\n\n", content));
    pieces[1] = slice(arena, lun_arena_printf(arena, "data: {\"choices\":[{\"index\":0,%s,\"finish_reason\":\"%s\"}]}\n\n", empty, finish));
    pieces[2] = slice(arena, "data: [DONE]\n\n");
    scene->pieces = pieces;
    scene->n_pieces = 3;
    scene->stream = true;
}

static bool play(void *self, const struct lun_scene_request *request, struct lun_arena *arena, struct lun_scene *scene, const char **error)
{
    struct rehearsal *r = self;
    const struct mood *m = r->mood;
    static const struct lun_pair json[] = { { "content-type", "application/json" } }, events[] = { { "content-type", "text/event-stream" } };
    bool good = m->once && r->calls++ > 0, stream = request->body && memmem(request->body, request->n, "\"stream\":true", 13);
    *error = NULL;
    *scene = (struct lun_scene){ .status = good ? 200 : m->status, .fail = good ? LUN_KIND_OK : m->fail, .headers = json, .n_headers = 1, .cut_at = -1 };
    if (scene->status == 200 && stream) {
        scene->headers = events;
        answer_stream(scene, arena, request->path, m->finish);
    } else if (scene->status == 200) answer_whole(scene, arena, request->path, m->finish);
    else {
        struct lun_slice *piece = lun_arena_alloc(arena, sizeof *piece);
        *piece = scene->all = slice(arena, "{\"error\":{\"message\":\"This is a rehearsal.\"}}");
        scene->pieces = piece;
        scene->n_pieces = 1;
    }
    return true;
}

static void fetch(void *self, const struct lun_wish *wish, struct lun_arena *arena, struct lun_simulated_fetch *out)
{
    (void)self, (void)wish, (void)arena;
    out->result.error = "rehearsal";
}

/* ---- the walks ---- */

/* What stands before the name of a file beside gateway.lua; files of the binary have nothing before theirs. */
static int prefix_of(const struct rehearsal *r, const char *error)
{
    const char *slash = r->path ? strrchr(r->path, '/') : NULL;
    for (int i = 0; slash && i < r->snapshot->n_parts; i++) {
        const struct lun_part *p = &r->snapshot->parts[i];
        size_t n = strlen(p->file.name);
        if (!p->bundled && *p->file.name != '/' && !strncmp(error, p->file.name, n) && error[n] == ':') return (int)(slash + 1 - r->path);
    }
    return 0;
}

static void trouble(void *self, const struct lun_trouble *t)
{
    struct rehearsal *r = self;
    char text[1400];
    r->any = true;
    r->enough |= !strcmp(t->reason, "cpu") || !strcmp(t->reason, "memory");
    if (r->failed[t->hook]) return;
    r->failed[t->hook] = true;
    snprintf(text, sizeof text, "%.*s%s (hook %s, tried with %s%s)", prefix_of(r, t->error), r->path ? r->path : "", t->error, lun_hook_name(t->hook), r->sample->name, r->mood->name);
    r->wrong(r->self, text);
}

/* Somebody of `clients`; where only keys that were made may ask, one like them. */
static const struct lun_client_rule *asker(const struct lun_snapshot *s)
{
    static const struct lun_client_rule sample = { .name = "sample", .substitute = true, .expose = true, .trust = LUN_TRUST_TASK | LUN_TRUST_TAGS, .budget = { .limit = -1 } };
    return s->n_clients ? &s->clients[0] : s->clients_said ? &sample : NULL;
}

static void ask(struct rehearsal *r, struct lun_simulation *s, const char *model)
{
    struct lun_buf body = {0};
    lun_buf_putc(&body, '{');
    lun_json_member_text(&body, "model", model);
    lun_buf_printf(&body, ",%s}", r->sample->body);
    struct lun_simulated_request q = { .endpoint = r->sample->endpoint, .body = body.at, .n = body.n, .client = asker(r->snapshot) };
    r->calls = 0;
    lun_simulation_await(s, lun_simulation_ask(s, &q));
    lun_buf_free(&body);
}

/* The first name in `models` that a client can ask for as it is. */
static const char *named(const struct lun_snapshot *s)
{
    return s->n_models && !s->models[0].pattern ? s->models[0].name : NULL;
}

static void ask_all(struct rehearsal *r, struct lun_simulation *s)
{
    for (size_t m = 0; m < sizeof moods / sizeof *moods; m++) {
        for (int i = 0; i < moods[m].samples && !r->enough; i++) {
            r->mood = &moods[m];
            r->sample = &samples[i];
            ask(r, s, "auto");
            if (i < 2 && named(r->snapshot) && !r->enough) ask(r, s, named(r->snapshot));
        }
        lun_simulation_advance(s, LONG_AFTER);          /* nobody rests any more, rates and retry budgets are full again */
    }
}

bool lun_rehearse(struct lun_snapshot *snapshot, const char *path, void (*wrong)(void *self, const char *what), void *self)
{
    struct rehearsal r = { .snapshot = snapshot, .path = path, .wrong = wrong, .self = self };
    char *error = NULL;
    if (!snapshot->policy.text) return true;
    struct lun_simulation_options options = { .scenes = { &r, play }, .fetch = fetch, .fetch_self = &r, .trouble = trouble, .trouble_self = &r, .rehearsal = true };
    struct lun_simulation *s = lun_simulation_new(lun_snapshot_ref(snapshot), &options, &error);
    if (s) ask_all(&r, s);
    if (s && snapshot->n_canaries) {                    /* the other side of what is asked about them */
        lun_simulation_station(s)->rehearsal_new = true;
        ask_all(&r, s);
    }
    if (!s) wrong(self, error);
    free(error);
    lun_simulation_free(s);
    atomic_store(&snapshot->requests, 0);     /* nobody asked these */
    return s && !r.any;
}
