// RocksDB's C++ headers are used by Sources/CRocksDB; this module only names the library to link.
