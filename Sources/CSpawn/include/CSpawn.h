#pragma once

/// What C has for the start of processes and Swift's Glibc module lacks: extensions of <spawn.h> and <sys/prctl.h>.

/// Adds to a `posix_spawn_file_actions_t` that the child closes its descriptors from `first` on. Returns 0 or an errno.
/// Before glibc 2.34 there is no such action: descriptors that are not marked close-on-exec are inherited then.
int tq_spawn_close_from(void *file_actions, int first);

/// Lets the calling process, and the program that it may turn into, get that signal when the thread that started it ends,
/// however it ends. Returns 0 or an errno; elsewhere than on Linux there is no such thing, and the answer is 0.
int tq_set_parent_death_signal(int signal);
