#pragma once

#include <rocksdb/options.h>

#include "CRocksDB.h"

namespace tq {

rocksdb::DBOptions databaseOptions(const tq_options &options);
rocksdb::ColumnFamilyOptions familyOptions(const tq_options &options, bool cold,
                                           const std::shared_ptr<rocksdb::TableFactory> &tables);
std::shared_ptr<rocksdb::TableFactory> tableFactory(const tq_options &options);

}  // namespace tq
