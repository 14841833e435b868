#include "cli/cli.h"
#include <stdio.h>

int lun_command_test(int argc, char **argv)
{
    (void)argc, (void)argv;
    return fputs("lunette test: not built yet\n", stderr), 1;
}
