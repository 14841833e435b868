/* Scripted providers: a function that says, per request, what a provider does (lua/scenario.lua has the fields). Here are the words for that,
 * and the usual source of it, a Lua file in a sandboxed machine of its own; who plays it (a socket, a loop on virtual time) is above.
 * One thread at a time. */
#ifndef LUN_SCRIPT_SCENARIO_H
#define LUN_SCRIPT_SCENARIO_H
#include "base/arena.h"
#include "base/http.h"
#include "state/outcome.h"
#include "state/snapshot.h"
#include <lua.h>

/* ---- what is played ---- */

struct lun_scene_request {
    const struct lun_provider *provider;        /* who is asked; NULL: whoever listens */
    const char *method, *path;          /* path without /v1 */
    const struct lun_pair *headers; int n_headers;
    const char *body; size_t n;
};
enum lun_cut { LUN_CUT_NONE, LUN_CUT_FIN, LUN_CUT_RST, LUN_CUT_CHUNK };
struct lun_scene {                      /* in the arena */
    int status;
    const struct lun_pair *headers; int n_headers;
    bool stream;                        /* pieces are events, sent in chunks; otherwise one whole body */
    const struct lun_slice *pieces; int n_pieces;
    lun_us after, every;
    enum lun_cut cut; int64_t cut_at;   /* cut_at: bytes of a whole body; -1: half */
    lun_us stall;                       /* at the end of what is given; LUN_NEVER: for ever; 0: not */
    bool headless;                      /* cut before any head */
    bool close;                         /* the connection, after a clean end */
    enum lun_kind fail;                 /* LUN_KIND_OK: it does not */
    struct lun_slice all;               /* the whole body: pieces put together */
};

/* Where scenes come from. */
struct lun_scenes {
    void *self;
    /* What the provider does with this request. False: it cannot be told; *error (in the arena, or static) says why, and is NULL where
     * nothing is known of that provider. */
    bool (*play)(void *self, const struct lun_scene_request *, struct lun_arena *, struct lun_scene *, const char **error);
};

/* How many bytes of a whole body go out before it is cut; all of them when it is not. */
size_t lun_scene_cut_at(const struct lun_scene *);

/* Between a scene and Lua: pushes the table that a script is given, as far as C knows it; reads, raw, what lua/scenario.lua made of the
 * script's answer and that stands at `index`. Any Lua state. */
void lun_scene_push(lua_State *L, const struct lun_scene_request *);
void lun_scene_read(lua_State *L, int index, struct lun_arena *, struct lun_scene *);

/* ---- files ---- */

struct lun_scenario;
/* NULL: `error` (yours to free) says what, with file and line. `wall`: what os.time says (NULL: the system's). */
struct lun_scenario *lun_scenario_new(const char *name, const char *text, size_t n, lun_us (*wall)(void *), void *wall_self, char **error);
void lun_scenario_free(struct lun_scenario *);      /* NULL is fine */
/* As `play` above, whatever the provider. */
bool lun_scenario_play(struct lun_scenario *, const struct lun_scene_request *, struct lun_arena *, struct lun_scene *, const char **error);

/* Those of a snapshot's providers that have a script of their own. */
struct lun_scenarios;
struct lun_scenarios *lun_scenarios_new(const struct lun_snapshot *, lun_us (*wall)(void *), void *wall_self, char **error);
void lun_scenarios_free(struct lun_scenarios *);    /* NULL is fine */
struct lun_scenes lun_scenarios_scenes(struct lun_scenarios *);
#endif
