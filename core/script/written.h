/* What a text says of its tables, before it is run: constructors, the keys in them, and what each name may mean. Between
 * written.c, which reads it, and lines.c, which finds values in it; others use lines.h. */
#ifndef LUN_SCRIPT_WRITTEN_H
#define LUN_SCRIPT_WRITTEN_H
#include "script/lexer.h"
#include "script/lines.h"

enum { LUN_WRITTEN_PATH = 6 };

struct lun_written_key { const char *name; int index; };            /* name NULL: a position in a list */

/* What an expression may take its entries from: constructors in it, names and modules it mentions. */
struct lun_written_source { struct lun_written_table *table; const char *name, *module; struct lun_written_key path[LUN_WRITTEN_PATH]; int n_path; };
struct lun_written_sources { struct lun_written_source *items; int n, room; };

struct lun_written_entry {
    struct lun_written_key key;
    int line; int64_t at;
    enum lun_token literal; const char *text; double number;    /* TEXT, NUMBER: the value is just that; END: it is more */
    struct lun_written_sources value;
    bool passing;                       /* x in `t.x.y = 5`: a way to it, not where it was made */
};
struct lun_written_table { struct lun_written_entry *items; int n, room, list; bool seen; struct lun_written_file *file; struct lun_written_table *next_seen; };
struct lun_written_name { struct lun_written_name *next; const char *name; struct lun_written_sources value; };

struct lun_written_file {
    struct lun_written_file *next;
    const char *name, *module;
    int index, line;                    /* line: of the last return */
    struct lun_written_name *first, **last;
    struct lun_written_sources returned;
};
struct lun_lines { struct lun_arena arena; struct lun_written_file *first, **last; int n, steps; struct lun_written_table *seen, **seen_last; };

/* The order of entries in a constructor: positions, then names, then as they are written. */
int lun_written_order(const struct lun_written_entry *, const struct lun_written_entry *);
/* Reads a text into `file`, which is in `lines` already. */
void lun_written_read(struct lun_lines *, struct lun_written_file *, const char *text, size_t n);
#endif
