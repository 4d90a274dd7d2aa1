// CRC32C three ways: by the processor, by tables, and in RocksDB's name.
//
// Debian's librocksdb 7.8.3 is built for processors without CRC instructions and computes 1.1 GB/s where 5.5 are
// possible; every byte of the write-ahead log passes through it. RocksDB calls the function through the symbol table of
// the process, so the definition at the end of this file, which the linker exports because a shared library asks for
// it, takes the place of RocksDB's own. Linked against a static librocksdb it would be a duplicate: define
// TQ_KEEP_ROCKSDB_CRC32C there.

#include <dlfcn.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "CRocksDB.h"

#if defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#endif

namespace {

using Extend = uint32_t (*)(uint32_t, const uint8_t *, size_t);

constexpr uint32_t kReversedPolynomial = 0x82F63B78;

// Slicing by 8: tables[k][b] is the checksum of byte b followed by k zero bytes.
constexpr std::array<std::array<uint32_t, 256>, 8> makeTables() {
  std::array<std::array<uint32_t, 256>, 8> tables{};
  for (uint32_t byte = 0; byte < 256; ++byte) {
    uint32_t crc = byte;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? kReversedPolynomial : 0);
    tables[0][byte] = crc;
  }
  for (size_t k = 1; k < 8; ++k) {
    for (size_t byte = 0; byte < 256; ++byte) {
      const uint32_t shorter = tables[k - 1][byte];
      tables[k][byte] = (shorter >> 8) ^ tables[0][shorter & 0xFF];
    }
  }
  return tables;
}

constexpr auto kTables = makeTables();

uint32_t littleEndian32(const uint8_t *p) {
  return uint32_t(p[0]) | uint32_t(p[1]) << 8 | uint32_t(p[2]) << 16 | uint32_t(p[3]) << 24;
}

uint32_t extendByTables(uint32_t crc, const uint8_t *p, size_t n) {
  crc = ~crc;
  for (; n >= 8; n -= 8, p += 8) {
    const uint32_t low = littleEndian32(p) ^ crc, high = littleEndian32(p + 4);
    crc = kTables[7][low & 0xFF] ^ kTables[6][(low >> 8) & 0xFF] ^ kTables[5][(low >> 16) & 0xFF] ^
          kTables[4][low >> 24] ^ kTables[3][high & 0xFF] ^ kTables[2][(high >> 8) & 0xFF] ^
          kTables[1][(high >> 16) & 0xFF] ^ kTables[0][high >> 24];
  }
  for (; n > 0; --n, ++p) crc = (crc >> 8) ^ kTables[0][(crc ^ *p) & 0xFF];
  return ~crc;
}

#if defined(__x86_64__)
#define TQ_HARDWARE_CRC32C 1

__attribute__((target("sse4.2"))) uint32_t extendByHardware(uint32_t crc, const uint8_t *p, size_t n) {
  uint64_t state = ~crc;
  for (; n >= 8; n -= 8, p += 8) {
    uint64_t word;
    std::memcpy(&word, p, 8);
    state = __builtin_ia32_crc32di(state, word);
  }
  uint32_t narrow = uint32_t(state);
  for (; n > 0; --n, ++p) narrow = __builtin_ia32_crc32qi(narrow, *p);
  return ~narrow;
}

bool processorHasCRC32C() { return __builtin_cpu_supports("sse4.2"); }

#elif defined(__aarch64__) && defined(__linux__)
#define TQ_HARDWARE_CRC32C 1

__attribute__((target("crc"))) uint32_t extendByHardware(uint32_t crc, const uint8_t *p, size_t n) {
  crc = ~crc;
  for (; n >= 8; n -= 8, p += 8) {
    uint64_t word;
    std::memcpy(&word, p, 8);
    crc = __builtin_arm_crc32cd(crc, word);
  }
  for (; n > 0; --n, ++p) crc = __builtin_arm_crc32cb(crc, *p);
  return ~crc;
}

bool processorHasCRC32C() { return (getauxval(AT_HWCAP) & (1UL << 7)) != 0; }  // HWCAP_CRC32

#endif

uint32_t resolveAndExtend(uint32_t crc, const uint8_t *p, size_t n);

// Constant-initialized, because RocksDB's static constructors may come before ours.
constinit std::atomic<Extend> extend{resolveAndExtend};

Extend fastest() {
#ifdef TQ_HARDWARE_CRC32C
  if (processorHasCRC32C()) return extendByHardware;
#endif
  return extendByTables;
}

uint32_t resolveAndExtend(uint32_t crc, const uint8_t *p, size_t n) {
  const Extend chosen = fastest();
  extend.store(chosen, std::memory_order_relaxed);
  return chosen(crc, p, n);
}

}  // namespace

extern "C" uint32_t tq_crc32c(uint32_t crc, const void *bytes, size_t count) {
  return extend.load(std::memory_order_relaxed)(crc, static_cast<const uint8_t *>(bytes), count);
}

extern "C" uint32_t tq_crc32c_portable(uint32_t crc, const void *bytes, size_t count) {
  return extendByTables(crc, static_cast<const uint8_t *>(bytes), count);
}

extern "C" bool tq_crc32c_is_accelerated(void) { return fastest() != &extendByTables; }

namespace rocksdb::crc32c {
uint32_t Extend(uint32_t crc, const char *bytes, size_t count);
#ifndef TQ_KEEP_ROCKSDB_CRC32C
__attribute__((visibility("default"), used)) uint32_t Extend(uint32_t crc, const char *bytes, size_t count) {
  return tq_crc32c(crc, bytes, count);
}
#endif
}  // namespace rocksdb::crc32c

extern "C" bool tq_crc32c_self_test(void) {
  // RFC 3720, B.4: 32 bytes of zeros, of ones, ascending; and the check value of the catalogues. The last one is at an
  // odd address and crosses the 8-byte loop.
  uint8_t zeros[32] = {}, ones[32], ascending[32];
  std::memset(ones, 0xFF, sizeof ones);
  for (uint8_t i = 0; i < 32; ++i) ascending[i] = i;
  const char digits[] = "x123456789";
  const struct {
    const void *bytes;
    size_t count;
    uint32_t crc;
  } vectors[] = {{zeros, 32, 0x8A9136AA}, {ones, 32, 0x62A8AB43}, {ascending, 32, 0x46DD794E}, {digits + 1, 9, 0xE3069283}};
  for (const auto &vector : vectors) {
    const auto bytes = static_cast<const uint8_t *>(vector.bytes);
    if (tq_crc32c(0, bytes, vector.count) != vector.crc) return false;
    if (tq_crc32c(tq_crc32c(0, bytes, 5), bytes + 5, vector.count - 5) != vector.crc) return false;
    if (extendByTables(0, bytes, vector.count) != vector.crc) return false;
    if (rocksdb::crc32c::Extend(0, reinterpret_cast<const char *>(bytes), vector.count) != vector.crc) return false;
  }
  return true;
}

extern "C" bool tq_crc32c_serves_rocksdb(void) {
#ifdef TQ_KEEP_ROCKSDB_CRC32C
  return false;
#else
  // The dynamic linker gives librocksdb the first definition in its search order: the one that it gives here.
  return dlsym(RTLD_DEFAULT, "_ZN7rocksdb6crc32c6ExtendEjPKcm") == reinterpret_cast<void *>(&rocksdb::crc32c::Extend);
#endif
}
