#include "script/cpu.h"
#include "script/bundle.h"
#include <errno.h>
#include <lauxlib.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* A tick costs up to 20 us where a timer's interrupt goes through a hypervisor, and nearly all of them find a hook that began just now, or none. So they
 * are few until one finds a run that lasts, and come by the thread's CPU time, which the system looks at when its own clock ticks (every 4 ms mostly): a
 * thread that waits is woken by none. By the wall's clock, 500 requests a second met 220 ticks, each in the middle of a request: a tenth of its latency. */
#define TICK          LUN_MS
#define COARSE        (2 * TICK)    /* less than what lies between two ticks of the system, or it would be every other of these */
#define IDLE_TICKS    3             /* then the timer stops; starting it again costs 0.75 us */
#define CLOCK_COUNT   100           /* instructions between looks at the clock: 1000 are no cheaper and 10 times later */
#define STEPS_COUNT   1000
#define STEPS_CPU     LUN_SECOND    /* a run by steps is stopped then all the same: an instruction can take a thousand times as long as another */
#define LINES_MOST    10000         /* of a run that is followed; one that goes on is followed no longer */
#define STACK_ROOM    (96 * 1024)

/* One per thread, used by that thread and by the signal handler that interrupts it. */
struct ticker {
    struct lun_vm *volatile vm;     /* whose run is running */
    timer_t                 fine, coarse;   /* one of them goes: by the clock, every TICK; by the thread's CPU time, every COARSE */
    volatile bool           made;
    volatile lun_us         every;          /* TICK, COARSE, or 0: both stand still */
    volatile bool           setting;        /* that is being changed: a tick that comes meanwhile leaves it */
    volatile lun_us         looked, cpu;    /* when it ticked last, and the thread's CPU time then */
    volatile long           held_up;        /* how often the thread had lost its core, or waited for memory, until then */
    volatile int            idle;
    volatile unsigned long  ticks;
};

static __thread struct ticker ticker;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t at_exit;

unsigned long lun_cpu_ticks(void)   { return ticker.ticks; }
bool          lun_cpu_ticking(void) { return ticker.every != 0; }
void         *lun_cpu_ticker(void)  { return &ticker; }

/* ---- stopping ---- */

static bool is_sandbox(const char *source) { return !strcmp(source, "@lua/sandbox.lua"); }
static bool is_ours(const char *source)    { return !strncmp(source, "@lua/", 5) && lun_bundle_find(source + 1); }

static void place(lua_State *L, bool (*passed)(const char *source), char *out, size_t room)
{
    lua_Debug at;
    out[0] = 0;
    for (int level = 0; level < 50 && lua_getstack(L, level, &at); level++) {
        lua_getinfo(L, "Sl", &at);
        if (at.currentline <= 0 || passed(at.source)) continue;
        snprintf(out, room, "%s:%d: ", at.short_src, at.currentline);
        return;
    }
}

void lun_cpu_place(lua_State *L, char *out, size_t room)        { place(L, is_sandbox, out, room); }
void lun_cpu_place_theirs(lua_State *L, char *out, size_t room) { place(L, is_ours, out, room); }

static void stop_now(lua_State *L, struct lun_vm *vm)
{
    if (!vm->where[0]) lun_cpu_place_theirs(L, vm->where, sizeof vm->where);
    if (!vm->where[0] && vm->options.open) lun_cpu_place(L, vm->where, sizeof vm->where);
    lun_cpu_stop(vm, vm->dead);
    lua_pushfstring(L, "%sstopped (%s)", vm->where, lun_failure_name(vm->dead));
    lua_error(L);
}

static long held_up(void)
{
    struct rusage u;
    return getrusage(RUSAGE_THREAD, &u) ? -1 : u.ru_nivcsw + u.ru_majflt;
}

/* CPU time of a run that no tick has seen yet: its age, if nothing held the thread up since the last tick, but no more than the thread took since (it may
 * have been stopped); or else its age without the time since then in which the thread did not run (which may have been before the run). Up to a
 * millisecond of its age counts in any case. `t` NULL: nothing is known of that. */
static lun_us unseen(const struct ticker *t, const struct lun_vm *vm, lun_us now, lun_us cpu)
{
    lun_us age = now - vm->started, sure = age < TICK ? age : TICK;
    if (!t || vm->started < t->looked) return sure;
    lun_us ran = cpu - t->cpu, lost = now - t->looked - ran, own = age - (lost > 0 ? lost : 0);
    if (t->held_up == held_up()) own = age < ran ? age : ran;
    return own > sure ? own : sure;
}

static void look(struct ticker *t, lun_us now, lun_us cpu)
{
    t->looked = now;
    t->cpu = cpu;
    t->held_up = held_up();
}

static void tick(struct lun_vm *vm, const struct ticker *t, lun_us now, lun_us cpu)
{
    if (!vm->ticked) {
        vm->cpu_before = cpu - unseen(t, vm, now, cpu);
        vm->ticked = true;
    }
    if (cpu - vm->cpu_before >= vm->cpu_room) lun_cpu_stop(vm, LUN_FAILURE_CPU);
}

static void look_at_clock(struct lun_vm *vm)
{
    lun_us now = lun_clock_now();
    if (now - vm->ticked_at < TICK) return;
    vm->ticked_at = now;
    tick(vm, NULL, now, lun_clock_cpu());
}

static void count(struct lun_vm *vm, int64_t units)
{
    if (vm->options.cpu == LUN_CPU_CLOCK && vm->cpu_room != LUN_UNLIMITED) look_at_clock(vm);
    if (vm->options.cpu != LUN_CPU_STEPS) return;
    vm->steps += units;
    if (vm->steps > vm->steps_room) lun_cpu_stop(vm, LUN_FAILURE_CPU);
}

static bool is_dear(const struct lun_vm *vm) { return vm->options.cpu == LUN_CPU_STEPS && lun_clock_cpu() - vm->cpu_before > STEPS_CPU; }

static void on_count(lua_State *L, lua_Debug *at);

/* No function of the user's own called the one that is at level 0. */
static bool is_outermost(lua_State *L)
{
    lua_Debug up;
    for (int level = 1; level < 50 && lua_getstack(L, level, &up); level++) {
        lua_getinfo(L, "Sl", &up);
        if (up.currentline > 0 && !is_ours(up.source)) return false;
    }
    return true;
}

static void follow(lua_State *L, struct lun_vm *vm, lua_Debug *at)
{
    if (++vm->lines > LINES_MOST) {
        vm->line[0] = 0;
        lua_sethook(vm->L, on_count, lua_gethookmask(vm->L) & ~LUA_MASKLINE, lua_gethookcount(vm->L));
        return;
    }
    lua_getinfo(L, "Sl", at);
    if (is_ours(at->source) || !is_outermost(L)) return;
    snprintf(vm->line, sizeof vm->line, "%s:%d", at->short_src, at->currentline);
}

static void on_count(lua_State *L, lua_Debug *at)
{
    struct lun_vm *vm = lun_vm_of(L);
    if (!vm->run) return;
    if (at->event == LUA_HOOKLINE) follow(L, vm, at);
    else if (!vm->dead) count(vm, STEPS_COUNT);
    if (!vm->dead && is_dear(vm)) lun_cpu_stop(vm, LUN_FAILURE_CPU);
    if (vm->dead) stop_now(L, vm);
}

void lun_cpu_stop(struct lun_vm *vm, enum lun_failure why)
{
    if (!vm->dead) vm->dead = (sig_atomic_t)why;
    vm->hooked = true;
    lua_sethook(vm->L, on_count, LUA_MASKCOUNT, 1);
}

void lun_vm_work(lua_State *L, int64_t units)
{
    struct lun_vm *vm = lun_vm_of(L);
    uintptr_t here = (uintptr_t)__builtin_frame_address(0);
    if (!vm->run) return;
    if (here < vm->stack && vm->stack - here > STACK_ROOM) luaL_error(L, "stack overflow (too many calls inside one another)");
    if (!vm->dead) count(vm, units);
    if (vm->dead) stop_now(L, vm);
}

void lun_vm_check(lua_State *L) { lun_vm_work(L, 0); }

/* ---- the timer ---- */

static void set(timer_t timer, lun_us every)
{
    struct itimerspec spec = { { 0, every * 1000 }, { 0, every * 1000 } };
    timer_settime(timer, 0, &spec, NULL);
}

static timer_t timer_of(const struct ticker *t, lun_us every) { return every == TICK ? t->fine : t->coarse; }

static void set_pace(struct ticker *t, lun_us every)
{
    t->setting = true;
    atomic_signal_fence(memory_order_seq_cst);
    if (t->every) set(timer_of(t, t->every), 0);
    if (every) set(timer_of(t, every), every);
    t->every = every;
    atomic_signal_fence(memory_order_seq_cst);
    t->setting = false;
}

/* How often a run is looked at that has begun so long ago. */
static lun_us pace(const struct lun_vm *vm, lun_us age) { return vm && (age >= TICK || vm->cpu_room < COARSE + TICK) ? TICK : COARSE; }

static void on_tick(int number, siginfo_t *info, void *context)
{
    struct ticker *t = info->si_value.sival_ptr;
    int saved = errno;
    (void)number;
    (void)context;
    if (info->si_code != SI_TIMER) return;
    lun_us now = lun_clock_now(), cpu = lun_clock_cpu();
    struct lun_vm *vm = t->vm;
    t->ticks++;
    t->idle = vm ? 0 : t->idle + 1;
    if (vm) tick(vm, t, now, cpu);
    if (vm && vm->dead) lun_cpu_stop(vm, vm->dead);     /* again: the VM may have put an older mask back */
    look(t, now, cpu);
    lun_us every = t->idle >= IDLE_TICKS ? 0 : pace(vm, vm ? now - vm->started : 0);
    if (every != t->every && !t->setting) set_pace(t, every);
    errno = saved;
}

static void thread_ends(void *arg)
{
    struct ticker *t = arg;
    timer_delete(t->fine);
    timer_delete(t->coarse);
    t->made = false;
    t->every = 0;
}

/* A child has no timers of its parent. */
static void forked(void)
{
    ticker.made = false;
    ticker.every = 0;
}

static void set_up(void)
{
    struct sigaction action = { .sa_sigaction = on_tick, .sa_flags = SA_SIGINFO | SA_RESTART | SA_ONSTACK };
    sigemptyset(&action.sa_mask);
    sigaction(SIGURG, &action, NULL);
    pthread_key_create(&at_exit, thread_ends);
    pthread_atfork(NULL, NULL, forked);
}

static bool make_timer(struct ticker *t)
{
    struct sigevent event = { .sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGURG, .sigev_value.sival_ptr = t };
    sigset_t ours;
    event._sigev_un._tid = (int)syscall(SYS_gettid);
    pthread_once(&once, set_up);
    if (timer_create(CLOCK_MONOTONIC, &event, &t->fine)) return false;
    if (timer_create(CLOCK_THREAD_CPUTIME_ID, &event, &t->coarse)) {
        timer_delete(t->fine);
        return false;
    }
    t->made = true;
    pthread_setspecific(at_exit, t);
    sigemptyset(&ours);
    sigaddset(&ours, SIGURG);
    pthread_sigmask(SIG_UNBLOCK, &ours, NULL);
    return true;
}

static void watch(struct lun_vm *vm)
{
    struct ticker *t = &ticker;
    if (!t->made && !make_timer(t)) {
        vm->options.cpu = LUN_CPU_CLOCK;        /* the system has no timer left */
        return;
    }
    vm->outer = t->vm;
    atomic_signal_fence(memory_order_seq_cst);
    t->vm = vm;
    atomic_signal_fence(memory_order_seq_cst);
    if (!t->every) {
        t->idle = 0;
        look(t, vm->started, lun_clock_cpu());
        set_pace(t, pace(vm, 0));
    } else if (t->every > pace(vm, 0)) set_pace(t, TICK);
}

/* ---- a run ---- */

static void set_hook(struct lun_vm *vm, int every)
{
    vm->hooked = true;
    lua_sethook(vm->L, on_count, LUA_MASKCOUNT, every);
}

static void begin(struct lun_vm *vm)
{
    if (vm->options.cpu == LUN_CPU_STEPS) {
        vm->cpu_before = lun_clock_cpu();
        if (vm->steps_room != LUN_UNLIMITED) set_hook(vm, STEPS_COUNT);
        return;
    }
    if (vm->cpu_room == LUN_UNLIMITED) return;
    vm->started = vm->ticked_at = lun_clock_now();
    if (vm->options.cpu == LUN_CPU_SIGNAL) watch(vm);
    if (vm->options.cpu == LUN_CPU_CLOCK) set_hook(vm, CLOCK_COUNT);
}

/* Beside what limits it. A signal that stops the run in between does so again at the next tick. */
static void begin_to_follow(struct lun_vm *vm)
{
    vm->line[0] = 0;
    vm->lines = 0;
    vm->hooked = true;
    lua_sethook(vm->L, on_count, lua_gethookmask(vm->L) | LUA_MASKLINE, lua_gethookcount(vm->L));
}

void lun_cpu_begin(struct lun_vm *vm)
{
    vm->steps = 0;
    vm->ticked = false;
    begin(vm);
    if (vm->follow) begin_to_follow(vm);
}

static lun_us taken(struct lun_vm *vm)
{
    if (vm->cpu_room == LUN_UNLIMITED) return 0;
    if (vm->ticked) return lun_clock_cpu() - vm->cpu_before;
    lun_us now = lun_clock_now();
    if (vm->options.cpu != LUN_CPU_SIGNAL || now - vm->started < TICK) return unseen(NULL, vm, now, 0);
    return unseen(&ticker, vm, now, lun_clock_cpu());
}

int64_t lun_cpu_end(struct lun_vm *vm)
{
    if (vm->options.cpu == LUN_CPU_SIGNAL && vm->cpu_room != LUN_UNLIMITED) {
        ticker.vm = vm->outer;
        atomic_signal_fence(memory_order_seq_cst);
    }
    if (vm->hooked) lua_sethook(vm->L, NULL, 0, 0);
    vm->hooked = false;
    /* never nothing: a hook that goes on waiting for what is there at once comes to an end too */
    int64_t least = vm->options.cpu == LUN_CPU_STEPS ? STEPS_COUNT : 1, took = vm->options.cpu == LUN_CPU_STEPS ? vm->steps : taken(vm);
    return took > least ? took : least;
}
