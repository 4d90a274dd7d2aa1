// Shows ThreadSanitizer what it cannot see of Swift's Mutex; preloaded by `tools/test --sanitize thread`.
//
// A Mutex that is free is taken and given back by atomic operations in the program itself, which the sanitizer watches.
// One that is contended is taken and given back inside libswiftSynchronization, which is not instrumented, so every two
// threads that met at a Mutex would be reported as a race on what it guards. These two functions stand in front of the
// library's own and say what they do.

#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdint.h>

#define SWIFT __attribute__((swiftcall))
#define SELF __attribute__((swift_context)) void *

#define LOCK "$s15Synchronization12_MutexHandleV9_lockSlowyys6UInt32VF"
#define UNLOCK "$s15Synchronization12_MutexHandleV11_unlockSlowyyF"

// Missing in programs that are not instrumented.
extern void __tsan_acquire(void *address) __attribute__((weak));
extern void __tsan_release(void *address) __attribute__((weak));

typedef SWIFT void lock_function(uint32_t thread, SELF mutex);
typedef SWIFT void unlock_function(SELF mutex);

lock_function tq_lock __asm__(LOCK);
unlock_function tq_unlock __asm__(UNLOCK);

SWIFT void tq_lock(uint32_t thread, SELF mutex) {
    lock_function *lock = (lock_function *)dlsym(RTLD_NEXT, LOCK);
    lock(thread, mutex);
    if (__tsan_acquire) __tsan_acquire(mutex);
}

SWIFT void tq_unlock(SELF mutex) {
    unlock_function *unlock = (unlock_function *)dlsym(RTLD_NEXT, UNLOCK);
    if (__tsan_release) __tsan_release(mutex);
    unlock(mutex);
}
