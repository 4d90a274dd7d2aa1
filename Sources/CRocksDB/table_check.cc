#include "table_check.h"

#include <rocksdb/convenience.h>
#include <rocksdb/db.h>
#include <rocksdb/sst_file_reader.h>

#include "store.h"

rocksdb::Status tq::checkTable(const std::string &path) {
  rocksdb::SstFileReader reader{rocksdb::Options()};
  auto status = reader.Open(path);
  if (status.ok()) status = reader.VerifyChecksum();
  return status;
}

void tq::CompactionGuard::OnCompactionBegin(rocksdb::DB *db, const rocksdb::CompactionJobInfo &job) {
  for (const auto &path : job.input_files) {
    const auto status = checkTable(path);
    if (status.ok()) continue;
    const std::lock_guard lock(mutex_);
    if (damage_.empty()) damage_ = "a compaction was stopped at " + path + ": " + status.ToString();
    has_found_.store(true, std::memory_order_release);
    // The compaction sees this before its first row and changes nothing.
    rocksdb::CancelAllBackgroundWork(db, /*wait=*/false);
    return;
  }
}

std::string tq::CompactionGuard::damage() {
  const std::lock_guard lock(mutex_);
  return damage_;
}

tq_status tq_store_check_tables(tq_store *store, uint32_t family) {
  const tq::Visit visit(store->gate);
  if (!visit) return tq::closed();
  return tq::guarded([&]() -> tq_status {
    // A compaction must not remove what is being read; a store that is only read has none.
    store->db->DisableFileDeletions().PermitUncheckedError();
    std::vector<rocksdb::LiveFileMetaData> files;
    store->db->GetLiveFilesMetaData(&files);
    rocksdb::Status status;
    for (const auto &file : files) {
      if (!status.ok() || file.column_family_name != store->families.at(family)->GetName()) continue;
      status = tq::checkTable(file.db_path + file.name);
    }
    store->db->EnableFileDeletions(/*force=*/false).PermitUncheckedError();
    return tq::report(status);
  });
}
