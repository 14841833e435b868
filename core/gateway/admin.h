/* The admin listener: /metrics, /health, and a small JSON interface to look at a running gateway and change it. Never on the public listener;
 * who may use it is guard.h's affair. */
#ifndef LUN_GATEWAY_ADMIN_H
#define LUN_GATEWAY_ADMIN_H
#include "gateway/books.h"
#include "gateway/changes.h"
#include "gateway/fleet.h"
#include "gateway/shelf.h"

/*  method, path, function, what it does and answers */
#define LUN_ADMIN_PATHS(X) \
    X("GET",  "/",                lun_admin_page, "The dashboard: a page for a browser, which asks for all else; for itself it asks for no token") \
    X("GET",  "/metrics",         metrics,   "Metrics in Prometheus' text form") \
    X("GET",  "/health",          health,    "`{\"status\":\"ok\"}`; asks for no token") \
    X("GET",  "/admin/versions",  versions,  "The last versions, newest first: `version state generation taken by why requests hook_failures`, and where it was taken back `taken_back taken_back_by taken_back_why`; and `shadow`, where there is one. " \
                                             "`state`: `current`; `finishing`: has requests under way; `kept`: can be gone back to; `taken_back`") \
    X("POST", "/admin/reload",    reload,    "Reads the configuration now and answers when every worker has it: `{\"version\":…,\"generation\":…,\"changed\":…,\"from\":…,\"kept\":…,\"restart\":[…],\"warnings\":[…]}`, " \
                                             "or 422 `{\"errors\":[\"policy.lua:4: …\"]}` and nothing has changed. `?force=true` takes a version that was taken back, or whose hooks fail when they are tried") \
    X("POST", "/admin/rollback",  rollback,  "Takes the previous version back, as reload answers; `{\"why\":\"…\"}` is noted. The version that it leaves is not taken again until a file of it changes. 409: there is no earlier one, or another has come since it was asked for") \
    X("GET",  "/admin/shadow",    lun_admin_shadow, "The version that is asked beside the current one, or what became of the last such: see [Shadows](#shadows)") \
    X("POST", "/admin/shadow",    lun_admin_shadow_begin, "Begins with one, of the files as they are now: `{\"seconds\":600,\"share\":1,\"errors\":0.01,\"cost\":0.05,\"requests\":100,\"force\":false}`, all but the first by default so. Answers " \
                                             "once every worker has it: `{\"shadow\":{…},\"warnings\":[…]}`; 409: the files hold the current version, or there is one already; 422: it does not load, or a hook fails when it is tried") \
    X("POST", "/admin/shadow/finish", lun_admin_shadow_finish, "Its time is over now: it is taken over, answered as a reload is, or refused: 422 `{\"errors\":[\"… is not taken over: errors 3 % > 1 %: …\"]}`. 409: there is none") \
    X("DELETE", "/admin/shadow",  lun_admin_shadow_end, "Ends it, and nothing has changed; `{\"why\":\"…\"}` is noted. Answers as POST does, with the figures so far; 409: there is none") \
    X("GET",  "/admin/settings",  settings,  "The policy's settings: `name value default min max choices`, and `from`: the environment variable that says its default") \
    X("POST", "/admin/settings",  set,       "Sets them: `{\"share\":15,\"mode\":\"fast\"}`, null is the default; all or none. Answers `{\"settings\":[{\"name\",\"before\",\"value\"}],\"kept\":…}`, or 422") \
    X("GET",  "/admin/report",    report,    "What was asked for and what came of it, since the process started: see [the report](#the-report); with `?spread=1` how latencies are spread, too") \
    X("GET",  "/admin/events",    lun_admin_events, "Server-sent events, one each second: `data: {\"report\":…,\"providers\":…,\"budgets\":…,\"versions\":…,\"shadow\":…}`, each what its path answers (the report with `?spread=1`, 20 budgets). " \
                                             "It ends when another version is taken over: ask again. 503: 16 listen already; who does not take what he is sent within 10 s is let go of") \
    X("GET",  "/admin/canaries",  canaries,  "The canaries: `name state share stage stages samples errors error_rate p99_ms since by why` and their limits. `state`: `waiting running paused watching rolled_back`") \
    X("POST", "/admin/canaries/NAME", canary, "Asks for something: `{\"do\":\"start\",\"why\":\"…\"}`: `start` (the first stage, also after it was rolled back), `pause`, `resume`, `promote` (the last stage at once), " \
                                             "`rollback` (0 %). Answers `{\"canary\":{…},\"kept\":…,\"warnings\":[…]}`, 404, or 409: that cannot be done now") \
    X("GET",  "/admin/keys",      lun_admin_keys, "Who may ask: `{\"keys\":[…]}`, those of gateway.lua and those made at run time: see [Keys](#keys)") \
    X("POST", "/admin/keys",      lun_admin_key_create, "Makes a key: `{\"name\":\"app\",\"models\":[\"gpt-*\"],\"budget\":{\"limit\":5,\"per\":\"day\"},\"expires\":86400}`. Answers `{\"key\":{…},\"text\":\"sk-lun-…\",\"kept\":true,\"warnings\":[…]}`: " \
                                             "the only time that its text is told. 409: the name is taken, or there is no folder `state`; 422: what is said is wrong; 503: it cannot be written") \
    X("GET",  "/admin/keys/NAME", lun_admin_key, "One of them, `{\"key\":{…}}`, or 404. In NAME what is no letter, digit or one of `-._~` is written `%20`") \
    X("PATCH", "/admin/keys/NAME", lun_admin_key_change, "Changes what the body says, as a JSON Merge Patch (RFC 7396): null takes a field away. Answers as POST does, without a text; 409 also: it stands in gateway.lua, or was revoked") \
    X("DELETE", "/admin/keys/NAME", lun_admin_key_revoke, "Revokes it, for good, and answers once no worker lets it in any more") \
    X("POST", "/admin/keys/NAME/rotate", lun_admin_key_rotate, "Gives it a new text, told in the answer as by POST. The one before stays valid for `{\"keep\":seconds}` (86400; 0: ends at once)") \
    X("GET",  "/admin/cache",     cache,     "What the response cache holds: `size bytes entries evictions asking waiting ttl shared answer`; `asking`: requests whose answer others may get, `waiting`: those who wait for one; with `cache.redis` " \
      "`redis`: its `state`, `open` or `away` (then nobody waits for it), and `why`: the last trouble with it") \
    X("DELETE", "/admin/cache",   purge,     "Empties it, with `cache.redis` on all gateways, and answers as GET does. What is being answered now still goes to who waits for it, and is not kept") \
    X("GET",  "/admin/ledger",    ledger,    "How the ledger is: `state`: `open`, `closed` (and `why`), `none`; with several gateways `gateway` (its id), `sharing` (core/state/member.h), `members` and who of them is `missing`") \
    X("GET",  "/admin/fleet",     fleet,     "The gateways on one Redis: `state`: `none`, `open`, `joining` or `apart` (and `why`); `id` (of this process), `gateways` (alive), `limits`: rates that they have together, " \
                                             "`name limit part used`, where `part` is how much of it this one may use, and `used` what it has of that in the last 60 s") \
    X("GET",  "/admin/budgets",   budgets,   "Budgets, those nearest to their limit first, at most `?n=100`: `{\"budgets\":[{\"name\",\"period\",\"used\",\"held\",\"limit\",\"left\",\"share\",\"resets_in\"}],\"more\":…}`, in USD and seconds; " \
                                             "`limit` and `left` null: it has none; `resets_in` null: never; `more`: how many are not listed. With several gateways `used` of a limit is what this one has spent and " \
                                             "what it knows the others to have, spent or drawn ahead, as of when it drew last; `held`, and all of what has no limit, are of this gateway alone") \
    X("GET",  "/admin/providers", providers, "Providers with their keys and targets, as health sees them; `recent`: the last 100 attempts, the oldest first, `+` good, `-` bad") \
    X("POST", "/admin/targets",   open_target, "Opens a target to requests under a hard limit again that was closed for what its provider claimed: `{\"target\":\"openai/gpt-4.1\"}`. Answers `{\"target\":…,\"opened\":…}`, " \
                                             "false where it was open, or 404") \
    X("GET",  "/admin/requests",  requests,  "Requests under way, on each worker the latest first: `id age_ms model endpoint stream key policy attempts target labels`. " \
                                             "`?n=50`: the last that are over, the latest first, with the fields of their [log lines](#the-log-line)") \
    X("GET",  "/admin/requests/NAME", lun_admin_request, "One that is over, `{\"request\":{…},\"explanation\":{…}}` ([requests that are over](#requests-that-are-over)), by our id, the client's (`x-request-id`, `x-client-request-id`) or a provider's, or 404: " \
                                             "the last 1,000 are remembered, as far as they fit into 1 MiB")

/* What is remembered of the requests that are over. */
enum { LUN_RECENT_ROOM = 1 << 20, LUN_RECENT_MOST = 1000 };

struct lun_admin;
struct lun_admin_options {              /* copied; what it points to is borrowed until free */
    struct lun_reactor *reactor;
    struct lun_registry *registry;
    struct lun_changes *changes;
    struct lun_worker *const *workers; int n_workers;
    struct lun_books *books;            /* NULL: there is no ledger */
    struct lun_fleet *fleet;            /* NULL: it shares nothing with others */
    struct lun_shelf *shelf;            /* NULL: no answers either */
    struct lun_writer *writer;          /* of the request log; NULL: none */
    struct lun_ring *recent;            /* the last lines of it, without message text */
    struct lun_captured *captured;
    const struct lun_log *log;
};
/* `listener` is taken. */
struct lun_admin *lun_admin_new(const struct lun_admin_options *, int listener);
void lun_admin_adopt(struct lun_admin *, const struct lun_snapshot *);         /* another version: its certificate counts for connections from now on */
void lun_admin_retire(struct lun_admin *);      /* takes no new connections; another process does on the same socket */
void lun_admin_free(struct lun_admin *);        /* no worker runs. NULL is fine */
#endif
