/* A terminal that a command has to itself, by plain escape sequences (ECMA-48, and the alternate screen of xterm, which all have that people use): what was on
 * it before is back when it is left, however that comes about: by its person, a signal, an end of input. One at a time, one thread. */
#ifndef LUN_CLI_SCREEN_H
#define LUN_CLI_SCREEN_H
#include "base/buf.h"
#include <stdbool.h>

struct lun_screen;
/* Keys that are no characters, and what else is heard of. */
enum { LUN_SCREEN_TIME = 0x110000 /* none came in time */, LUN_SCREEN_SIZE /* it has another size */, LUN_SCREEN_END, LUN_SCREEN_UP, LUN_SCREEN_DOWN, LUN_SCREEN_LEFT,
       LUN_SCREEN_RIGHT, LUN_SCREEN_PAGE_UP, LUN_SCREEN_PAGE_DOWN };

/* Takes standard input and output. From here on SIGINT, SIGTERM, SIGHUP, SIGQUIT are an END, and SIGTSTP leaves the screen for as long as it is stopped. NULL: errno. */
struct lun_screen *lun_screen_open(void);
/* Puts all back. The signal that it was ended by, which should end the process, or 0. NULL is fine. */
int lun_screen_close(struct lun_screen *);
void lun_screen_size(struct lun_screen *, int *columns, int *lines);
/* Draws these lines, each cut where the screen ends; what is below them is empty. Colours (ESC [ … m) take no room. */
void lun_screen_draw(struct lun_screen *, const struct lun_buf *);
/* The next key (a character as its byte) or what else there is; waits for it. END again and again once there was one. */
int lun_screen_next(struct lun_screen *, int wait_ms);
/* Whether somebody wants it to end: q was pressed, or a signal has come. Waits for nothing, takes no other key away. */
bool lun_screen_ends(struct lun_screen *);
#endif
