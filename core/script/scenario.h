/* Scripted providers: a Lua file that says, per request, what a provider does (lua/scenario.lua has the fields). Here it is run in a sandboxed
 * machine of its own; who plays it (a socket, a loop on virtual time) is above. One thread at a time. */
#ifndef LUN_SCRIPT_SCENARIO_H
#define LUN_SCRIPT_SCENARIO_H
#include "base/arena.h"
#include "base/http.h"
#include "state/outcome.h"
#include "state/snapshot.h"

struct lun_scenario;
/* NULL: `error` (yours to free) says what, with file and line. `wall`: what os.time says (NULL: the system's). */
struct lun_scenario *lun_scenario_new(const char *name, const char *text, size_t n, lun_us (*wall)(void *), void *wall_self, char **error);
void lun_scenario_free(struct lun_scenario *);      /* NULL is fine */
int  lun_scenario_count(const struct lun_scenario *);       /* requests it has got so far */

struct lun_scene_request {
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
/* What it does with this request. False: the script failed, *error (in the arena) says how. */
bool lun_scenario_play(struct lun_scenario *, const struct lun_scene_request *, struct lun_arena *, struct lun_scene *, const char **error);

/* How many bytes of a whole body go out before it is cut; all of them when it is not. */
size_t lun_scene_cut_at(const struct lun_scene *);
#endif
