#include "wal_order.h"

#include <rocksdb/write_batch.h>

#include <cstring>

namespace {

// The two bytes in front of a put into family 0, as batches are written here: a tag, and the family's id.
constexpr char kPutIntoFirstFamily[] = {0x05, 0x00};
constexpr size_t kBatchHeader = 12;

std::optional<rocksdb::Slice> takeString(rocksdb::Slice &rest) {
  size_t length = 0;
  for (int shift = 0; shift < 35 && !rest.empty(); shift += 7) {
    const auto byte = static_cast<uint8_t>(rest[0]);
    rest.remove_prefix(1);
    length |= size_t(byte & 0x7f) << shift;
    if ((byte & 0x80) != 0) continue;
    if (length > rest.size()) return std::nullopt;
    const rocksdb::Slice text(rest.data(), length);
    rest.remove_prefix(length);
    return text;
  }
  return std::nullopt;
}

// The counter of a batch whose first operation puts it.
std::optional<uint64_t> counterOf(const tq_counter &counter, const rocksdb::WriteBatch &batch) {
  rocksdb::Slice rest(batch.Data());
  if (rest.size() < kBatchHeader + sizeof kPutIntoFirstFamily) return std::nullopt;
  rest.remove_prefix(kBatchHeader);
  if (std::memcmp(rest.data(), kPutIntoFirstFamily, sizeof kPutIntoFirstFamily) != 0) return std::nullopt;
  rest.remove_prefix(sizeof kPutIntoFirstFamily);
  const auto key = takeString(rest);
  if (!key || *key != rocksdb::Slice(counter.key)) return std::nullopt;
  const auto value = takeString(rest);
  return value ? tq::counterValue(counter, *value) : std::nullopt;
}

}  // namespace

std::optional<uint64_t> tq::counterValue(const tq_counter &counter, const rocksdb::Slice &value) {
  if (value.size() < counter.offset + 8) return std::nullopt;
  uint64_t number = 0;
  for (size_t i = 0; i < 8; ++i) number |= uint64_t(static_cast<uint8_t>(value[counter.offset + i])) << (8 * i);
  return number;
}

rocksdb::WalFilter::WalProcessingOption tq::WalOrder::LogRecordFound(unsigned long long, const std::string &file,
                                                                     const rocksdb::WriteBatch &batch,
                                                                     rocksdb::WriteBatch *, bool *) {
  const auto number = counterOf(counter_, batch);
  if (!number) return WalProcessingOption::kContinueProcessing;
  // Logs may begin with what is in table files already; from their first batch on each follows the one before.
  // Where they are cut for want of anything better, and no table file tells a number, they may begin anywhere.
  const bool isAnyFirst = is_first_ && cuts_ && last_ == 0;
  const bool follows = isAnyFirst || (is_first_ ? *number <= last_ + 1 : *number == last_ + 1);
  if (!follows) {
    hole_ = "batch " + std::to_string(last_) + " is followed by batch " + std::to_string(*number) +
            ": the log files before " + file + " were cut, damaged or deleted";
    return cuts_ ? WalProcessingOption::kStopReplay : WalProcessingOption::kCorruptedRecord;
  }
  is_first_ = false;
  last_ = *number;
  return WalProcessingOption::kContinueProcessing;
}
