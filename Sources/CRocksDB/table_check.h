#pragma once

#include <rocksdb/listener.h>
#include <rocksdb/sst_file_reader.h>
#include <rocksdb/status.h>

#include <atomic>
#include <mutex>
#include <string>

namespace tq {

/// Finds a flipped bit that would end the process: RocksDB reads the block of a table file's properties before it compares
/// the block's checksum, and a build with assertions aborts when the block says that it has a hash index, which none has.
///
/// What it cannot read is left to RocksDB, which refuses it.
rocksdb::Status checkProperties(const std::string &path);

/// The same for every table file of a directory.
rocksdb::Status checkPropertiesOfAll(const std::string &directory);

/// Opens a table file whose properties are sound; its blocks are not read yet.
rocksdb::Status openTable(rocksdb::SstFileReader &reader, const std::string &path);

/// Reads every block of a table file and compares its checksum.
rocksdb::Status checkTable(const std::string &path);

/// Reads what a compaction is about to read, and stops it when something is damaged.
///
/// The iterators of RocksDB before 8.5.1 take a table file below level 0 whose first block cannot be read for an empty
/// one, unless it is the first of its level; with range deletions about, those before 8.5.2 forget other errors too. A
/// compaction would leave the rows out and delete the file.
class CompactionGuard : public rocksdb::EventListener {
 public:
  void OnCompactionBegin(rocksdb::DB *db, const rocksdb::CompactionJobInfo &job) override;

  bool hasFound() const { return has_found_.load(std::memory_order_acquire); }
  /// What was damaged, after which the store must not be written any more.
  std::string damage();

 private:
  std::atomic<bool> has_found_{false};
  std::mutex mutex_;
  std::string damage_;
};

}  // namespace tq
