/* Where in the files a value was written: a small lexer reads the text of gateway.lua (and of what it requires) a second
 * time, notes the keys of all table constructors with their lines, and follows names: `local base = {…}`, `base.x = …`,
 * `return merge(base, {…})`, `models = require "models"`. It does not run anything, so loops, functions and computed keys
 * are beyond it: what they make has the line of the nearest table around it that is known. */
#ifndef LUN_SCRIPT_LINES_H
#define LUN_SCRIPT_LINES_H
#include "script/value.h"

struct lun_lines;
struct lun_lines *lun_lines_new(void);
void lun_lines_free(struct lun_lines *);

/* A file, the one that returns the table first. `module`: what `require` calls it; NULL for the first. All is copied. */
void lun_lines_add(struct lun_lines *, const char *file, const char *module, const char *text, size_t n);

/* Fills in the places of all values of a table; file names point into `lines`. Not called: file NULL, line 0. */
void lun_lines_place(struct lun_lines *, struct lun_value *root);

int lun_lines_returned(const struct lun_lines *);      /* the line of the first file's last `return`; 1: it has none */

/* A name that one constructor has twice, which Lua takes the last of without a word. Called for each that the table came from. */
typedef void lun_lines_twice(void *self, const char *file, int line, int line_before, const char *name);
void lun_lines_each_twice(struct lun_lines *, lun_lines_twice *, void *self);
#endif
