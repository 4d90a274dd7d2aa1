#pragma once

#include <stdint.h>

/// A library that is loaded into a process before the C library (LD_PRELOAD) and stands between the process and one
/// directory: it writes down what would be on the disk after a power cut, and lets calls fail as it is told to. It stands
/// before the wall clock, too, which it sets forward and back.
///
/// | variable | |
/// |---|---|
/// | `TQ_FAULTS_DIRECTORY` | the directory, which must exist; without the variable every call to files passes through |
/// | `TQ_FAULTS_JOURNAL` | the journal, a file that must not exist; without the variable there is none |
/// | `TQ_FAULTS_CONTROL` | the control file, 4096 bytes; without the variable nothing fails |
///
/// Neither file may be in the directory. A process that cannot use one of them, or cannot write its journal later,
/// exits with 70: a test that goes on without it would prove nothing.
///
/// What is seen: `open` and its relatives, `write`, `pwrite`, `writev`, `pwritev`, `ftruncate`, `fallocate`,
/// `posix_fallocate`, `fsync`, `fdatasync`, `rename`, `link`, `unlink`, `remove`, `mkdir`, `rmdir` and `close`. What is
/// not seen: streams (`fopen`), memory maps that are written, `truncate`, `O_SYNC`, `dup`, symbolic links, and that
/// `pwrite` appends where a file was opened to be appended to.
/// `sync_file_range` passes through, because it promises nothing. A replayed journal that equals the directory proves
/// that nothing was missed. A name cannot move in or out: `rename` and `link` across the border fail with EXDEV.
///
/// The journal is a header and records, integers as this machine writes them. A record is appended, whole, after its
/// operation took effect and before the next one begins, so that the order of records is the order of the effects; only
/// syncs run beside other operations, and have two records. A process that is killed may leave half of its last record,
/// or a last effect without a record.
///
/// A journal begins with what is in the directory when the process starts, as `TQ_RECORD_CREATE`,
/// `TQ_RECORD_DIRECTORY` and `TQ_RECORD_WRITE`, and then `TQ_RECORD_STARTED`: all before it is taken for durable.
typedef struct {
    char magic[8];      // "TQDISKJ1"; the last character is the version of the format
    uint64_t directory; // the inode of the directory
} tq_journal_header;

enum {
    TQ_RECORD_STARTED = 1,
    TQ_RECORD_CREATE = 2,     // a new file; payload: its name
    TQ_RECORD_DIRECTORY = 3,  // a new directory; payload: its name
    TQ_RECORD_WRITE = 4,      // number: offset; payload: the bytes
    TQ_RECORD_TRUNCATE = 5,   // number: the new size, which may be a larger one
    TQ_RECORD_RENAME = 6,     // payload: old name, zero byte, new name
    TQ_RECORD_LINK = 7,       // payload: old name, zero byte, new name
    TQ_RECORD_REMOVE = 8,     // payload: the name of a file or directory that is gone
    TQ_RECORD_SYNC_BEGIN = 9, // of a file or directory; number: of the sync, from 1
    TQ_RECORD_SYNC_END = 10,  // number: of the sync; outcome: TQ_SYNC_...
};

enum {
    TQ_SYNC_DURABLE = 0, // what was written before its begin is durable
    TQ_SYNC_KEPT = 1,    // it failed, or lied; the next sync may make the same bytes durable
    TQ_SYNC_DROPPED = 2, // it failed, and what was written before its begin is never synced: so Linux behaves
};

/// Names are paths below the directory, without a slash in front and without a zero byte.
typedef struct {
    uint32_t length;      // of the payload that follows
    uint16_t kind;        // TQ_RECORD_...
    uint16_t outcome;     // of a sync; else 0
    uint64_t nanoseconds; // CLOCK_MONOTONIC when it was appended; never less than in the record before
    uint64_t file;        // the inode; used again for a new file once a file is gone
    uint64_t number;
} tq_journal_record;

/// The kinds of operations that can fail.
enum {
    TQ_FAULTS_WRITE = 0,
    TQ_FAULTS_SYNC = 1,
    TQ_FAULTS_ALLOCATE = 2, // changes of a size by fallocate and truncate
    TQ_FAULTS_NAME = 3,     // new, changed and removed names
    TQ_FAULTS_KINDS = 4,
};

/// What else happens when an operation fails, besides its error.
enum {
    TQ_MANNER_PLAIN = 0, // nothing; a failed sync keeps its bytes for the next
    TQ_MANNER_SHORT = 1, // writes: half of the bytes (of the first part) are written, and the caller is told so
    TQ_MANNER_TORN = 2,  // writes: half of the bytes are written, and the caller is told of the error
    TQ_MANNER_DROP = 3,  // syncs: the bytes are never synced, see TQ_SYNC_DROPPED
    TQ_MANNER_LIE = 4,   // syncs: success is reported, nothing is durable
};

/// One kind's part of the control file. Whoever arms a rule stores `times` last.
typedef struct {
    uint64_t operations; // counted by the library: asked for on files below the directory
    uint64_t failed;     // counted by the library: failed as told
    uint64_t from;       // the first operation that fails, by its number from 1
    uint64_t times;      // how many more fail; counted down, but UINT64_MAX stays
    uint64_t error;      // an errno
    uint64_t manner;     // TQ_MANNER_...
    uint64_t reserved[2];
} tq_faults_rule;

/// The control file: changed by the test while the process runs.
typedef struct {
    char magic[8];                   // "TQFAULT1"
    uint64_t sync_delay_nanoseconds; // each sync takes that much longer
    uint64_t is_full;                // not 0: writes and allocations that make a file larger fail with ENOSPC
    int64_t wall_clock_seconds;      // the wall clock is that much ahead
    uint64_t reserved[4];
    tq_faults_rule rules[TQ_FAULTS_KINDS];
} tq_faults_control;
