#define _GNU_SOURCE
#include "CSpawn.h"

#include <errno.h>
#include <spawn.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif

int tq_spawn_close_from(void *file_actions, int first) {
#if defined(__GLIBC__) && __GLIBC_PREREQ(2, 34)
    return posix_spawn_file_actions_addclosefrom_np(file_actions, first);
#else
    (void)file_actions;
    (void)first;
    return 0;
#endif
}

int tq_set_parent_death_signal(int signal) {
#ifdef __linux__
    return prctl(PR_SET_PDEATHSIG, signal) == 0 ? 0 : errno;
#else
    (void)signal;
    return 0;
#endif
}
