// Opening, writing and closing.

#include "store.h"

#include <rocksdb/utilities/checkpoint.h>
#include <rocksdb/write_batch.h>
#include <sys/stat.h>

#include <filesystem>

#include "info_log.h"
#include "options.h"
#include "table_check.h"
#include "wal_order.h"


tq_status tq::report(const rocksdb::Status &status) {
  if (status.ok()) return {TQ_OK, nullptr};
  const std::string text = status.ToString();
  tq_code code = TQ_INVALID;
  if (status.IsCorruption()) {
    code = TQ_CORRUPTION;
  } else if (status.IsNoSpace()) {
    code = TQ_NO_SPACE;
  } else if (status.IsPathNotFound()) {
    code = TQ_NOT_FOUND;
  } else if (status.IsIOError()) {
    code = text.find("lock ") != std::string::npos ? TQ_LOCKED : TQ_IO;
  } else if (status.IsInvalidArgument() && text.find("does not exist") != std::string::npos) {
    code = TQ_NOT_FOUND;
  } else if (text.find("olumn families not opened") != std::string::npos) {
    code = TQ_NEWER_FORMAT;
  }
  return failure(code, text.c_str());
}

// MARK: Batches

struct tq_batch {
  // Its size is its whole capacity while the image is built, so that growing keeps every byte.
  std::string memory;

  void unfold(size_t capacity) {
    memory.resize_and_overwrite(capacity, [](char *, size_t count) { return count; });
  }
};

// A batch's memory as RocksDB's own batch: the string moves there and back, and only its length changes.
struct Loan {
  tq_batch &batch;
  const size_t capacity;
  rocksdb::WriteBatch image;

  Loan(tq_batch &batch, size_t used)
      : batch(batch), capacity(batch.memory.size()), image((batch.memory.resize(used), std::move(batch.memory))) {}

  ~Loan() {
    // `Data()` is const for the sake of other callers; nobody uses this image again.
    batch.memory = std::move(const_cast<std::string &>(image.Data()));
    batch.unfold(capacity);
    // RocksDB wrote its own sequence number into the image, which means the same everywhere without it.
    std::memset(batch.memory.data(), 0, 8);
  }
};

tq_batch *tq_batch_create(void) { return new (std::nothrow) tq_batch; }

void tq_batch_destroy(tq_batch *batch) { delete batch; }

uint8_t *tq_batch_reserve(tq_batch *batch, size_t capacity, size_t *granted) {
  try {
    if (batch->memory.size() < capacity) batch->unfold(std::max(capacity, batch->memory.capacity()));
    *granted = batch->memory.size();
    return reinterpret_cast<uint8_t *>(batch->memory.data());
  } catch (...) {
    return nullptr;
  }
}

void tq_batch_release_memory(tq_batch *batch) { std::string().swap(batch->memory); }

// MARK: The store

static rocksdb::Status open(tq_store &store, const std::shared_ptr<tq::InfoLog> &log, const char *path,
                            const tq_options &options, const tq_family *families, size_t family_count,
                            rocksdb::WalFilter *filter) {
  const auto tables = tq::tableFactory(options);
  std::vector<rocksdb::ColumnFamilyDescriptor> descriptors;
  for (size_t i = 0; i < family_count; ++i) {
    descriptors.emplace_back(families[i].name, tq::familyOptions(options, families[i].cold, tables));
  }
  rocksdb::DB *db = nullptr;
  auto settings = tq::databaseOptions(options);
  settings.info_log = log;
  settings.wal_filter = filter;
  settings.listeners.push_back(store.guard);
  const auto status = options.read_only
                          ? rocksdb::DB::OpenForReadOnly(settings, path, descriptors, &store.families, &db)
                          : rocksdb::DB::Open(settings, path, descriptors, &store.families, &db);
  store.db.reset(db);
  store.readOnly = options.read_only;
  return status;
}

// The counter in the table files alone; 0 when there is none, or when opening for real will say what is wrong.
static rocksdb::Status readFlushedCounter(const std::shared_ptr<tq::InfoLog> &log, const char *path,
                                          const tq_options &options, const tq_family *families, size_t family_count,
                                          uint64_t *counter) {
  auto reading = options;
  reading.read_only = true;
  tq::NoReplay nothing;
  tq_store store;
  const auto opened = open(store, log, path, reading, families, family_count, &nothing);
  opened.PermitUncheckedError();
  if (!opened.ok()) return rocksdb::Status::OK();
  std::string value;
  const auto status = store.db->Get(rocksdb::ReadOptions(), store.families[0], options.counter.key, &value);
  if (status.ok()) *counter = tq::counterValue(options.counter, value).value_or(0);
  for (auto *family : store.families) store.db->DestroyColumnFamilyHandle(family).PermitUncheckedError();
  return status.IsNotFound() ? rocksdb::Status::OK() : status;
}

// Without its file CURRENT the engine takes a directory for empty, and starts afresh over what is there.
static tq_status checkPresence(const std::filesystem::path &path, bool create) {
  std::error_code error;
  if (std::filesystem::exists(path / "CURRENT", error)) return {TQ_OK, nullptr};
  for (const auto &entry : std::filesystem::directory_iterator(path, error)) {
    const auto kind = entry.path().extension();
    if ((kind != ".sst" && kind != ".log") || entry.file_size(error) == 0) continue;
    const std::string text = "the file CURRENT is missing, but " + entry.path().string() + " is there";
    return tq::failure(TQ_CORRUPTION, text.c_str());
  }
  return create ? tq_status{TQ_OK, nullptr} : tq::failure(TQ_NOT_FOUND, "there is no file CURRENT");
}

static std::string missingManifest(const char *path) {
  return std::string(path) + "/CURRENT is damaged, or the manifest that it names is missing: ";
}

tq_status tq_store_open(const char *path, const tq_options *options, const tq_family *families, size_t family_count,
                        tq_store **result) {
  return tq::guarded([&]() -> tq_status {
    if (const auto presence = checkPresence(path, options->create_if_missing); presence.code != TQ_OK) return presence;
    if (options->create_if_missing) mkdir(path, 0755);  // the diary is opened before the engine makes its directory
    if (const auto damage = tq::checkPropertiesOfAll(path); !damage.ok()) return tq::report(damage);
    const auto log = std::make_shared<tq::InfoLog>(path, /*writes=*/!options->read_only);
    auto store = std::make_unique<tq_store>();
    std::optional<tq::WalOrder> order;
    if (options->counter.key != nullptr) {
      const bool exists = std::filesystem::exists(std::filesystem::path(path) / "CURRENT");
      uint64_t flushed = 0;
      if (exists) {
        const auto status = readFlushedCounter(log, path, *options, families, family_count, &flushed);
        if (!status.ok() && !options->cut_wal_at_damage) return tq::report(status);
      }
      order.emplace(options->counter, flushed, options->cut_wal_at_damage);
    }
    const auto status = open(*store, log, path, *options, families, family_count, order ? &*order : nullptr);
    if (status.IsCorruption() && order && !order->hole().empty()) {
      return tq::failure(TQ_CORRUPTION, order->hole().c_str());
    }
    if (status.IsCorruption() && !log->damage().empty()) {
      return tq::failure(TQ_CORRUPTION, (status.ToString() + "; " + log->damage()).c_str());
    }
    // The file CURRENT was there, see above: what it names is not.
    if (status.IsPathNotFound()) return tq::failure(TQ_CORRUPTION, (missingManifest(path) + status.ToString()).c_str());
    if (!status.ok()) return tq::report(status);
    for (size_t i = 0; i < family_count; ++i) {
      if (store->families[i]->GetID() == i) continue;
      const std::string text = std::string("column family ") + families[i].name + " has the id " +
                               std::to_string(store->families[i]->GetID()) + " instead of " + std::to_string(i);
      tq_store_destroy(store.release());
      return tq::failure(TQ_NEWER_FORMAT, text.c_str());
    }
    *result = store.release();
    return {TQ_OK, nullptr};
  });
}

void tq_store_close(tq_store *store, bool flush) {
  // A compaction under way ends soon instead of keeping whoever closes waiting.
  if (store->db) store->db->DisableManualCompaction();
  if (!store->gate.close()) return;
  // What cannot be flushed is in the log and is replayed; there is nobody to tell here.
  (void)tq::guarded([&]() -> tq_status {
    if (flush && !store->readOnly) store->db->Flush(rocksdb::FlushOptions(), store->families).PermitUncheckedError();
    for (const auto *snapshot : store->snapshots) store->db->ReleaseSnapshot(snapshot);
    store->snapshots.clear();
    for (auto *family : store->families) store->db->DestroyColumnFamilyHandle(family).PermitUncheckedError();
    store->families.clear();
    store->db->Close().PermitUncheckedError();
    store->db.reset();
    return {TQ_OK, nullptr};
  });
}

void tq_store_destroy(tq_store *store) {
  tq_store_close(store, /*flush=*/false);
  delete store;
}

tq_status tq_store_write(tq_store *store, tq_batch *batch, size_t used, bool sync) {
  const tq::Visit visit(store->gate);
  if (!visit) return tq::closed();
  return tq::guarded([&]() -> tq_status {
    if (store->guard->hasFound()) return tq::failure(TQ_CORRUPTION, store->guard->damage().c_str());
    if (used < 12 || used > batch->memory.size()) return tq::failure(TQ_INVALID, "a batch image has a header of 12 bytes");
    Loan loan(*batch, used);
    rocksdb::WriteOptions options;
    options.sync = sync;
    const auto status = store->db->Write(options, &loan.image);
    return tq::report(status);
  });
}

tq_status tq_store_sync(tq_store *store) {
  const tq::Visit visit(store->gate);
  if (!visit) return tq::closed();
  return tq::guarded([&] { return tq::report(store->db->SyncWAL()); });
}

tq_status tq_store_flush(tq_store *store) {
  const tq::Visit visit(store->gate);
  if (!visit) return tq::closed();
  return tq::guarded([&] { return tq::report(store->db->Flush(rocksdb::FlushOptions(), store->families)); });
}

tq_status tq_store_checkpoint(tq_store *store, const char *path) {
  const tq::Visit visit(store->gate);
  if (!visit) return tq::closed();
  return tq::guarded([&]() -> tq_status {
    rocksdb::Checkpoint *created = nullptr;
    const auto status = rocksdb::Checkpoint::Create(store->db.get(), &created);
    if (!status.ok()) return tq::report(status);
    const std::unique_ptr<rocksdb::Checkpoint> checkpoint(created);
    return tq::report(checkpoint->CreateCheckpoint(path));
  });
}

tq_status tq_store_compact(tq_store *store, uint32_t family, const uint8_t *lower, size_t lower_count,
                           const uint8_t *upper, size_t upper_count) {
  const tq::Visit visit(store->gate);
  if (!visit) return tq::closed();
  return tq::guarded([&] {
    const rocksdb::Slice first = tq::slice(lower, lower_count), end = tq::slice(upper, upper_count);
    return tq::report(store->db->CompactRange(rocksdb::CompactRangeOptions(), store->families.at(family),
                                              lower != nullptr ? &first : nullptr, upper != nullptr ? &end : nullptr));
  });
}

uint64_t tq_store_property(tq_store *store, uint32_t family, const char *name) {
  const tq::Visit visit(store->gate);
  if (!visit || family >= store->families.size()) return 0;
  uint64_t value = 0;
  return store->db->GetIntProperty(store->families[family], name, &value) ? value : 0;
}
