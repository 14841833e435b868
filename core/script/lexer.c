#include "script/lexer.h"
#include "base/buf.h"
#include "base/decimal.h"
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

static int peek(const struct lun_lexer *l, int ahead) { return l->end - l->at > ahead ? (unsigned char)l->at[ahead] : -1; }

static bool name_start(int c) { return c >= 0 && (isalpha(c) || c == '_' || c >= 128); }

static void step(struct lun_lexer *l) { l->line += *l->at++ == '\n'; }

/* The number of = in [==[ at the current place, or -1 if there is no such bracket. */
static int long_bracket(const struct lun_lexer *l)
{
    int n = 0;
    if (peek(l, 0) != '[') return -1;
    while (peek(l, 1 + n) == '=') n++;
    return peek(l, 1 + n) == '[' ? n : -1;
}

static void long_text(struct lun_lexer *l, int level)
{
    l->at += level + 2;
    if (peek(l, 0) == '\r') l->at++;
    if (peek(l, 0) == '\n') step(l);
    const char *from = l->at;
    for (; l->at < l->end; step(l)) {
        int n = 0;
        if (*l->at != ']') continue;
        while (peek(l, 1 + n) == '=') n++;
        if (n == level && peek(l, 1 + n) == ']') break;
    }
    l->text = lun_arena_strndup(l->arena, from, (size_t)(l->at - from));
    for (int i = 0; i < level + 2 && l->at < l->end; i++) l->at++;
}

static void blanks(struct lun_lexer *l)
{
    for (;;) {
        while (l->at < l->end && isspace((unsigned char)*l->at)) step(l);
        bool shebang = l->at == l->start && peek(l, 0) == '#';
        if (!shebang && (peek(l, 0) != '-' || peek(l, 1) != '-')) return;
        l->at += shebang ? 1 : 2;
        int level = shebang ? -1 : long_bracket(l);
        if (level >= 0) long_text(l, level);
        else while (l->at < l->end && *l->at != '\n') l->at++;
    }
}

static int decimal(struct lun_lexer *l)
{
    int value = 0;
    for (int i = 0; i < 3 && isdigit(peek(l, 0)); i++) value = value * 10 + *l->at++ - '0';
    return value & 255;
}

static int hexadecimal(struct lun_lexer *l)
{
    int value = 0;
    for (int i = 0; i < 2 && isxdigit(peek(l, 0)); i++, l->at++)
        value = value * 16 + (isdigit((unsigned char)*l->at) ? *l->at - '0' : (*l->at | 32) - 'a' + 10);
    return value;
}

static void escape(struct lun_lexer *l, struct lun_buf *out)
{
    static const char letters[] = "abfnrtv", means[] = "\a\b\f\n\r\t\v";
    int c = peek(l, 0);
    const char *letter = c > 0 ? strchr(letters, c) : NULL;
    if (c < 0) return;
    if (isdigit(c)) { lun_buf_putc(out, (char)decimal(l)); return; }
    step(l);
    if (c == 'z') while (l->at < l->end && isspace((unsigned char)*l->at)) step(l);
    else lun_buf_putc(out, c == 'x' ? (char)hexadecimal(l) : letter ? means[letter - letters] : (char)c);
}

static void quoted(struct lun_lexer *l)
{
    struct lun_buf out = { 0 };
    char quote = *l->at++;
    while (l->at < l->end && *l->at != quote && *l->at != '\n') {
        if (*l->at == '\\') l->at++, escape(l, &out);
        else lun_buf_putc(&out, *l->at++);
    }
    if (l->at < l->end && *l->at == quote) l->at++;
    l->text = lun_arena_strndup(l->arena, out.at, out.n);
    lun_buf_free(&out);
}

static void number(struct lun_lexer *l)
{
    const char *from = l->at;
    while (isalnum(peek(l, 0)) || peek(l, 0) == '.' || ((peek(l, 0) == '-' || peek(l, 0) == '+') && (l->at[-1] | 32) == 'e')) l->at++;
    l->text = lun_arena_strndup(l->arena, from, (size_t)(l->at - from));
    l->number = lun_decimal_read(l->text, NULL);
}

static void sign(struct lun_lexer *l)
{
    l->sign = *l->at++;
    l->twice = (peek(l, 0) == '=' && strchr("=~<>", l->sign)) || (l->sign == '.' && peek(l, 0) == '.');
    if (l->twice) l->at++;
}

void lun_lexer_next(struct lun_lexer *l)
{
    blanks(l);
    l->token_line = l->line, l->offset = l->at - l->start, l->text = "";
    int c = peek(l, 0), level = long_bracket(l);
    if (c < 0) l->kind = LUN_TOKEN_END;
    else if (name_start(c)) {
        const char *from = l->at;
        while (name_start(peek(l, 0)) || isdigit(peek(l, 0))) l->at++;
        l->kind = LUN_TOKEN_NAME, l->text = lun_arena_strndup(l->arena, from, (size_t)(l->at - from));
    }
    else if (c == '"' || c == '\'') l->kind = LUN_TOKEN_TEXT, quoted(l);
    else if (level >= 0) l->kind = LUN_TOKEN_TEXT, long_text(l, level);
    else if (isdigit(c) || (c == '.' && isdigit(peek(l, 1)))) l->kind = LUN_TOKEN_NUMBER, number(l);
    else l->kind = LUN_TOKEN_SIGN, sign(l);
}

bool lun_lexer_is(const struct lun_lexer *l, const char *name) { return l->kind == LUN_TOKEN_NAME && !strcmp(l->text, name); }
bool lun_lexer_at(const struct lun_lexer *l, char c) { return l->kind == LUN_TOKEN_SIGN && l->sign == c && !l->twice; }
