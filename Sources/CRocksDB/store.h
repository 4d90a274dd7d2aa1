// What the files of the shim share.

#pragma once

#include <rocksdb/db.h>

#include <atomic>
#include <cstring>
#include <memory>
#include <mutex>
#include <new>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "CRocksDB.h"
#include "table_check.h"

namespace tq {

// Lets calls in until it is closed, and lets the closer wait for those that are inside.
//
// A call may enter again while it is inside (a `get` in the body of a scan), which a read-write lock forbids.
class Gate {
 public:
  bool enter() {
    if ((state_.fetch_add(1) & kClosed) == 0) return true;
    leave();
    return false;
  }
  void leave() {
    if (state_.fetch_sub(1) - 1 == kClosed) state_.notify_all();
  }
  // True for the one caller that closes; it returns when nobody is inside.
  bool close() {
    if ((state_.fetch_or(kClosed) & kClosed) != 0) return false;
    for (uint32_t now = state_.load(); now != kClosed; now = state_.load()) state_.wait(now);
    return true;
  }

 private:
  static constexpr uint32_t kClosed = 1u << 31;
  std::atomic<uint32_t> state_{0};
};

class Visit {
 public:
  explicit Visit(Gate &gate) : gate_(gate.enter() ? &gate : nullptr) {}
  Visit(Visit &&other) noexcept : gate_(std::exchange(other.gate_, nullptr)) {}
  Visit(const Visit &) = delete;
  ~Visit() {
    if (gate_ != nullptr) gate_->leave();
  }
  explicit operator bool() const { return gate_ != nullptr; }

 private:
  Gate *gate_;
};

inline tq_status failure(tq_code code, const char *message) { return {code, strdup(message)}; }
inline tq_status closed() { return failure(TQ_CLOSED, "the store is closed"); }

tq_status report(const rocksdb::Status &status);

// Runs the body; what C++ throws becomes a status.
template <typename Body>
tq_status guarded(Body body) noexcept {
  try {
    return body();
  } catch (const std::bad_alloc &) {
    return failure(TQ_INVALID, "out of memory");
  } catch (const std::exception &error) {
    return failure(TQ_INVALID, error.what());
  } catch (...) {
    return failure(TQ_INVALID, "unknown C++ exception");
  }
}

inline rocksdb::Slice slice(const uint8_t *bytes, size_t count) {
  return rocksdb::Slice(reinterpret_cast<const char *>(bytes), count);
}

}  // namespace tq

struct tq_store {
  tq::Gate gate;
  std::unique_ptr<rocksdb::DB> db;
  std::vector<rocksdb::ColumnFamilyHandle *> families;
  bool readOnly = false;
  const std::shared_ptr<tq::CompactionGuard> guard = std::make_shared<tq::CompactionGuard>();
  // RocksDB doesn't close while one of these is held; closing releases what their owners forgot.
  std::mutex snapshotsMutex;
  std::set<const rocksdb::Snapshot *> snapshots;
};

struct tq_snapshot {
  tq_store *store;
  const rocksdb::Snapshot *snapshot;
};
