/* JSON (RFC 8259) that stays text: checked strictly in one pass, looked at in place, decoded only where a value is wanted.
 *
 * First `lun_json_check` or `lun_json_scan`, once, over the whole text. They refuse everything the grammar refuses and, as
 * it allows, more: a byte order mark, bytes in strings that are not UTF-8, nesting deeper than LUN_JSON_DEPTH, numbers of
 * more than LUN_JSON_DIGITS characters, texts of 4 GiB. `\u0000` and lone surrogates (`\ud800`) are let pass, because a
 * body that is only passed on is none of our business; whoever decodes decides (see `strict_name`).
 *
 * All other functions work on a value of a text that was checked. Given one that was not they stay within its bytes, but
 * what they say then means nothing. A value is borrowed from its text: good while the text stays where it is and as it is.
 * Nothing here keeps state between calls; different threads may read the same text. */
#ifndef LUN_BASE_JSON_H
#define LUN_BASE_JSON_H
#include "base/arena.h"
#include "base/buf.h"
#include "base/clock.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { LUN_JSON_DEPTH = 128, LUN_JSON_DIGITS = 1000, LUN_JSON_KEYS_MAX = 64 };

enum lun_json_type { LUN_JSON_NONE, LUN_JSON_NULL, LUN_JSON_FALSE, LUN_JSON_TRUE, LUN_JSON_NUMBER, LUN_JSON_STRING,
                     LUN_JSON_ARRAY, LUN_JSON_OBJECT };

/* The raw text of one value without blanks around it; a string has its quotes. {0} is "not there", and every function
 * takes it for that. */
struct lun_json { const char *at; size_t n; };

/* What is wrong with a text: a phrase for people that follows "at byte N: " (static, never freed), and the offset. */
struct lun_json_error { const char *what; size_t at; };

/* ---- checking ------------------------------------------------------------------------------------------------------ */

/* Checks a whole text, which must be one value with nothing but blanks around it. True: *value is it. False: *error says
 * why (may be NULL). O(n), no allocation. */
bool lun_json_check(const char *text, size_t n, struct lun_json *value, struct lun_json_error *error);

/* The names to look for at the top of an object: at most LUN_JSON_KEYS_MAX, each a C identifier of 1 to 255 bytes, listed
 * once as an X-macro from which the enum comes too:
 *
 *     #define ROUTING_KEYS(X) X(model) X(stream) X(n)
 *     enum { ROUTING_KEYS(LUN_JSON_KEY_ENUM) KEYS };                  // KEY_model, KEY_stream, KEY_n
 *     static const struct lun_json_keys keys = LUN_JSON_KEYS(ROUTING_KEYS);
 *     struct lun_json_field fields[KEYS];
 */
struct lun_json_keys { const char *name[LUN_JSON_KEYS_MAX]; uint8_t length[LUN_JSON_KEYS_MAX]; };
#define LUN_JSON_KEY_ENUM(k)   KEY_##k,
#define LUN_JSON_KEY_NAME(k)   #k,
#define LUN_JSON_KEY_LENGTH(k) sizeof #k - 1,
#define LUN_JSON_KEYS(LIST)    { .name = { LIST(LUN_JSON_KEY_NAME) }, .length = { LIST(LUN_JSON_KEY_LENGTH) } }

/* Where one of those keys stands. Offsets in bytes from the start of the text; both with their quotes. */
struct lun_json_field {
    uint32_t key, key_n;        /* as it was written, escapes and all */
    uint32_t value, value_n;    /* the raw value */
    uint8_t type;               /* enum lun_json_type; LUN_JSON_NONE: the key is not there, all else is 0 */
    bool twice;                 /* it is there again further on; this is the first */
};

/* The object as a whole. Fields can be put in at `open` (behind them a comma, unless `empty`) or at `close`. */
struct lun_json_scan {
    uint32_t open;              /* first byte after the outermost { */
    uint32_t close;             /* the outermost } */
    bool empty;                 /* no member at all */
    int twice;                  /* the first key seen to occur twice (index into the keys), or -1 */
    uint32_t longest, longest_n;        /* the longest string with its quotes, a key or a value; of short ones it may be another. Length 0: none */
    struct lun_json_error error;
};

/* Checks a whole text, which must be an object, and in the same pass finds the keys at its top. Keys are compared after
 * unescaping ("\u006dodel" is model) and as bytes, so Model is not model. `fields` has one entry for each key and is
 * written whole. False: what is wrong stands in out->error, and nothing else means anything. A key that occurs twice is no
 * error here: it is told in `twice`. About 0.3 us for a request of 1 KB. */
bool lun_json_scan(const char *text, size_t n, const struct lun_json_keys *keys, struct lun_json_field *fields,
                   struct lun_json_scan *out);

/* The value of a field of that text; {0} when it is not there. */
static inline struct lun_json lun_json_of(const char *text, const struct lun_json_field *field)
{
    return field->type == LUN_JSON_NONE ? (struct lun_json){0} : (struct lun_json){ text + field->value, field->value_n };
}

/* ---- looking ------------------------------------------------------------------------------------------------------- */

extern const uint8_t lun_json_types[256];       /* by a value's first byte */
static inline enum lun_json_type lun_json_type(struct lun_json value)
{
    return value.n ? (enum lun_json_type)lun_json_types[(unsigned char)*value.at] : LUN_JSON_NONE;
}

/* Members of an object or elements of an array, in their order, undecoded:
 *     struct lun_json_each e = lun_json_each(value);
 *     while (lun_json_next(&e)) …e.key (a string with its quotes; {0} in an array), e.value, e.index (from 0)…
 * Anything else has no members. `known`, where the caller sets it, is a string of that text, whose end need not be sought again. */
struct lun_json_each { struct lun_json key, value, known; size_t index; const char *at, *end; bool object; };
struct lun_json_each lun_json_each(struct lun_json value);
bool lun_json_next(struct lun_json_each *each);

/* The same of what is looked into in any case, whose end need not be sought before:
 *     for (struct lun_json_each e = lun_json_each(value), inner; lun_json_into(&e, &inner); lun_json_out(&e, &inner)) …as far as you like in `inner`…
 * Of an object e.value says only where it begins (its length is 1); of anything else it is the value, and `inner` its elements. */
bool lun_json_into(struct lun_json_each *each, struct lun_json_each *inner);
void lun_json_out(struct lun_json_each *each, struct lun_json_each *inner);

/* The member of an object by its name (compared after unescaping), or {0}. Of equal names the last, as the parsers of
 * Python, JavaScript, Go and Lua have it. Reads the object to its end. */
struct lun_json lun_json_get(struct lun_json object, const char *name);

/* A way down: names of members and, in arrays, positions from 0, divided by points ("choices.0.delta.content"). {0} when a
 * step of it leads nowhere. A name that itself holds a point cannot be said so; an empty path is the value. */
struct lun_json lun_json_path(struct lun_json value, const char *path);

/* How many members or elements. */
size_t lun_json_count(struct lun_json value);

/* ---- decoding ------------------------------------------------------------------------------------------------------ */

/* Whether it is the string `text` (a C string; n: its length), after unescaping. Nothing else is. Most are told from it by length or first letter. */
bool lun_json_equal(struct lun_json value, const char *text, size_t n);
static inline bool lun_json_is_n(struct lun_json value, const char *text, size_t n)
{
    if (value.n < n + 2 || (n && value.at[1] != *text && value.at[1] != '\\')) return false;
    return lun_json_equal(value, text, n);
}
static inline bool lun_json_is(struct lun_json value, const char *text) { return lun_json_is_n(value, text, __builtin_strlen(text)); }

/* Appends a decoded string to `out`. False, and nothing appended, if the value is not a string. Lone surrogates become
 * U+FFFD, `\u0000` a NUL byte; with `strict_name` either of them makes it false instead. A name may still hold other
 * control characters ("\r\n"): whoever puts it into a header or a line must look. */
bool lun_json_string(struct lun_json value, bool strict_name, struct lun_buf *out);

/* The same, not strict, with a lone surrogate as the three bytes that UTF-8 would have for it (WTF-8): lun_json_put_halves writes it as it was, and two that meet
 * in between as the character they make. */
bool lun_json_string_halves(struct lun_json value, struct lun_buf *out);

/* The same as a C string in an arena; NULL instead of false. *n (may be NULL) is its length, which matters when it is not
 * strict: a NUL may be inside. */
char *lun_json_string_in(struct lun_json value, bool strict_name, struct lun_arena *arena, size_t *n);

/* A number as an integer, if it is exactly that: 5, 5.0 and 0.5e1 are 5; 5.5, 1e19 and "5" are false. */
bool lun_json_int(struct lun_json value, int64_t *out);

/* A number as the nearest double; false for other values and where it would be infinite (1e999). */
bool lun_json_double(struct lun_json value, double *out);

/* Whether it is `true`; everything else is false. */
bool lun_json_true(struct lun_json value);

/* ---- writing ------------------------------------------------------------------------------------------------------- */

/* All append to `out`. What they write is valid JSON, whatever bytes they are given, and free of the locale. */
void lun_json_put_string(struct lun_buf *out, const char *text, size_t n);  /* with quotes; ill-formed UTF-8 → U+FFFD */
void lun_json_put_halves(struct lun_buf *out, const char *text, size_t n);  /* the same, of what lun_json_string_halves gave */
void lun_json_put_text(struct lun_buf *out, const char *text);              /* a C string; NULL → null */
void lun_json_put_number(struct lun_buf *out, double number);               /* reads back equal: whole ones below 2^63 as integers, else the shortest; NaN, ±inf → null */
void lun_json_put_int(struct lun_buf *out, int64_t number);
void lun_json_put_bool(struct lun_buf *out, bool yes);
void lun_json_put_raw(struct lun_buf *out, struct lun_json value);          /* as it is; {0} → null */

/* A JSON Merge Patch (RFC 7396): `onto` with what `patch` says, null taking a member away. Anything but an object counts as an empty one where it is
 * `onto`, and takes its place where it is `patch`. A name that is said twice in `onto` stays twice; in `patch` it is not to be said twice. */
void lun_json_merge(struct lun_buf *out, struct lun_json onto, struct lun_json patch);

/* `"name":`, with a comma before it unless it is the first behind a `{`. Then put the value. */
void lun_json_put_key(struct lun_buf *out, const char *name);

/* Both: the key, and what lun_json_put_… writes. */
void lun_json_member_text(struct lun_buf *out, const char *name, const char *text);
void lun_json_member_texts(struct lun_buf *out, const char *name, const char *const *texts, int n);     /* an array of them */
void lun_json_member_int(struct lun_buf *out, const char *name, int64_t number);
void lun_json_member_number(struct lun_buf *out, const char *name, double number);
void lun_json_member_bool(struct lun_buf *out, const char *name, bool yes);
void lun_json_member_time(struct lun_buf *out, const char *name, lun_us wall);         /* as lun_clock_text has it */
#endif
