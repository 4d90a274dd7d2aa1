#pragma once

#include <rocksdb/env.h>

#include <mutex>
#include <string>

namespace tq {

/// RocksDB's own diary, in `LOG` of the store's directory; what it held before is in `LOG.old`.
///
/// Only the diary says which log file is damaged, so what it says is remembered.
class InfoLog : public rocksdb::Logger {
 public:
  using rocksdb::Logger::Logv;

  /// With `writes` false the directory stays as it is.
  InfoLog(const std::string &directory, bool writes);
  ~InfoLog() override;

  void Logv(const char *format, va_list arguments) override;
  /// The newest line about records of a write-ahead log that could not be read; empty if there was none.
  std::string damage();

 private:
  void roll();

  const std::string path_;
  const bool writes_;
  std::mutex mutex_;
  int descriptor_ = -1;
  size_t written_ = 0;
  std::string damage_;
};

}  // namespace tq
