#include "script/convert.h"
#include "base/clock.h"
#include "base/decimal.h"
#include "base/text.h"
#include "state/price.h"
#include <arpa/inet.h>
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

int lun_word_index(const char *words, const char *word)
{
    size_t n = strlen(word);
    for (int i = 0; ; i++) {
        size_t length = strcspn(words, "|");
        if (length == n && !memcmp(words, word, n)) return i;
        if (!words[length]) return -1;
        words += length + 1;
    }
}

static bool port(const char *text)
{
    size_t n = strspn(text, "0123456789");
    return n && n <= 5 && !text[n] && atoi(text) <= 65535;
}

static bool this_machine(const char *host)
{
    struct in_addr four;
    struct in6_addr six;
    if (!strcasecmp(host, "localhost")) return true;
    if (inet_pton(AF_INET, host, &four) == 1) return ntohl(four.s_addr) >> 24 == 127;
    return inet_pton(AF_INET6, host, &six) == 1 && IN6_IS_ADDR_LOOPBACK(&six);
}

static bool host_name(const char *host)
{
    struct in_addr four;
    size_t n = strspn(host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_");
    if (host[n] || n > 200) return false;
    return strspn(host, "0123456789.") < n || !n || inet_pton(AF_INET, host, &four) == 1;
}

bool lun_address_valid(const char *text, bool *local)
{
    char host[256];
    struct in6_addr six;
    *local = false;
    if (!strncmp(text, "unix:", 5)) return *local = true, text[5] && strlen(text + 5) < 108;
    const char *colon = strrchr(text, ':');
    if (!colon || !port(colon + 1) || colon - text > 250) return false;
    bool bracket = *text == '[';
    if (bracket && colon[-1] != ']') return false;
    snprintf(host, sizeof host, "%.*s", (int)(colon - text) - 2 * bracket, text + bracket);
    *local = this_machine(host);
    return bracket ? inet_pton(AF_INET6, host, &six) == 1 : host_name(host);
}

/* A plain decimal number and nothing else. */
static bool read_number(const char *text, double *out)
{
    char *end;
    if (!*text || text[strspn(text, "0123456789.eE+-")]) return false;
    *out = lun_decimal_read(text, &end);
    return !*end && end != text;
}

static bool read_bool(const struct lun_value *v, bool *out)
{
    if (v->type == LUN_VALUE_BOOL) return *out = v->yes, true;
    if (!v->from || v->type != LUN_VALUE_TEXT) return false;
    bool yes = !strcasecmp(v->text, "true") || !strcasecmp(v->text, "yes") || !strcasecmp(v->text, "on") || !strcmp(v->text, "1");
    bool no = !strcasecmp(v->text, "false") || !strcasecmp(v->text, "no") || !strcasecmp(v->text, "off") || !strcmp(v->text, "0");
    return *out = yes, yes || no;
}

static bool says_off(const struct lun_value *v)
{
    if (v->type == LUN_VALUE_BOOL) return !v->yes;
    return v->from && v->type == LUN_VALUE_TEXT && (!strcasecmp(v->text, "false") || !strcasecmp(v->text, "off"));
}

static bool number_of(const struct lun_setting *s, const struct lun_value *v, double *out)
{
    int64_t bytes;
    bool text = v->type == LUN_VALUE_TEXT;
    if (v->type == LUN_VALUE_NUMBER) *out = v->number;
    else if (text && s->type == LUN_SIZE && lun_text_size(v->text, &bytes)) *out = (double)bytes;
    else if (!text || !v->from || !read_number(v->text, out)) return false;
    return *out >= s->min && *out <= s->max && (*out > s->min || !(s->flags & LUN_MORE_THAN_MIN));
}

static bool put_number(const struct lun_setting *s, double d, void *at)
{
    char text[40];
    bool whole = d == floor(d);
    switch (s->type) {
    case LUN_INT:     return whole && (*(int *)at = (int)d, true);
    case LUN_COUNT: case LUN_SIZE: return whole && (*(int64_t *)at = (int64_t)d, true);
    case LUN_SECONDS: return *(lun_us *)at = lun_us_from_seconds(d), d == 0 || *(lun_us *)at > 0;
    case LUN_USD:
        lun_decimal_write(text, sizeof text, 15, d);
        return lun_price_parse(text, strlen(text), (int64_t *)at);
    default:          return *(double *)at = d, true;
    }
}

static bool plain_line(const struct lun_setting *s, const struct lun_value *v)
{
    if (v->type != LUN_VALUE_TEXT || v->n < s->min || v->n > s->max) return false;
    for (size_t i = 0; i < v->n; i++)
        if ((unsigned char)v->text[i] < ' ' || v->text[i] == 127) return false;
    return true;
}

static bool put_choice(const struct lun_setting *s, const struct lun_value *v, void *at)
{
    int i = v->type == LUN_VALUE_TEXT ? lun_word_index(s->words, v->text) : -1;
    if (i < 0) return false;
    if (s->size == sizeof(bool)) *(bool *)at = i;
    else if (s->size) *(int *)at = i;
    return true;
}

/* What `false`, or the one word beside numbers, stands for. */
static void put_none(const struct lun_setting *s, void *at)
{
    memset(at, 0, s->size);
    if (s->type == LUN_NUMBER) *(double *)at = -1;
}

bool lun_convert(const struct lun_setting *s, const struct lun_value *v, void *at, struct lun_arena *arena)
{
    double d;
    bool yes, local;
    if ((s->flags & LUN_CAN_BE_OFF) && says_off(v)) return put_none(s, at), true;
    if (s->words && s->type < LUN_CHOICE && v->type == LUN_VALUE_TEXT && !strcmp(v->text, s->words)) return put_none(s, at), true;
    switch (s->type) {
    case LUN_BOOL:   return read_bool(v, &yes) && (*(bool *)at = yes, true);
    case LUN_CHOICE: return put_choice(s, v, at);
    case LUN_ADDRESS:
        if (!plain_line(s, v) || !lun_address_valid(v->text, &local)) return false;
        *(const char **)at = lun_arena_strdup(arena, v->text);
        return true;
    case LUN_TEXT:
        if (!plain_line(s, v)) return false;
        if (s->size) *(const char **)at = lun_arena_strdup(arena, v->text);
        return true;
    default: return number_of(s, v, &d) && put_number(s, d, at);
    }
}

const char *lun_convert_show(const struct lun_setting *s, const struct lun_value *v, struct lun_arena *arena)
{
    bool bare = v->from && s->type != LUN_TEXT && s->type != LUN_ADDRESS && s->type != LUN_CHOICE && v->type == LUN_VALUE_TEXT
             && !(s->words && !strcmp(v->text, s->words)) && (s->type != LUN_SIZE || isdigit((unsigned char)v->text[strlen(v->text) - !!*v->text]));
    if ((s->flags & LUN_CAN_BE_OFF) && says_off(v)) return "false";
    if (v->type == LUN_VALUE_TEXT && !bare) return lun_arena_printf(arena, "\"%s\"", v->text);
    return bare ? v->text : lun_value_show(v, arena);
}
