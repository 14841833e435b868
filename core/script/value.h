/* A table of Lua as plain data in C: copied once, with limits, and from then on without Lua. Raw: no metamethod is ever
 * called; what cannot be data (functions, metatables, loops, holes in lists, names that are no text) is kept in its place as
 * a value of type LUN_VALUE_BAD that says why, so that it can be told together with all else. */
#ifndef LUN_SCRIPT_VALUE_H
#define LUN_SCRIPT_VALUE_H
#include "base/arena.h"
#include "base/json.h"
#include <lua.h>
#include <stdbool.h>
#include <stdint.h>

enum { LUN_VALUE_DEPTH = 32, LUN_VALUE_COUNT = 100000, LUN_VALUE_BYTES = 8 << 20, LUN_VALUE_TEXT_MAX = 65536, LUN_VALUE_NAME_MAX = 256 };

enum lun_value_type { LUN_VALUE_BOOL, LUN_VALUE_NUMBER, LUN_VALUE_TEXT, LUN_VALUE_SECRET, LUN_VALUE_TABLE, LUN_VALUE_FUNCTION, LUN_VALUE_BAD };

struct lun_place { const char *file; int line; int64_t at; };   /* at: grows along the files, to order by */

struct lun_value {
    enum lun_value_type type;
    bool yes; double number;
    const char *text; size_t n;         /* TEXT: valid UTF-8 without NULs; BAD, FUNCTION: why not, follows the path and ": " */
    const void *secret;                 /* SECRET: what `secret` gave */
    struct lun_value **items; int n_items, n_list, room;    /* TABLE: those of the list first, then by name, in byte order */

    struct lun_value *up;               /* the table it stands in; NULL: the root */
    const char *key; int index;         /* its name there; or NULL, and its position from 1 */
    struct lun_place place;             /* where it is written (lines.h fills this in) */
    const char *from;                   /* not NULL: not the file but "LUNETTE_WORKERS" or "--workers" says it, as TEXT */
    bool used;                          /* for whoever reads it: what nobody asked for is told as unknown */
};

/* Gives a secret's `void *` when the userdata on L at `index` is one, else NULL. */
typedef const void *lun_value_secret(lua_State *L, int index, void *self);

/* Copies what stands at `index` of L's stack, outside of runs; the stack is left as it was. All of it lives in the arena. */
struct lun_value *lun_value_read(lua_State *L, int index, struct lun_arena *, lun_value_secret *, void *self);

/* The same of JSON that was checked (base/json.h). What is no data there: null, a name that is said twice, more than LUN_VALUE_ITEMS in one table. */
struct lun_value *lun_value_of_json(struct lun_json, struct lun_arena *);
enum { LUN_VALUE_ITEMS = 1000 };
extern const char lun_value_twice[];    /* the `text` of what is said twice */

struct lun_value *lun_value_get(const struct lun_value *table, const char *name);   /* NULL: not there, or no table */
struct lun_value *lun_value_item(const struct lun_value *table, int index);         /* from 1 */
/* A new entry; `name` NULL: at the end of the list. Its type is to be filled in. */
struct lun_value *lun_value_add(struct lun_value *table, const char *name, struct lun_arena *);

/* "models["gpt 4"][1].weight"; "the table" for the root. Long names are clipped. Borrowed from the arena. */
const char *lun_value_path(const struct lun_value *, struct lun_arena *);
/* The same for a name that is not there, in `table`. */
const char *lun_value_path_of(const struct lun_value *table, const char *name, struct lun_arena *);
/* For messages: "text, clipped" in quotes, 5, true, a table, a secret. */
const char *lun_value_show(const struct lun_value *, struct lun_arena *);
const char *lun_value_quote(const char *text, struct lun_arena *);      /* in quotes, clipped to 60 bytes */
#endif
