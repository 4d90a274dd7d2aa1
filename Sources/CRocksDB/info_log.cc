// The engine's diary. RocksDB's own logger will not do: in a build with assertions, such as Debian's, the second line
// that it cannot write ends the process, so a full disk would kill the broker while it reports that the disk is full.
// A line that cannot be written here is dropped.

#include "info_log.h"

#include <fcntl.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <ctime>

static constexpr size_t kBytesMax = 1 << 20;

static size_t stamp(char *line, size_t capacity) {
  timeval now{};
  gettimeofday(&now, nullptr);
  tm parts{};
  gmtime_r(&now.tv_sec, &parts);
  const size_t length = strftime(line, capacity, "%Y-%m-%dT%H:%M:%S", &parts);
  return length + size_t(snprintf(line + length, capacity - length, ".%06ldZ ", long(now.tv_usec)));
}

tq::InfoLog::InfoLog(const std::string &directory, bool writes) : path_(directory + "/LOG"), writes_(writes) { roll(); }

tq::InfoLog::~InfoLog() {
  if (descriptor_ >= 0) close(descriptor_);
}

void tq::InfoLog::roll() {
  if (!writes_) return;
  if (descriptor_ >= 0) close(descriptor_);
  rename(path_.c_str(), (path_ + ".old").c_str());
  descriptor_ = open(path_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0644);
  written_ = 0;
}

void tq::InfoLog::Logv(const char *format, va_list arguments) {
  char line[4096];
  const size_t start = stamp(line, sizeof line);
  const int wanted = vsnprintf(line + start, sizeof line - start - 1, format, arguments);
  size_t length = std::min(start + size_t(std::max(wanted, 0)), sizeof line - 2);

  const std::lock_guard lock(mutex_);
  if (std::strstr(line + start, ": dropping ") != nullptr) {
    const char *source = std::strstr(line + start, "] ");
    damage_ = source != nullptr ? source + 2 : line + start;
  }
  if (!writes_) return;
  if (line[length - 1] != '\n') line[length++] = '\n';
  if (written_ > kBytesMax) roll();
  const ssize_t count = write(descriptor_, line, length);
  if (count > 0) written_ += size_t(count);
}

std::string tq::InfoLog::damage() {
  const std::lock_guard lock(mutex_);
  return damage_;
}
