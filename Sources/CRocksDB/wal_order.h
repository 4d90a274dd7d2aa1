#pragma once

#include <rocksdb/wal_filter.h>

#include <optional>
#include <string>

#include "CRocksDB.h"

namespace tq {

/// Looks at the order of the batches that are replayed from the write-ahead logs.
///
/// RocksDB forgives a torn end of every log, not of the last one alone, and misses no log that is gone: in all modes it
/// opens with a hole in the middle. Batches are numbered by a counter among their rows, so a hole shows.
class WalOrder : public rocksdb::WalFilter {
 public:
  /// `flushed` is the counter in the table files: the logs must go on from there.
  WalOrder(const tq_counter &counter, uint64_t flushed, bool cuts) : counter_(counter), last_(flushed), cuts_(cuts) {}

  WalProcessingOption LogRecordFound(unsigned long long number, const std::string &file,
                                     const rocksdb::WriteBatch &batch, rocksdb::WriteBatch *changed,
                                     bool *is_changed) override;
  const char *Name() const override { return "tq.WalOrder"; }

  /// What is missing, and before which file; empty when nothing is.
  const std::string &hole() const { return hole_; }

 private:
  const tq_counter counter_;
  uint64_t last_;
  bool is_first_ = true;
  const bool cuts_;
  std::string hole_;
};

/// Replays nothing: what is left is what the table files hold.
class NoReplay : public rocksdb::WalFilter {
 public:
  WalProcessingOption LogRecordFound(unsigned long long, const std::string &, const rocksdb::WriteBatch &,
                                     rocksdb::WriteBatch *, bool *) override {
    return WalProcessingOption::kStopReplay;
  }
  const char *Name() const override { return "tq.NoReplay"; }
};

/// The counter in the value of its row.
std::optional<uint64_t> counterValue(const tq_counter &counter, const rocksdb::Slice &value);

}  // namespace tq
