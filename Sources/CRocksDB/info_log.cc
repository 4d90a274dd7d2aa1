// The engine's diary. RocksDB's own logger will not do: in a build with assertions, such as Debian's, the second line
// that it cannot write ends the process, so a full disk would kill the broker while it reports that the disk is full.
// A line that cannot be written here is dropped.

#include "info_log.h"

#include <fcntl.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <ctime>
#include <mutex>

namespace {

class InfoLog : public rocksdb::Logger {
 public:
  using rocksdb::Logger::Logv;

  explicit InfoLog(const std::string &directory) : path_(directory + "/LOG") { roll(); }

  ~InfoLog() override {
    if (descriptor_ >= 0) close(descriptor_);
  }

  void Logv(const char *format, va_list arguments) override {
    char line[4096];
    size_t length = stamp(line, sizeof line);
    const int wanted = vsnprintf(line + length, sizeof line - length - 1, format, arguments);
    length = std::min(length + size_t(std::max(wanted, 0)), sizeof line - 2);
    if (length == 0 || line[length - 1] != '\n') line[length++] = '\n';

    const std::lock_guard lock(mutex_);
    if (written_ > kBytesMax) roll();
    const ssize_t count = write(descriptor_, line, length);
    if (count > 0) written_ += size_t(count);
  }

 private:
  static constexpr size_t kBytesMax = 1 << 20;

  static size_t stamp(char *line, size_t capacity) {
    timeval now{};
    gettimeofday(&now, nullptr);
    tm parts{};
    gmtime_r(&now.tv_sec, &parts);
    const size_t length = strftime(line, capacity, "%Y-%m-%dT%H:%M:%S", &parts);
    return length + size_t(snprintf(line + length, capacity - length, ".%06ldZ ", long(now.tv_usec)));
  }

  void roll() {
    if (descriptor_ >= 0) close(descriptor_);
    rename(path_.c_str(), (path_ + ".old").c_str());
    descriptor_ = open(path_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0644);
    written_ = 0;
  }

  const std::string path_;
  std::mutex mutex_;
  int descriptor_ = -1;
  size_t written_ = 0;
};

class NoInfoLog : public rocksdb::Logger {
 public:
  using rocksdb::Logger::Logv;
  void Logv(const char *, va_list) override {}
};

}  // namespace

std::shared_ptr<rocksdb::Logger> tq::infoLog(const std::string &directory) {
  return std::make_shared<InfoLog>(directory);
}

std::shared_ptr<rocksdb::Logger> tq::noInfoLog() { return std::make_shared<NoInfoLog>(); }
