#include "wire/watch.h"
#include "base/alloc.h"
#include "base/buf.h"
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { PATIENCE = 50 /* times quiet */, LINKS = 40 /* as the kernel has it */, TRIES = 3, BATCH = 16 << 10 };

#define ITSELF  (IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR | IN_DONT_FOLLOW | IN_MASK_ADD)
#define INSIDE  (ITSELF | IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_CLOSE_WRITE | IN_EXCL_UNLINK)
#define CONTENT (IN_MODIFY | IN_CLOSE_WRITE | IN_DONT_FOLLOW | IN_MASK_ADD)

struct stamp { bool there; dev_t dev; ino_t ino; off_t size; struct timespec modified, changed; };
struct path { char *text; struct stamp stamp; bool fresh /* not looked at yet */; };

enum what { THING /* the folder or file itself */, NAME /* a name in a folder */, ANY_LUA };
struct spot { int wd; enum what what; char *folder, *name; int writing; bool used; };

struct lun_watch {
    struct lun_reactor *reactor;
    lun_us quiet;
    void (*changed)(void *self);
    void *self;
    int fd;
    struct event *readable;
    struct lun_timer timer;
    struct lun_task work;
    struct path *paths; int n, beyond;
    struct spot *spots; int n_spots, room;
    lun_us since, first, last;          /* of the change that is not told yet; first LUN_NEVER: there is none */
    bool any_lua, moved /* where paths lead has to be looked at */, raced;
    char *problem;
};

static bool is_folder(const struct stat *s) { return S_ISDIR(s->st_mode); }

/* ---- when to tell ---- */

static bool is_writing(const struct lun_watch *w)
{
    for (int i = 0; i < w->n_spots; i++) if (w->spots[i].writing) return true;
    return false;
}

static lun_us due(const struct lun_watch *w)
{
    if (w->first == LUN_NEVER) return LUN_NEVER;
    lun_us latest = w->first + PATIENCE * w->quiet, rest = w->last + w->quiet;
    return is_writing(w) || rest > latest ? latest : rest;
}

static void arm(struct lun_watch *w)
{
    lun_us at = due(w);
    if (w->raced && w->reactor->loop.now + w->quiet < at) at = w->reactor->loop.now + w->quiet;
    lun_timer_set(&w->reactor->loop, &w->timer, at);
}

static void touch(struct lun_watch *w)
{
    w->last = w->reactor->loop.now;
    if (w->first == LUN_NEVER) w->first = w->last;
}

/* ---- watching ---- */

static void set_problem(struct lun_watch *w, const char *path, int error)
{
    if (w->problem) return;
    if (error == ENOSPC)
        w->problem = lun_printf("changes of %s are not noticed: this user has no inotify watches left; raise fs.inotify.max_user_watches (sysctl)", path);
    else if (error == EMFILE)
        w->problem = lun_printf("changes of files are not noticed: this user has no inotify instances left; raise fs.inotify.max_user_instances (sysctl)");
    else w->problem = lun_printf("changes of %s are not noticed: %s", path, strerror(error));
}

static struct spot *find_spot(struct lun_watch *w, int wd, enum what what, const char *name)
{
    for (int i = 0; i < w->n_spots; i++) {
        struct spot *s = &w->spots[i];
        if (s->wd == wd && s->what == what && (what != NAME || !strcmp(s->name, name))) return s;
    }
    return NULL;
}

static void keep_spot(struct lun_watch *w, int wd, enum what what, const char *folder, const char *name)
{
    struct spot *s = find_spot(w, wd, what, name);
    if (s) { s->used = true; return; }
    if (w->n_spots == w->room) w->spots = lun_realloc(w->spots, (size_t)(w->room = w->room ? 2 * w->room : 16) * sizeof *w->spots);
    w->spots[w->n_spots++] = (struct spot){ .wd = wd, .what = what, .folder = lun_strdup(folder), .name = lun_strdup(name), .used = true };
}

/* False: nothing to watch there any more, since it was looked at. */
static bool add(struct lun_watch *w, const char *path, uint32_t mask, int *wd)
{
    *wd = inotify_add_watch(w->fd, path, mask);
    if (*wd >= 0) return true;
    if (errno == ENOENT || errno == ENOTDIR) return false;
    bool matters = mask == INSIDE || errno != EACCES;       /* a file that cannot be read is seen from its folder */
    if (matters) set_problem(w, path, errno);
    return true;
}

static bool watch_thing(struct lun_watch *w, const char *path, uint32_t mask)
{
    int wd;
    if (!add(w, path, mask, &wd)) return false;
    if (wd >= 0) keep_spot(w, wd, THING, path, NULL);
    return true;
}

static bool watch_name(struct lun_watch *w, const char *folder, const char *name, bool any_lua)
{
    int wd;
    if (!add(w, folder, INSIDE, &wd)) return false;
    if (wd < 0) return true;
    keep_spot(w, wd, NAME, folder, name);
    keep_spot(w, wd, THING, folder, NULL);
    if (any_lua) keep_spot(w, wd, ANY_LUA, folder, NULL);
    return true;
}

static bool is_used(const struct lun_watch *w, int wd)
{
    for (int i = 0; i < w->n_spots; i++) if (w->spots[i].wd == wd && w->spots[i].used) return true;
    return false;
}

static void free_spot(struct spot *s)
{
    free(s->folder);
    free(s->name);
}

static void drop_unused(struct lun_watch *w)
{
    int n = 0;
    for (int i = 0; i < w->n_spots; i++)
        if (!w->spots[i].used && !is_used(w, w->spots[i].wd)) inotify_rm_watch(w->fd, w->spots[i].wd);
    for (int i = 0; i < w->n_spots; i++) {
        struct spot *s = &w->spots[i];
        if (s->used) w->spots[n++] = *s;
        else free_spot(s);
    }
    w->n_spots = n;
}

/* ---- from a path to what has to be watched ----
 *
 * Each folder and name is watched first and looked at then, so that what changes in between shows as an event. */

enum step { ON, THERE, NOT_THERE, RACED };

struct way {
    struct lun_watch *w;
    char here[PATH_MAX], full[PATH_MAX], name[NAME_MAX + 1];    /* the folder, real (root: empty); what is looked at; its name */
    char *rest;
    int links;
};

static const char *folder(const struct way *y) { return *y->here ? y->here : "/"; }
static bool is_last(const struct way *y) { return !y->rest[strspn(y->rest, "/")]; }

static bool take_name(struct way *y)
{
    char *from = y->rest + strspn(y->rest, "/");
    size_t n = strcspn(from, "/");
    if (n > NAME_MAX) return false;
    memcpy(y->name, from, n);
    y->name[n] = '\0';
    memmove(y->rest, from + n, strlen(from + n) + 1);
    return (size_t)snprintf(y->full, sizeof y->full, "%s/%s", y->here, y->name) < sizeof y->full;
}

static enum step enter(struct way *y)
{
    memcpy(y->here, y->full, sizeof y->here);
    return watch_thing(y->w, y->here, ITSELF) ? ON : RACED;
}

static enum step follow_link(struct way *y)
{
    char target[PATH_MAX];
    ssize_t n = readlink(y->full, target, sizeof target - 1);
    if (n < 0) return RACED;
    if (++y->links > LINKS) return NOT_THERE;
    target[n] = '\0';
    char *rest = lun_printf("%s/%s", target, y->rest);
    free(y->rest);
    y->rest = rest;
    if (*target == '/') *y->here = '\0';
    return strlen(rest) < PATH_MAX ? ON : NOT_THERE;
}

static enum step arrive(struct way *y, struct stamp *out)
{
    struct stat s;
    if (!watch_thing(y->w, y->full, CONTENT) || lstat(y->full, &s)) return RACED;
    *out = (struct stamp){ true, s.st_dev, s.st_ino, s.st_size, s.st_mtim, s.st_ctim };
    return THERE;
}

static enum step take_step(struct way *y, struct stamp *out)
{
    struct stat s;
    if (!take_name(y)) return NOT_THERE;
    if (!*y->name || !strcmp(y->name, ".")) return is_last(y) ? NOT_THERE : ON;
    if (!strcmp(y->name, "..")) {
        char *slash = strrchr(y->here, '/');
        if (slash) *slash = '\0';
        return ON;
    }
    bool last = is_last(y);
    if (!last && !lstat(y->full, &s) && is_folder(&s)) return enter(y);
    if (!watch_name(y->w, folder(y), y->name, last && y->w->any_lua)) return RACED;
    if (lstat(y->full, &s)) return NOT_THERE;
    if (S_ISLNK(s.st_mode)) return follow_link(y);
    if (last) return is_folder(&s) ? NOT_THERE : arrive(y, out);
    return is_folder(&s) ? enter(y) : NOT_THERE;
}

/* False: something moved meanwhile. */
static bool follow(struct lun_watch *w, const char *path, struct stamp *out)
{
    struct way y = { .w = w, .rest = lun_strdup(path) };
    enum step step;
    memset(out, 0, sizeof *out);
    while ((step = take_step(&y, out)) == ON) { }
    free(y.rest);
    return step != RACED;
}

static bool is_same(const struct stamp *a, const struct stamp *b)
{
    return a->there == b->there && a->dev == b->dev && a->ino == b->ino && a->size == b->size && !memcmp(&a->modified, &b->modified, sizeof a->modified)
        && !memcmp(&a->changed, &b->changed, sizeof a->changed);
}

static bool is_since(const struct lun_watch *w, const struct stamp *s)
{
    return w->since && s->there && s->changed.tv_sec * LUN_SECOND + s->changed.tv_nsec / 1000 >= w->since;
}

static void follow_all(struct lun_watch *w, bool tell)
{
    w->raced = false;
    for (int i = 0; i < w->n_spots; i++) w->spots[i].used = false;
    for (int i = 0; i < w->n; i++) {
        struct stamp now;
        if (!follow(w, w->paths[i].text, &now)) { w->raced = true; continue; }
        if (w->paths[i].fresh ? is_since(w, &now) : tell && !is_same(&now, &w->paths[i].stamp)) touch(w);
        w->paths[i].stamp = now;
        w->paths[i].fresh = false;
    }
}

static void look_again(struct lun_watch *w, bool tell)
{
    if (w->fd < 0) return;
    free(w->problem);
    w->problem = NULL;
    w->moved = false;
    for (int i = 0; i < TRIES; i++) {
        follow_all(w, tell);
        if (!w->raced) break;
    }
    drop_unused(w);
    if (w->beyond && !w->problem) w->problem = lun_printf("changes of %d files are not noticed: more than %d are named", w->beyond, LUN_WATCH_MOST);
}

/* ---- what happens ---- */

static void forget_writing(struct lun_watch *w)
{
    for (int i = 0; i < w->n_spots; i++) w->spots[i].writing = 0;
}

/* Made just now and about to be filled. A second name of an old file is complete, and so is a link. */
static bool is_being_made(const char *in, const char *name)
{
    struct stat s;
    char *path = lun_printf("%s/%s", in, name);
    bool yes = !lstat(path, &s) && S_ISREG(s.st_mode) && s.st_nlink == 1;
    free(path);
    return yes;
}

static void happened_to_thing(struct lun_watch *w, struct spot *s, uint32_t what)
{
    if (what & (IN_MODIFY | IN_CLOSE_WRITE)) {
        s->writing = !(what & IN_CLOSE_WRITE);
        touch(w);
    } else w->moved = true;
}

static void happened_to_name(struct lun_watch *w, struct spot *s, const struct inotify_event *e)
{
    s->writing = e->mask & IN_CREATE && is_being_made(s->folder, s->name);
    if (e->mask & IN_CLOSE_WRITE) touch(w);
    else w->moved = true;
}

static void happened_to_lua(struct lun_watch *w, struct spot *s, const struct inotify_event *e)
{
    size_t n = strlen(e->name);
    if (*e->name == '.' || n < 4 || strcmp(e->name + n - 4, ".lua") || e->mask & (IN_DELETE | IN_MOVED_FROM | IN_ISDIR)) return;
    if (e->mask & IN_CREATE) s->writing += is_being_made(s->folder, e->name);
    else if (e->mask & IN_CLOSE_WRITE && s->writing) s->writing--;
    touch(w);
}

static void happened(struct lun_watch *w, const struct inotify_event *e)
{
    struct spot *s;
    if (e->mask & IN_Q_OVERFLOW) {
        forget_writing(w);
        w->moved = true;
        touch(w);
    } else if (!e->len) {
        if ((s = find_spot(w, e->wd, THING, NULL))) happened_to_thing(w, s, e->mask);
    } else if ((s = find_spot(w, e->wd, NAME, e->name))) happened_to_name(w, s, e);
    else if ((s = find_spot(w, e->wd, ANY_LUA, NULL))) happened_to_lua(w, s, e);
}

static void on_events(evutil_socket_t fd, short what, void *self)
{
    struct lun_watch *w = self;
    char bytes[BATCH] __attribute__((aligned(__alignof__(struct inotify_event))));
    (void)what;
    ssize_t n = read(fd, bytes, sizeof bytes);
    if (n <= 0) return;
    lun_reactor_enter(w->reactor);
    for (const char *p = bytes; p < bytes + n; ) {
        const struct inotify_event *e = (const void *)p;
        happened(w, e);
        p += sizeof *e + e->len;
    }
    if (w->moved || w->first != LUN_NEVER) lun_loop_wake(&w->reactor->loop, &w->work);
    lun_reactor_leave(w->reactor);
}

static void on_time(struct lun_timer *t)
{
    struct lun_watch *w = (struct lun_watch *)((char *)t - offsetof(struct lun_watch, timer));
    w->moved |= w->raced;
    lun_loop_wake(&w->reactor->loop, &w->work);
}

static void do_work(struct lun_task *t)
{
    struct lun_watch *w = (struct lun_watch *)((char *)t - offsetof(struct lun_watch, work));
    if (w->moved) look_again(w, true);
    bool tell = due(w) <= w->reactor->loop.now;
    if (tell) {
        look_again(w, false);
        forget_writing(w);
        w->first = LUN_NEVER;
    }
    arm(w);
    if (tell) w->changed(w->self);
}

/* ---- from outside ---- */

struct lun_watch *lun_watch_new(struct lun_reactor *reactor, lun_us quiet, void (*changed)(void *), void *self)
{
    struct lun_watch *w = lun_zalloc(sizeof *w);
    *w = (struct lun_watch){ .reactor = reactor, .quiet = quiet, .changed = changed, .self = self, .first = LUN_NEVER };
    w->timer.fire = on_time;
    w->work.run = do_work;
    w->fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (w->fd < 0) { set_problem(w, "files", errno); return w; }
    w->readable = event_new(reactor->base, w->fd, EV_READ | EV_PERSIST, on_events, w);
    if (!w->readable || event_add(w->readable, NULL)) set_problem(w, "files", ENOMEM);
    return w;
}

static char *absolute(const char *path)
{
    char folder_now[PATH_MAX];
    if (*path == '/' || !getcwd(folder_now, sizeof folder_now)) return lun_strdup(path);
    return lun_printf("%s/%s", folder_now, path);
}

/* With what is known of it, if it is among those that were watched. */
static struct path new_path(const char *text, const struct path *old, int n)
{
    struct path p = { .text = absolute(text), .fresh = true };
    for (int i = 0; i < n && p.fresh; i++)
        if (!old[i].fresh && !strcmp(old[i].text, p.text)) p.stamp = old[i].stamp, p.fresh = false;
    return p;
}

static void free_paths(struct path *paths, int n)
{
    for (int i = 0; i < n; i++) free(paths[i].text);
    free(paths);
}

void lun_watch_files(struct lun_watch *w, const char *const *paths, int n)
{
    struct path *old = w->paths;
    int n_old = w->n;
    if (w->fd < 0) return;
    w->n = n < LUN_WATCH_MOST ? n : LUN_WATCH_MOST;
    w->beyond = n - w->n;
    w->paths = lun_alloc((size_t)(w->n + 1) * sizeof *w->paths);
    for (int i = 0; i < w->n; i++) w->paths[i] = new_path(paths[i], old, n_old);
    free_paths(old, n_old);
    look_again(w, true);
    arm(w);
}

void lun_watch_since(struct lun_watch *w, lun_us since) { w->since = since; }
void lun_watch_any_lua(struct lun_watch *w, bool yes) { w->any_lua = yes; }
const char *lun_watch_problem(const struct lun_watch *w) { return w->problem; }

lun_us lun_watch_clock(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME_COARSE, &t);
    return t.tv_sec * LUN_SECOND + t.tv_nsec / 1000;
}

void lun_watch_free(struct lun_watch *w)
{
    if (!w) return;
    lun_timer_set(&w->reactor->loop, &w->timer, LUN_NEVER);
    lun_loop_forget(&w->reactor->loop, &w->work);
    if (w->readable) event_free(w->readable);
    if (w->fd >= 0) close(w->fd);
    for (int i = 0; i < w->n_spots; i++) free_spot(&w->spots[i]);
    free(w->spots);
    free_paths(w->paths, w->n);
    free(w->problem);
    free(w);
}
