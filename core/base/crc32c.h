/* CRC-32C (Castagnoli; RFC 3720, appendix B.4): tells a record that was torn from one that is whole. Not against somebody who forges one. */
#ifndef LUN_BASE_CRC32C_H
#define LUN_BASE_CRC32C_H
#include <stddef.h>
#include <stdint.h>

/* Of `n` bytes; by the processor's own instruction where it has one (asked at run time). Any thread. */
uint32_t lun_crc32c(const void *bytes, size_t n);
/* The same by a table alone. For tests. */
uint32_t lun_crc32c_table(const void *bytes, size_t n);
#endif
