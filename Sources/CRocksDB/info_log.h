#pragma once

#include <rocksdb/env.h>

#include <memory>
#include <string>

namespace tq {

/// RocksDB's own diary, in `LOG` of the store's directory; what it held before is in `LOG.old`.
std::shared_ptr<rocksdb::Logger> infoLog(const std::string &directory);
/// For stores that are only read: the directory stays as it is.
std::shared_ptr<rocksdb::Logger> noInfoLog();

}  // namespace tq
