/* Files of scores: CSV with a line of names, among them `prompt`, `weak` and `strong`, in any order: a question, and how good the answers of the cheap and
 * the strong model were (0, 1, false, true or a number between). Read a row at a time: of a row its features are kept, not its text. */
#ifndef LUN_CLI_SCORES_H
#define LUN_CLI_SCORES_H
#include "base/buf.h"
#include "state/router_train.h"

enum { LUN_SCORES_ROW = 1 << 20 };      /* bytes of a row, at most */

/* Reads one. False: `why` says in which line what is wrong, with the file's name. Free the lessons in any case. */
bool lun_scores_read(const char *path, struct lun_lessons *, struct lun_buf *why);
#endif
