/* YAML 1.1 (libyaml) as a tree whose every node knows its file and line. The tree is plain: aliases are the nodes they stand for, `<<` is merged in.
 *
 * Refused, with the line: what libyaml refuses, a second document, names that are no text, tags other than YAML's own, an alias inside what it names,
 * more than LUN_YAML_DEEP levels, and more than LUN_YAML_NODES nodes once all aliases are written out. Noted: a name that is said twice in one map; the
 * last one counts. */
#ifndef LUN_CLI_YAML_H
#define LUN_CLI_YAML_H
#include "script/mistakes.h"
#include <stdbool.h>

enum { LUN_YAML_DEEP = 64, LUN_YAML_NODES = 100000 };

enum lun_yaml_kind { LUN_YAML_TEXT, LUN_YAML_LIST, LUN_YAML_MAP };

struct lun_yaml {
    enum lun_yaml_kind kind;
    const char *file; int line;
    const char *text; size_t n;             /* TEXT: without quotation marks; a NUL follows. Of a name too */
    bool plain;                             /* TEXT: without quotation marks, so that it may stand for a number, true or nothing */
    struct lun_yaml **items; int n_items;   /* LIST: its values; MAP: the same, … */
    const char **names; int *lines;         /* … with their names, and where these stand, in the order of the file */
    size_t nodes;                           /* of it and all below, aliases written out */
};

/* Reads a text. NULL: `mistakes` says why. `name` is how both call it; everything is in the arena, the name is copied. An empty text is an empty plain one. */
struct lun_yaml *lun_yaml_read(const char *name, const char *text, size_t n, struct lun_arena *, struct lun_mistakes *mistakes, struct lun_mistakes *notes);

/* The value of that name in a map; NULL: it has none, or `map` is none. */
struct lun_yaml *lun_yaml_get(const struct lun_yaml *map, const char *name);
/* Gives a map another value under that name, in place of the one it has. */
void lun_yaml_set(struct lun_yaml *map, const char *name, int line, struct lun_yaml *value, struct lun_arena *);
/* Adds the values of a list to the end of another. */
void lun_yaml_extend(struct lun_yaml *list, const struct lun_yaml *more, struct lun_arena *);
#endif
