// Every setting of RocksDB that differs from its default, and why.

#include "options.h"

#include <rocksdb/cache.h>
#include <rocksdb/convenience.h>
#include <rocksdb/table.h>

#include <algorithm>

namespace {

rocksdb::CompressionType coldCompression() {
  const auto supported = rocksdb::GetSupportedCompressions();
  for (const auto wanted : {rocksdb::kZSTD, rocksdb::kLZ4Compression}) {
    if (std::find(supported.begin(), supported.end(), wanted) != supported.end()) return wanted;
  }
  return rocksdb::kNoCompression;
}

}  // namespace

rocksdb::DBOptions tq::databaseOptions(const tq_options &options) {
  rocksdb::DBOptions db;
  db.create_if_missing = options.create_if_missing;
  db.create_missing_column_families = options.create_if_missing;

  // Damage. The default mode (point in time) opens a log with one flipped bit in its middle and silently drops every
  // acknowledged batch behind it; absolute consistency refuses honest power cuts. This one refuses damage and takes a
  // torn tail. Without paranoid_checks every mode opens damaged logs with holes.
  db.wal_recovery_mode = options.cut_wal_at_damage ? rocksdb::WALRecoveryMode::kPointInTimeRecovery
                                                   : rocksdb::WALRecoveryMode::kTolerateCorruptedTailRecords;
  db.paranoid_checks = true;
  db.best_efforts_recovery = false;
  // Who closes flushes; a store that has found damage must not.
  db.avoid_flush_during_shutdown = true;
  // After a failed write nothing more is written until the store is opened anew; no thread should try by itself.
  db.max_bgerror_resume_count = 0;
  // RocksDB sets it to 0 in most recovery modes anyway, and recycled logs have lost data (facebook/rocksdb 12918).
  db.recycle_log_file_num = 0;

  // Writing. One thread writes; both features below are for many, and unordered writes and log compression measured two
  // to three times slower.
  db.allow_concurrent_memtable_write = false;
  db.enable_pipelined_write = false;
  db.unordered_write = false;
  db.wal_compression = rocksdb::kNoCompression;
  // A segment is put and deleted within seconds: both should meet in the memtable and never reach a file.
  db.db_write_buffer_size = options.memtable_bytes;
  // Bounds what a start after a kill replays.
  db.max_total_wal_size = 4 * options.memtable_bytes;

  // What recovery has read is in table files, synced, before the first write of whoever opened the store.
  db.avoid_flush_during_recovery = false;
  // All families are flushed together, so that the counter in the table files says up to where they hold everything.
  db.atomic_flush = true;

  // Size. An idle store costs few threads, little memory and a short log.
  db.max_open_files = options.open_files_max;
  db.max_background_jobs = 2;
  db.stats_dump_period_sec = 0;
  db.stats_persist_period_sec = 0;
  return db;
}

std::shared_ptr<rocksdb::TableFactory> tq::tableFactory(const tq_options &options) {
  rocksdb::BlockBasedTableOptions table;
  table.block_cache = rocksdb::NewLRUCache(options.block_cache_bytes, /*num_shard_bits=*/2);
  table.format_version = 5;
  table.checksum = rocksdb::kCRC32c;  // hardware-computed, see crc32c.cc
  return std::shared_ptr<rocksdb::TableFactory>(rocksdb::NewBlockBasedTableFactory(table));
}

rocksdb::ColumnFamilyOptions tq::familyOptions(const tq_options &options, bool cold,
                                               const std::shared_ptr<rocksdb::TableFactory> &tables) {
  rocksdb::ColumnFamilyOptions family;
  family.table_factory = tables;
  // The total decides (db_write_buffer_size), so that one busy family may use all of it.
  family.write_buffer_size = options.memtable_bytes;
  // Compaction competes with the commits for the processor, and hot rows die young: compress what stays.
  family.compression = cold ? coldCompression() : rocksdb::kNoCompression;
  family.compaction_style = rocksdb::kCompactionStyleLevel;
  family.force_consistency_checks = true;
  return family;
}
