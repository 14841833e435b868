#include "cli/screen.h"
#include "base/alloc.h"
#include "base/text.h"
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <unistd.h>

enum { KEYS = 256 };

struct lun_screen {
    struct termios before;
    bool typed;                 /* input is a terminal, and still there */
    sigset_t heard, masked;
    int signals;                /* a signalfd */
    unsigned char keys[KEYS]; int n;
    bool resized, ended; int ended_by;
};

static const char enter_sequence[] = "\033[?1049h\033[?25l\033[2J", leave_sequence[] = "\033[?25h\033[?1049l";

/* A terminal that is gone takes nothing; then there is nothing to be put back either. */
static void put(const char *text, size_t n)
{
    while (n) {
        ssize_t done = write(STDOUT_FILENO, text, n);
        if (done < 0 && errno != EINTR && errno != EAGAIN) return;
        if (done > 0) text += done, n -= (size_t)done;
    }
}

static void enter(struct lun_screen *s)
{
    struct termios raw = s->before;
    raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
    raw.c_cc[VMIN] = 1, raw.c_cc[VTIME] = 0;
    if (s->typed) tcsetattr(STDIN_FILENO, TCSANOW, &raw);
    put(enter_sequence, sizeof enter_sequence - 1);
}

static void leave(struct lun_screen *s)
{
    put(leave_sequence, sizeof leave_sequence - 1);
    if (s->typed) tcsetattr(STDIN_FILENO, TCSANOW, &s->before);
}

struct lun_screen *lun_screen_open(void)
{
    static const int heard[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGWINCH, SIGTSTP };
    struct lun_screen *s = lun_zalloc(sizeof *s);
    sigemptyset(&s->heard);
    for (size_t i = 0; i < sizeof heard / sizeof *heard; i++) sigaddset(&s->heard, heard[i]);
    s->signals = signalfd(-1, &s->heard, SFD_CLOEXEC | SFD_NONBLOCK);
    if (s->signals < 0) { free(s); return NULL; }
    sigprocmask(SIG_BLOCK, &s->heard, &s->masked);
    s->typed = !tcgetattr(STDIN_FILENO, &s->before);
    enter(s);
    return s;
}

int lun_screen_close(struct lun_screen *s)
{
    if (!s) return 0;
    int by = s->ended_by;
    leave(s);
    close(s->signals);
    sigprocmask(SIG_SETMASK, &s->masked, NULL);
    free(s);
    return by;
}

void lun_screen_size(struct lun_screen *s, int *columns, int *lines)
{
    struct winsize w = {0};
    (void)s;
    ioctl(STDOUT_FILENO, TIOCGWINSZ, &w);
    *columns = w.ws_col ? w.ws_col : 80;
    *lines = w.ws_row ? w.ws_row : 24;
}

/* ---- drawing ---- */

static size_t colour(const char *at, size_t n)
{
    size_t i = 2;
    if (n < 3 || at[0] != '\033' || at[1] != '[') return 0;
    while (i < n && at[i] != 'm') i++;
    return i < n ? i + 1 : 0;
}

static void put_line(struct lun_buf *out, const char *at, size_t n, int columns)
{
    size_t used;
    for (int column = 0; n; at += used, n -= used) {
        if ((used = colour(at, n))) { lun_buf_add(out, at, used); continue; }
        lun_text_point(at, n, &used);
        if (column++ < columns) lun_buf_add(out, at, used);
    }
    lun_buf_puts(out, "\033[0m\033[K");
}

void lun_screen_draw(struct lun_screen *s, const struct lun_buf *text)
{
    struct lun_buf out = {0};
    int columns, lines, line = 0;
    const char *at = text->at, *end = at + text->n;
    lun_screen_size(s, &columns, &lines);
    lun_buf_puts(&out, "\033[H");
    for (; at < end && line < lines; line++) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        if (line) lun_buf_puts(&out, "\r\n");
        put_line(&out, at, (size_t)((stop ? stop : end) - at), columns);
        at = stop ? stop + 1 : end;
    }
    if (line < lines) lun_buf_puts(&out, "\r\n\033[J");
    put(out.at, out.n);
    lun_buf_free(&out);
}

/* ---- hearing ---- */

static void suspend(struct lun_screen *s)
{
    leave(s);
    kill(getpid(), SIGSTOP);
    enter(s);
    s->resized = true;
}

static void hear_signals(struct lun_screen *s)
{
    struct signalfd_siginfo info;
    while (read(s->signals, &info, sizeof info) == sizeof info) {
        if (info.ssi_signo == SIGWINCH) s->resized = true;
        else if (info.ssi_signo == SIGTSTP) suspend(s);
        else s->ended = true, s->ended_by = (int)info.ssi_signo;
    }
}

/* An end of input is a terminal that is gone. */
static void hear_keys(struct lun_screen *s)
{
    ssize_t n = s->n < KEYS ? read(STDIN_FILENO, s->keys + s->n, (size_t)(KEYS - s->n)) : 0;
    if (n > 0) s->n += (int)n;
    else if (s->n < KEYS && (!n || (errno != EINTR && errno != EAGAIN))) s->ended = true;
}

static void hear(struct lun_screen *s, int wait_ms)
{
    struct pollfd fds[] = { { s->signals, POLLIN, 0 }, { s->typed && s->n < KEYS ? STDIN_FILENO : -1, POLLIN, 0 } };
    if (poll(fds, 2, wait_ms) <= 0) return;
    if (fds[0].revents) hear_signals(s);
    if (fds[1].revents) hear_keys(s);
}

static int took(struct lun_screen *s, int n, int key)
{
    s->n -= n;
    memmove(s->keys, s->keys + n, (size_t)s->n);
    return key;
}

/* ESC [ A and its relatives; a lone ESC, and what is not known, is passed over. */
static int take_key(struct lun_screen *s)
{
    static const struct { const char *text; int key; } known[] = { { "A", LUN_SCREEN_UP }, { "B", LUN_SCREEN_DOWN }, { "C", LUN_SCREEN_RIGHT }, { "D", LUN_SCREEN_LEFT },
                                                                   { "5~", LUN_SCREEN_PAGE_UP }, { "6~", LUN_SCREEN_PAGE_DOWN } };
    if (s->keys[0] != '\033') return took(s, 1, s->keys[0]);
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        int n = (int)strlen(known[i].text);
        if (s->n >= 2 + n && (s->keys[1] == '[' || s->keys[1] == 'O') && !memcmp(s->keys + 2, known[i].text, (size_t)n)) return took(s, 2 + n, known[i].key);
    }
    return took(s, 1, '\033');
}

int lun_screen_next(struct lun_screen *s, int wait_ms)
{
    if (!s->ended && !s->resized && !s->n) hear(s, wait_ms);
    if (s->ended) return LUN_SCREEN_END;
    if (s->resized) { s->resized = false; return LUN_SCREEN_SIZE; }
    return s->n ? take_key(s) : LUN_SCREEN_TIME;
}

bool lun_screen_ends(struct lun_screen *s)
{
    hear(s, 0);
    return s->ended || memchr(s->keys, 'q', (size_t)s->n);
}
