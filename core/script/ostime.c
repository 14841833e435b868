#include "script/ostime.h"
#include <lauxlib.h>
#include <string.h>
#include <time.h>
#include "script/vm.h"

#define FORMAT_MOST  200
#define TIME_MOST    2.5e11         /* the year 9892: what %Y and struct tm bear */

static double wall_seconds(lua_State *L)
{
    const struct lun_vm_host *host = &lun_vm_of(L)->options.host;
    return (double)(host->wall(host->user) / LUN_SECOND);
}

int lun_os_clock(lua_State *L)
{
    const struct lun_vm_host *host = &lun_vm_of(L)->options.host;
    lua_pushnumber(L, (double)host->now(host->user) / 1e6);
    return 1;
}

static int field(lua_State *L, const char *name, int missing)
{
    lua_pushstring(L, name);
    lua_rawget(L, 1);
    double v = lua_isnumber(L, -1) ? lua_tonumber(L, -1) : missing;
    if (lua_isnil(L, -1) && missing < 0) luaL_error(L, "field '%s' missing in date table", name);
    if (!(v >= -1e6 && v <= 1e6)) luaL_error(L, "field '%s' is out of range", name);
    lua_pop(L, 1);
    return (int)v;
}

int lun_os_time(lua_State *L)
{
    if (lua_isnoneornil(L, 1)) {
        lua_pushnumber(L, wall_seconds(L));
        return 1;
    }
    luaL_checktype(L, 1, LUA_TTABLE);
    struct tm t = { .tm_year = field(L, "year", -1) - 1900, .tm_mon = field(L, "month", -1) - 1, .tm_mday = field(L, "day", -1),
                    .tm_hour = field(L, "hour", 12), .tm_min = field(L, "min", 0), .tm_sec = field(L, "sec", 0) };
    lua_pushnumber(L, (double)timegm(&t));
    return 1;
}

static void set(lua_State *L, const char *name, int value)
{
    lua_pushinteger(L, value);
    lua_setfield(L, -2, name);
}

static int date_table(lua_State *L, const struct tm *t)
{
    lua_createtable(L, 0, 9);
    set(L, "year", t->tm_year + 1900);
    set(L, "month", t->tm_mon + 1);
    set(L, "day", t->tm_mday);
    set(L, "hour", t->tm_hour);
    set(L, "min", t->tm_min);
    set(L, "sec", t->tm_sec);
    set(L, "wday", t->tm_wday + 1);
    set(L, "yday", t->tm_yday + 1);
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "isdst");
    return 1;
}

static void check_format(lua_State *L, const char *format, size_t n)
{
    luaL_argcheck(L, n <= FORMAT_MOST && strlen(format) == n, 1, "format too long, or with a NUL");
    for (const char *p = strchr(format, '%'); p; p = strchr(p + 2, '%'))
        if (!p[1] || !strchr("aAbBcdHIjmMpSUwWxXyYZ%", p[1])) luaL_argerror(L, 1, "unknown conversion in the format");
}

int lun_os_date(lua_State *L)
{
    char out[FORMAT_MOST * 16 + 1];
    size_t n;
    const char *format = luaL_optlstring(L, 1, "%c", &n);
    double at = luaL_optnumber(L, 2, wall_seconds(L));
    luaL_argcheck(L, at >= -6e10 && at <= TIME_MOST, 2, "time out of range");
    time_t seconds = (time_t)at;
    struct tm t;
    gmtime_r(&seconds, &t);
    if (*format == '!') {
        format++;
        n--;
    }
    if (!strcmp(format, "*t")) return date_table(L, &t);
    check_format(L, format, n);
    lua_pushlstring(L, out, strftime(out, sizeof out, format, &t));
    return 1;
}
