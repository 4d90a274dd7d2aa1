#include "table_check.h"

#include <rocksdb/convenience.h>
#include <rocksdb/db.h>

#include <filesystem>
#include <fstream>
#include <optional>

#include "store.h"

namespace {

// A part of a table file.
struct Handle {
  uint64_t offset = 0;
  uint64_t size = 0;
};

// Takes numbers from the front of some bytes; nothing once they are malformed.
class Bytes {
 public:
  explicit Bytes(std::string_view bytes) : bytes_(bytes) {}

  bool isEmpty() const { return bytes_.empty(); }

  std::optional<uint64_t> varint() {
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64 && !bytes_.empty(); shift += 7) {
      const auto byte = static_cast<uint8_t>(bytes_.front());
      bytes_.remove_prefix(1);
      value |= static_cast<uint64_t>(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    return std::nullopt;
  }

  std::optional<Handle> handle() {
    const auto offset = varint();
    const auto size = varint();
    if (!offset || !size) return std::nullopt;
    return Handle{*offset, *size};
  }

  std::optional<std::string_view> take(uint64_t count) {
    if (count > bytes_.size()) return std::nullopt;
    const auto taken = bytes_.substr(0, count);
    bytes_.remove_prefix(count);
    return taken;
  }

 private:
  std::string_view bytes_;
};

std::optional<std::string> read(std::ifstream &file, Handle part) {
  // The list of meta blocks, and whatever is looked at here, is far smaller.
  if (part.size > 1 << 20 || part.offset > INT64_MAX - part.size) return std::nullopt;
  std::string bytes(part.size, 0);
  file.seekg(static_cast<std::streamoff>(part.offset));
  file.read(bytes.data(), static_cast<std::streamsize>(part.size));
  return file ? std::optional(bytes) : std::nullopt;
}

// Where the block of the properties is: the file ends with the place of the list of meta blocks (behind a byte for
// the kind of checksum), which names it.
std::optional<Handle> findProperties(std::ifstream &file) {
  constexpr uint64_t footerSize = 53;
  file.seekg(0, std::ios::end);
  const auto size = static_cast<uint64_t>(file.tellg());
  if (!file || size < footerSize) return std::nullopt;
  const auto footer = read(file, {size - footerSize, footerSize});
  if (!footer) return std::nullopt;
  const auto list = Bytes(std::string_view(*footer).substr(1)).handle();
  const auto block = list ? read(file, *list) : std::nullopt;
  if (!block) return std::nullopt;
  Bytes entries(*block);
  while (!entries.isEmpty()) {
    const auto shared = entries.varint();
    const auto keySize = entries.varint();
    const auto valueSize = entries.varint();
    if (!shared || *shared != 0 || !keySize || !valueSize) return std::nullopt;
    const auto key = entries.take(*keySize);
    const auto value = entries.take(*valueSize);
    if (!key || !value) return std::nullopt;
    if (*key == "rocksdb.properties") return Bytes(*value).handle();
  }
  return std::nullopt;
}

}  // namespace

rocksdb::Status tq::checkProperties(const std::string &path) {
  std::ifstream file(path, std::ios::binary);
  const auto block = findProperties(file);
  if (!block || block->size < 4) return rocksdb::Status::OK();
  // The block ends with the number of its restarts, whose top bit stands for a hash index.
  const auto end = read(file, {block->offset + block->size - 1, 1});
  if (!end || static_cast<uint8_t>(end->front()) < 0x80) return rocksdb::Status::OK();
  return rocksdb::Status::Corruption("the properties of the table are damaged in file " + path);
}

rocksdb::Status tq::checkPropertiesOfAll(const std::string &directory) {
  std::error_code none;
  for (const auto &entry : std::filesystem::directory_iterator(directory, none)) {
    if (entry.path().extension() != ".sst") continue;
    auto status = checkProperties(entry.path().string());
    if (!status.ok()) return status;
  }
  return rocksdb::Status::OK();
}

rocksdb::Status tq::openTable(rocksdb::SstFileReader &reader, const std::string &path) {
  if (auto damage = checkProperties(path); !damage.ok()) return damage;
  return reader.Open(path);
}

rocksdb::Status tq::checkTable(const std::string &path) {
  rocksdb::SstFileReader reader{rocksdb::Options()};
  auto status = openTable(reader, path);
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
