// RocksDB as plain C: what ByteStore needs and no more. Errors are values; no C++ exception ever leaves a function.
//
// Pointers that a function takes are borrowed for the call. A store may be used by several threads at once; a batch, a
// scan and a value belong to one thread at a time. All keys are compared as unsigned bytes.

#ifndef TQ_CROCKSDB_H
#define TQ_CROCKSDB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// MARK: Errors

typedef enum tq_code {
  TQ_OK = 0,
  TQ_IO,            // the operating system said no
  TQ_NO_SPACE,      // the disk is full
  TQ_CORRUPTION,    // stored bytes are damaged or missing
  TQ_LOCKED,        // another process has the store open
  TQ_NEWER_FORMAT,  // families or options of a later version
  TQ_NOT_FOUND,     // no store there
  TQ_CLOSED,        // the store was closed
  TQ_INVALID        // everything else: a wrong argument, an unsupported operation
} tq_code;

/// The outcome of a call; `message` is NULL with TQ_OK and otherwise to be freed with `free`.
typedef struct tq_status {
  tq_code code;
  char *message;
} tq_status;

// MARK: CRC32C

/// CRC32C (Castagnoli) of the bytes, continuing the checksum of the bytes before them (0 at the start).
uint32_t tq_crc32c(uint32_t crc, const void *bytes, size_t count);
/// The same, never with the processor's instructions.
uint32_t tq_crc32c_portable(uint32_t crc, const void *bytes, size_t count);
/// Whether the processor's instructions are in use.
bool tq_crc32c_is_accelerated(void);
/// Whether every implementation in use, RocksDB's included, gives the published checksums.
bool tq_crc32c_self_test(void);
/// Whether RocksDB's own checksums are computed by `tq_crc32c`.
bool tq_crc32c_serves_rocksdb(void);

// MARK: Batches

/// Memory for one batch image, which RocksDB takes over for a write and gives back: nothing is copied.
typedef struct tq_batch tq_batch;

tq_batch *tq_batch_create(void);
void tq_batch_destroy(tq_batch *batch);
/// Makes room for at least `capacity` bytes, keeping what is there; NULL when memory is exhausted. `*granted` is the
/// room there is.
uint8_t *tq_batch_reserve(tq_batch *batch, size_t capacity, size_t *granted);
/// Gives the memory back to the system.
void tq_batch_release_memory(tq_batch *batch);

// MARK: The store

typedef struct tq_store tq_store;

typedef struct tq_family {
  const char *name;
  bool cold;  // compressed: written once, seldom read
} tq_family;

/// A row of family 0 that the first operation of each batch puts, with the batch's number in its value.
typedef struct tq_counter {
  const char *key;
  size_t offset;  // where in the value: a u64, little-endian
} tq_counter;

typedef struct tq_options {
  size_t memtable_bytes;     // all families together
  size_t block_cache_bytes;  // all families together
  int open_files_max;
  bool create_if_missing;
  bool read_only;
  bool cut_wal_at_damage;  // point-in-time recovery: drops everything from the first damaged record on
  tq_counter counter;      // the logs must have every number; a NULL key checks nothing
} tq_options;

/// Opens the store and checks that the id of families[i] is i.
tq_status tq_store_open(const char *path, const tq_options *options, const tq_family *families, size_t family_count,
                        tq_store **store);
/// Flushes (when `flush` is true) and closes; waits for calls under way; idempotent. Calls made later get TQ_CLOSED.
void tq_store_close(tq_store *store, bool flush);
/// Closes where that was not done and frees.
void tq_store_destroy(tq_store *store);

/// Writes the first `used` bytes of the batch, an image in RocksDB's format, atomically. The memory stays at its
/// address.
tq_status tq_store_write(tq_store *store, tq_batch *batch, size_t used, bool sync);
/// Makes every earlier write durable. Never after a failed write: the engine would end the process.
tq_status tq_store_sync(tq_store *store);
tq_status tq_store_flush(tq_store *store);
tq_status tq_store_checkpoint(tq_store *store, const char *path);
/// Compacts a range; `lower` or `upper` may be NULL for no bound.
tq_status tq_store_compact(tq_store *store, uint32_t family, const uint8_t *lower, size_t lower_count,
                           const uint8_t *upper, size_t upper_count);
/// Reads all table files of a family and compares their checksums, which scans alone do not do reliably.
tq_status tq_store_check_tables(tq_store *store, uint32_t family);
/// An integer property of RocksDB; 0 when there is none of that name.
uint64_t tq_store_property(tq_store *store, uint32_t family, const char *name);

// MARK: Salvage

/// Whether a table file can be opened at all; its blocks are not read.
tq_status tq_table_check(const char *path);
/// Lists the table files of a directory in a new manifest, the old one unread, so that the store opens again with
/// everything that its logs hold. For a copy: files are moved about, and a damaged table file is left out whole.
tq_status tq_store_rebuild_manifest(const char *path, const tq_options *options, const tq_family *families,
                                    size_t family_count);

// MARK: Reading

typedef struct tq_snapshot tq_snapshot;

tq_status tq_snapshot_create(tq_store *store, tq_snapshot **snapshot);
void tq_snapshot_destroy(tq_snapshot *snapshot);

/// Bytes of the engine; `owner` is NULL when there is no such row. An unreleased value keeps the store from closing.
typedef struct tq_value {
  const uint8_t *bytes;
  size_t count;
  void *owner;
} tq_value;

void tq_value_release(tq_value *value);

/// `snapshot` may be NULL, here and below: the newest state.
tq_status tq_get(tq_store *store, const tq_snapshot *snapshot, uint32_t family, const uint8_t *key, size_t key_count,
                 tq_value *value);

/// The last row with lower <= key <= upper, as one row in the form of `tq_scan_next`.
tq_status tq_last(tq_store *store, const tq_snapshot *snapshot, uint32_t family, const uint8_t *lower,
                  size_t lower_count, const uint8_t *upper, size_t upper_count, tq_value *row);

/// Rows of a range, handed out in blocks. An open scan keeps the store from closing.
typedef struct tq_scan tq_scan;

tq_status tq_scan_open(tq_store *store, const tq_snapshot *snapshot, uint32_t family, const uint8_t *lower,
                       size_t lower_count, const uint8_t *upper, size_t upper_count, tq_scan **scan);
/// The next rows, each as key length and value length (u32 in the machine's byte order), key, value; a count of 0 ends
/// the scan. The bytes stay valid until the next call with this scan.
tq_status tq_scan_next(tq_scan *scan, const uint8_t **rows, size_t *count);
void tq_scan_close(tq_scan *scan);

#ifdef __cplusplus
}
#endif

#endif
