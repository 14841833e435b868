/* os.time, os.date, os.clock on the clocks of the machine's host, so that virtual time works. Dates are in UTC. As in
 * Lua 5.1 (reference manual, 5.8), with the conversions aAbBcdHIjmMpSUwWxXyYZ% only. lua_CFunctions. */
#ifndef LUN_SCRIPT_OSTIME_H
#define LUN_SCRIPT_OSTIME_H
#include <lua.h>

int lun_os_time(lua_State *L);      /* whole seconds now, or of a table of fields */
int lun_os_date(lua_State *L);      /* format (at most 200 bytes), time */
int lun_os_clock(lua_State *L);     /* seconds of the monotonic clock, with fraction */
#endif
