// Getting at the rows of a store that does not open any more. Works on a copy: the engine's repair moves files about.

#include <rocksdb/sst_file_reader.h>

#include <filesystem>

#include "info_log.h"
#include "options.h"
#include "store.h"
#include "table_check.h"

namespace fs = std::filesystem;

static uint64_t fileNumber(const fs::path &path) {
  const auto stem = path.stem().string();
  const bool isNumber = !stem.empty() && stem.find_first_not_of("0123456789") == std::string::npos;
  return isNumber ? std::stoull(stem) : 0;
}

static std::vector<fs::path> filesNamed(const fs::path &directory, const std::string &extension) {
  std::vector<fs::path> found;
  for (const auto &entry : fs::directory_iterator(directory)) {
    if (entry.path().extension() == extension) found.push_back(entry.path());
  }
  return found;
}

// The engine learns of a family from its table files alone, and would drop what the logs hold of one that has none. So
// each family gets a table file that says nothing but its name and id: one deletion of a key that no family has.
static void addSeedTables(const fs::path &directory, const fs::path &scratch, const rocksdb::DBOptions &options,
                          const std::vector<rocksdb::ColumnFamilyDescriptor> &families) {
  auto settings = options;
  settings.create_if_missing = settings.create_missing_column_families = true;
  std::vector<rocksdb::ColumnFamilyHandle *> handles;
  rocksdb::DB *opened = nullptr;
  const auto check = [](const rocksdb::Status &status) {
    if (!status.ok()) throw std::runtime_error(status.ToString());
  };
  check(rocksdb::DB::Open(settings, scratch.string(), families, &handles, &opened));
  const std::unique_ptr<rocksdb::DB> db(opened);
  for (auto *handle : handles) check(db->Delete(rocksdb::WriteOptions(), handle, rocksdb::Slice()));
  check(db->Flush(rocksdb::FlushOptions(), handles));
  for (auto *handle : handles) check(db->DestroyColumnFamilyHandle(handle));
  check(db->Close());
  uint64_t number = 0;
  for (const auto &entry : fs::directory_iterator(directory)) number = std::max(number, fileNumber(entry.path()));
  for (const auto &table : filesNamed(scratch, ".sst")) {
    const auto name = std::to_string(++number);
    fs::rename(table, directory / (std::string(6 - std::min<size_t>(6, name.size()), '0') + name + ".sst"));
  }
  fs::remove_all(scratch);
}

tq_status tq_table_check(const char *path) {
  return tq::guarded([&] {
    rocksdb::SstFileReader reader{rocksdb::Options()};
    return tq::report(tq::openTable(reader, path));
  });
}

tq_status tq_store_rebuild_manifest(const char *path, const tq_options *options, const tq_family *families,
                                    size_t family_count) {
  return tq::guarded([&]() -> tq_status {
    const fs::path directory(path);
    auto settings = tq::databaseOptions(*options);
    settings.info_log = std::make_shared<tq::InfoLog>(path, /*writes=*/false);
    const auto tables = tq::tableFactory(*options);
    std::vector<rocksdb::ColumnFamilyDescriptor> descriptors;
    for (size_t i = 0; i < family_count; ++i) {
      descriptors.emplace_back(families[i].name, tq::familyOptions(*options, families[i].cold, tables));
    }
    addSeedTables(directory, directory / "seed", settings, descriptors);
    // Kept from the engine's repair, which would skip damaged records of a log and go on behind the hole.
    const auto aside = directory / "logs";
    fs::create_directory(aside);
    for (const auto &log : filesNamed(directory, ".log")) fs::rename(log, aside / log.filename());
    fs::remove(directory / "CURRENT");
    const auto status = rocksdb::RepairDB(path, settings, descriptors);
    for (const auto &log : filesNamed(aside, ".log")) fs::rename(log, directory / log.filename());
    return tq::report(status);
  });
}
