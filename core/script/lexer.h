/* The words of a Lua text, with their lines. Never fails: what is no Lua comes out as single characters. */
#ifndef LUN_SCRIPT_LEXER_H
#define LUN_SCRIPT_LEXER_H
#include "base/arena.h"
#include <stdbool.h>

enum lun_token { LUN_TOKEN_END, LUN_TOKEN_NAME, LUN_TOKEN_TEXT, LUN_TOKEN_NUMBER, LUN_TOKEN_SIGN };

struct lun_lexer {
    const char *at, *start, *end;       /* of the text; set start = at before the first call */
    int line;                           /* 1 before the first call */
    struct lun_arena *arena;            /* for `text` */
    /* the word that lun_lexer_next read */
    enum lun_token kind;
    int token_line; long offset;
    const char *text;                   /* a name; a string, decoded; a number as written. In the arena */
    double number;
    char sign;                          /* SIGN: its first character; '=' is not "==", see `twice` */
    bool twice;                         /* SIGN: "==", "..", "~=", "<=", ">=" */
};
void lun_lexer_next(struct lun_lexer *);
bool lun_lexer_is(const struct lun_lexer *, const char *name);  /* whether it is that name or keyword */
bool lun_lexer_at(const struct lun_lexer *, char sign);         /* whether it is that single character */
#endif
