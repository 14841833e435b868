#include "gateway/carrier_script.h"
#include "base/alloc.h"
#include "base/loop.h"
#include <stdlib.h>
#include <string.h>

struct script_carrier {
    struct lun_carrier carrier;
    struct lun_loop *loop;
    struct lun_scenes scenes;
    struct lun_snapshot *newest;        /* whose keys are shown; NULL: each provider's own */
};
struct carried {
    struct lun_timer timer;
    struct script_carrier *of;
    const struct lun_ear *ear; void *ear_self;
    struct lun_arena arena;
    struct lun_scene scene;
    const char *error;
    enum { AT_HEAD, AT_PIECE, AT_END, AT_OVER } at;
    int piece;
    bool paused;
    lun_us due;                         /* of the next thing, if nobody holds it */
};

static void next_at(struct carried *c, lun_us wait)
{
    c->due = wait == LUN_NEVER ? LUN_NEVER : c->of->loop->now + wait;
    lun_timer_set(c->of->loop, &c->timer, c->paused ? LUN_NEVER : c->due);
}

/* A whole body, as much of it as is not cut off, in one piece. */
static void say_piece(struct carried *c)
{
    if (c->scene.stream) c->ear->bytes(c->ear_self, c->scene.pieces[c->piece].at, c->scene.pieces[c->piece].n);
    else c->ear->bytes(c->ear_self, c->scene.all.at, lun_scene_cut_at(&c->scene));
    c->piece++;
}

static void say_head(struct carried *c)
{
    const struct lun_scene *s = &c->scene;
    struct lun_pair *headers = lun_arena_alloc(&c->arena, (size_t)(s->n_headers + 1) * sizeof *headers);
    for (int i = 0; i < s->n_headers; i++) {            /* as they would come from a socket */
        headers[i] = (struct lun_pair){ lun_http_lower(lun_arena_strdup(&c->arena, s->headers[i].name)), s->headers[i].value };
    }
    c->ear->head(c->ear_self, &(struct lun_answer_head){ .status = s->status, .headers = headers, .n_headers = s->n_headers });
}

static void end(struct carried *c, enum lun_kind kind, const char *detail)
{
    c->at = AT_OVER;
    lun_timer_set(c->of->loop, &c->timer, LUN_NEVER);
    c->ear->end(c->ear_self, kind, detail);
}

static int pieces(const struct lun_scene *s) { return s->stream ? s->n_pieces : s->n_pieces > 0; }

static void begin(struct carried *c)
{
    const struct lun_scene *s = &c->scene;
    if (c->error) { end(c, LUN_KIND_BAD_ANSWER, c->error); return; }
    if (s->fail) { end(c, s->fail, lun_kind_text(s->fail)); return; }
    if (s->headless) { end(c, LUN_KIND_RESET, "the script cut the connection"); return; }
    say_head(c);
    bool silent = !s->stream && s->stall;               /* head, then nothing */
    c->at = pieces(s) && !silent ? AT_PIECE : AT_END;
    next_at(c, c->at == AT_END ? s->stall : 0);
}

static void go_on(struct carried *c)
{
    const struct lun_scene *s = &c->scene;
    say_piece(c);
    if (c->piece < pieces(s)) { next_at(c, s->every); return; }
    c->at = AT_END;
    next_at(c, s->stall);
}

static void conclude(struct carried *c)
{
    if (!c->scene.stream && c->piece < pieces(&c->scene)) say_piece(c);     /* it had stalled after the head */
    if (c->scene.cut) end(c, LUN_KIND_CUT, "the script cut the answer");
    else end(c, LUN_KIND_OK, "");
}

static void fire(struct lun_timer *t)
{
    struct carried *c = (struct carried *)t;
    switch (c->at) {
    case AT_HEAD: begin(c); break;
    case AT_PIECE: go_on(c); break;
    case AT_END: conclude(c); break;
    case AT_OVER: break;
    }
}

static struct lun_buf body_of(const struct lun_letter *letter)
{
    struct lun_buf b = {0};
    for (int i = 0; i < letter->n_body; i++) lun_buf_add(&b, letter->body[i].at, letter->body[i].n);
    return b;
}

static void play(struct carried *c, const struct lun_provider *provider, int key, const struct lun_letter *letter)
{
    struct lun_buf body = body_of(letter);
    struct lun_pair headers[LUN_LETTER_HEADERS + 1];
    int n = 0;
    for (; n < letter->n_headers && n < LUN_LETTER_HEADERS; n++) headers[n] = letter->headers[n];
    if (key >= 0) headers[n++] = (struct lun_pair){ letter->key_header, lun_arena_printf(&c->arena, "%s%s", letter->key_prefix, lun_snapshot_key(c->of->newest, provider, key)) };
    struct lun_scene_request request = { .provider = provider, .method = letter->method, .path = letter->path, .headers = headers, .n_headers = n, .body = body.at, .n = body.n };
    if (!c->of->scenes.play(c->of->scenes.self, &request, &c->arena, &c->scene, &c->error) && !c->error) c->error = "there is no script for this provider";
    lun_buf_free(&body);
}

static void *send_letter(void *self, const struct lun_provider *provider, int key, lun_us connect_timeout, const struct lun_letter *letter,
                         const struct lun_ear *ear, void *ear_self)
{
    struct carried *c = lun_zalloc(sizeof *c);
    (void)connect_timeout;
    *c = (struct carried){ .timer.fire = fire, .of = self, .ear = ear, .ear_self = ear_self };
    play(c, provider, key, letter);
    next_at(c, c->scene.after);
    return c;
}

static void hold(void *carried, bool paused)
{
    struct carried *c = carried;
    c->paused = paused;
    if (c->at == AT_OVER) return;
    lun_timer_set(c->of->loop, &c->timer, paused ? LUN_NEVER : c->due);
}

static void finish(void *carried)
{
    struct carried *c = carried;
    lun_timer_set(c->of->loop, &c->timer, LUN_NEVER);
    lun_arena_free(&c->arena);
    free(c);
}

struct lun_carrier *lun_carrier_scenes_new(struct lun_loop *loop, struct lun_scenes scenes)
{
    struct script_carrier *u = lun_zalloc(sizeof *u);
    *u = (struct script_carrier){ .carrier = { u, send_letter, hold, finish }, .loop = loop, .scenes = scenes };
    return &u->carrier;
}

void lun_carrier_script_renew(struct lun_carrier *carrier, struct lun_snapshot *newest)
{
    struct script_carrier *u = carrier->self;
    lun_snapshot_unref(u->newest);
    u->newest = lun_snapshot_ref(newest);
}

void lun_carrier_script_free(struct lun_carrier *carrier)
{
    if (!carrier) return;
    struct script_carrier *u = carrier->self;
    lun_snapshot_unref(u->newest);
    free(u);
}
