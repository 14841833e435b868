/* Random bits of the system's, getrandom(2). Where it has none (a sandbox that forbids the call) they are of the clocks: good enough to tell things
 * apart, not to keep a secret. Who makes secrets asks the system himself and fails. */
#ifndef LUN_BASE_RANDOM_H
#define LUN_BASE_RANDOM_H
#include <stdint.h>

uint64_t lun_random(void);
void lun_random_id(char out[33]);               /* 128 bits: 32 hexadecimal digits */
#endif
