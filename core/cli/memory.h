/* The memory of a process that holds keys, kept from others: no core dump is written of it, and no other process of the same user may look into it
 * or read its environment (/proc/PID/environ, ptrace). root may all the same. */
#ifndef LUN_CLI_MEMORY_H
#define LUN_CLI_MEMORY_H
void lun_memory_keep_private(void);
#endif
