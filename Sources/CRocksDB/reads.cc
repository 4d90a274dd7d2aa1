// Gets, snapshots and scans. Every read verifies checksums.

#include <rocksdb/iterator.h>
#include <rocksdb/snapshot.h>

#include "store.h"

static rocksdb::ReadOptions readOptions(const tq_snapshot *snapshot) {
  rocksdb::ReadOptions options;
  // Without it 59 of 60 flipped bits in table files were served as data.
  options.verify_checksums = true;
  options.snapshot = snapshot != nullptr ? snapshot->snapshot : nullptr;
  return options;
}

static void appendRow(std::string &rows, const rocksdb::Slice &key, const rocksdb::Slice &value) {
  const uint32_t counts[2] = {uint32_t(key.size()), uint32_t(value.size())};
  rows.append(reinterpret_cast<const char *>(counts), sizeof counts);
  rows.append(key.data(), key.size());
  rows.append(value.data(), value.size());
}

// What a `tq_value` points into; as long as it lives, the store does not close.
struct Owner {
  tq::Visit visit;
  rocksdb::PinnableSlice slice;

  void handOut(tq_value *value) {
    value->bytes = reinterpret_cast<const uint8_t *>(slice.data());
    value->count = slice.size();
  }
};

// MARK: Snapshots

tq_status tq_snapshot_create(tq_store *store, tq_snapshot **result) {
  const tq::Visit visit(store->gate);
  if (!visit) return tq::closed();
  return tq::guarded([&]() -> tq_status {
    auto snapshot = std::make_unique<tq_snapshot>(store, nullptr);
    const std::lock_guard lock(store->snapshotsMutex);
    snapshot->snapshot = store->db->GetSnapshot();
    store->snapshots.insert(snapshot->snapshot);
    *result = snapshot.release();
    return {TQ_OK, nullptr};
  });
}

void tq_snapshot_destroy(tq_snapshot *snapshot) {
  if (const tq::Visit visit(snapshot->store->gate); visit) {
    const std::lock_guard lock(snapshot->store->snapshotsMutex);
    snapshot->store->snapshots.erase(snapshot->snapshot);
    snapshot->store->db->ReleaseSnapshot(snapshot->snapshot);
  }
  delete snapshot;
}

// MARK: Single rows

void tq_value_release(tq_value *value) {
  delete static_cast<Owner *>(value->owner);
  *value = {};
}

tq_status tq_get(tq_store *store, const tq_snapshot *snapshot, uint32_t family, const uint8_t *key, size_t key_count,
                 tq_value *value) {
  *value = {};
  tq::Visit visit(store->gate);
  if (!visit) return tq::closed();
  return tq::guarded([&]() -> tq_status {
    auto owner = std::make_unique<Owner>(std::move(visit));
    const auto status = store->db->Get(readOptions(snapshot), store->families.at(family), tq::slice(key, key_count),
                                       &owner->slice);
    if (status.IsNotFound()) return {TQ_OK, nullptr};
    if (!status.ok()) return tq::report(status);
    owner->handOut(value);
    value->owner = owner.release();
    return {TQ_OK, nullptr};
  });
}

tq_status tq_last(tq_store *store, const tq_snapshot *snapshot, uint32_t family, const uint8_t *lower,
                  size_t lower_count, const uint8_t *upper, size_t upper_count, tq_value *row) {
  *row = {};
  tq::Visit visit(store->gate);
  if (!visit) return tq::closed();
  return tq::guarded([&]() -> tq_status {
    auto owner = std::make_unique<Owner>(std::move(visit));
    const rocksdb::Slice bound = tq::slice(lower, lower_count);
    auto options = readOptions(snapshot);
    options.iterate_lower_bound = &bound;
    const std::unique_ptr<rocksdb::Iterator> rows(store->db->NewIterator(options, store->families.at(family)));
    rows->SeekForPrev(tq::slice(upper, upper_count));
    if (!rows->Valid()) return tq::report(rows->status());
    appendRow(*owner->slice.GetSelf(), rows->key(), rows->value());
    owner->slice.PinSelf();
    owner->handOut(row);
    row->owner = owner.release();
    return {TQ_OK, nullptr};
  });
}

// MARK: Scans

struct tq_scan {
  tq::Visit visit;  // first, so that it ends last: an iterator left open would abort the process at close
  std::string lower, upper;
  rocksdb::Slice upperBound;
  std::unique_ptr<rocksdb::Iterator> rows;
  std::string block;
  size_t blockBytes;
};

// Short scans fill a small block, long ones work up to a large one.
static constexpr size_t kFirstBlockBytes = 4 << 10, kBlockBytesMax = 64 << 10;

tq_status tq_scan_open(tq_store *store, const tq_snapshot *snapshot, uint32_t family, const uint8_t *lower,
                       size_t lower_count, const uint8_t *upper, size_t upper_count, tq_scan **result) {
  tq::Visit visit(store->gate);
  if (!visit) return tq::closed();
  return tq::guarded([&]() -> tq_status {
    auto scan = std::make_unique<tq_scan>(std::move(visit));
    scan->lower.assign(reinterpret_cast<const char *>(lower), lower_count);
    auto options = readOptions(snapshot);
    if (upper != nullptr) {
      scan->upper.assign(reinterpret_cast<const char *>(upper), upper_count);
      scan->upperBound = scan->upper;
      options.iterate_upper_bound = &scan->upperBound;
    }
    // A scan reads each block once; the cache is for those that are read again.
    options.fill_cache = false;
    scan->blockBytes = kFirstBlockBytes;
    scan->rows.reset(store->db->NewIterator(options, store->families.at(family)));
    scan->rows->Seek(scan->lower);
    *result = scan.release();
    return {TQ_OK, nullptr};
  });
}

tq_status tq_scan_next(tq_scan *scan, const uint8_t **rows, size_t *count) {
  *count = 0;
  return tq::guarded([&]() -> tq_status {
    scan->block.clear();
    while (scan->rows->Valid() && scan->block.size() < scan->blockBytes) {
      appendRow(scan->block, scan->rows->key(), scan->rows->value());
      scan->rows->Next();
    }
    scan->blockBytes = std::min(scan->blockBytes * 4, kBlockBytesMax);
    *rows = reinterpret_cast<const uint8_t *>(scan->block.data());
    *count = scan->block.size();
    // Rows before the damage are handed out first; the next call reports it.
    return scan->block.empty() ? tq::report(scan->rows->status()) : tq_status{TQ_OK, nullptr};
  });
}

void tq_scan_close(tq_scan *scan) { delete scan; }
