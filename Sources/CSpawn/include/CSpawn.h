#pragma once

/// What <spawn.h> has for C with GNU extensions alone, and Swift's Glibc module therefore lacks.
///
/// Adds to a `posix_spawn_file_actions_t` that the child closes its descriptors from `first` on. Returns 0 or an errno.
/// Before glibc 2.34 there is no such action: descriptors that are not marked close-on-exec are inherited then.
int tq_spawn_close_from(void *file_actions, int first);
