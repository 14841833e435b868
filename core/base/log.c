#include "base/log.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/text.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const names[] = {
#define X(id, name) name,
    LUN_LOG_LEVELS(X)
#undef X
};

const char *lun_log_level_name(enum lun_log_level level) { return level < LUN_LOG_LEVEL_COUNT ? names[level] : "?"; }

bool lun_log_level_of(const char *name, enum lun_log_level *level)
{
    for (unsigned i = 0; i < LUN_LOG_LEVEL_COUNT; i++) {
        if (strcmp(name, names[i])) continue;
        *level = (enum lun_log_level)i;
        return true;
    }
    return false;
}

struct lun_log lun_log_to(int fd)
{
    const char *none = getenv("NO_COLOR");
    return (struct lun_log){ .least = LUN_LOG_INFO, .fd = fd, .colour = (!none || !*none) && isatty(fd) };
}

static void put_point(struct lun_buf *out, uint32_t c)
{
    char bytes[4];
    if (c == '\n') lun_buf_puts(out, "\\n");
    else if (c == '\r') lun_buf_puts(out, "\\r");
    else if (c == '\t') lun_buf_puts(out, "\\t");
    else if (c < ' ' || (c >= 0x7f && c < 0xa0)) lun_buf_printf(out, "\\x%02x", (unsigned)c);
    else lun_buf_add(out, bytes, lun_text_encode(c, bytes));
}

static void put_safe(struct lun_buf *out, const char *text, size_t n)
{
    for (size_t i = 0, used; i < n; i += used) put_point(out, lun_text_point(text + i, n - i, &used));
}

static void put_line(struct lun_buf *out, const struct lun_log *log, enum lun_log_level level, const char *message, size_t n)
{
    static const char *const colours[] = { "\x1b[2m", "\x1b[32m", "\x1b[33m", "\x1b[31m" };
    char now[25];
    lun_clock_text(lun_clock_wall(), now);
    if (log->json) {
        lun_buf_printf(out, "{\"time\":\"%s\",\"level\":\"%s\",\"message\":", now, names[level]);
        lun_json_put_string(out, message, n);
        lun_buf_puts(out, "}\n");
        return;
    }
    lun_buf_printf(out, "%s %s%-5s%s ", now, log->colour ? colours[level] : "", names[level], log->colour ? "\x1b[0m" : "");
    put_safe(out, message, n);
    lun_buf_putc(out, '\n');
}

static void say(const struct lun_log *log, enum lun_log_level level, const char *message, size_t n)
{
    struct lun_buf out = {0};
    if (log->take) {
        put_safe(&out, message, n);
        log->take(log->host, level, lun_buf_text(&out), out.n);
    } else {
        put_line(&out, log, level, message, n);
        while (write(log->fd, out.at, out.n) < 0 && errno == EINTR);
    }
    lun_buf_free(&out);
}

void lun_log(const struct lun_log *log, enum lun_log_level level, const char *format, ...)
{
    static const char more[] = "…";
    char message[LUN_LOG_BYTES + sizeof more];
    if (!log || level < log->least || level >= LUN_LOG_LEVEL_COUNT || (!log->take && log->fd <= 0)) return;
    int before = errno;
    va_list args;
    va_start(args, format);
    int length = vsnprintf(message, LUN_LOG_BYTES + 1, format, args);
    va_end(args);
    size_t n = length < 0 ? 0 : (size_t)length;
    if (n > LUN_LOG_BYTES) {
        n = lun_text_clip(message, LUN_LOG_BYTES, LUN_LOG_BYTES - 4);
        memcpy(message + n, more, sizeof more - 1);
        n += sizeof more - 1;
    }
    say(log, level, message, n);
    errno = before;
}
