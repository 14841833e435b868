/* The version of the program, said in one place. */
#ifndef LUN_GATEWAY_VERSION_H
#define LUN_GATEWAY_VERSION_H
#define LUN_VERSION "0.1.0"
#endif
