/* The text of a new key: "sk-lun-" and 43 letters and digits by chance, 256 bits of it. */
#ifndef LUN_GATEWAY_KEY_TEXT_H
#define LUN_GATEWAY_KEY_TEXT_H
#include "state/keyring.h"

enum { LUN_KEY_LETTERS = 43, LUN_KEY_TEXT = sizeof LUN_KEY_BEGIN + LUN_KEY_LETTERS };

/* Makes one, and its digest. False: the system gives no randomness. Whoever has it wipes it when it was shown. */
bool lun_key_text_make(char text[LUN_KEY_TEXT], struct lun_key_digest *);
#endif
