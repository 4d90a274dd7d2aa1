import ByteStore

/// Reads little-endian integers and bytes; one that is not there is corruption, never a trap.
struct ByteReader {
    private let memory: UnsafeRawBufferPointer
    private(set) var position: Int
    /// What is read, for error messages.
    private let what: StaticString

    init(_ memory: UnsafeRawBufferPointer, _ what: StaticString) {
        self.memory = memory
        self.position = 0
        self.what = what
    }

    /// Checks a record that ends with the CRC32C of everything before it, whatever its version, and reads the rest.
    init(sealed record: UnsafeRawBufferPointer, _ what: StaticString) throws(StorageError) {
        self.init(UnsafeRawBufferPointer(rebasing: record.dropLast(4)), what)
        var seal = ByteReader(UnsafeRawBufferPointer(rebasing: record.suffix(4)), what)
        guard try seal.read() == CRC32C.checksum(of: memory) else { throw corrupt("the checksum does not match") }
    }

    var remaining: Int { memory.count - position }

    /// Reads the version of a store's format, and refuses one that this program does not know.
    mutating func readFormatVersion(newest: UInt16) throws(StorageError) {
        let version: UInt16 = try read()
        guard version <= newest else {
            throw StorageError(
                .newerFormat,
                "The store has format \(version), this tq knows \(newest). Use a newer tq."
            )
        }
    }

    /// Says that everything has been read.
    func end() throws(StorageError) {
        guard remaining == 0 else { throw corrupt("\(remaining) bytes too many") }
    }

    @inline(__always)
    mutating func read<Number: FixedWidthInteger>(_ type: Number.Type = Number.self) throws(StorageError) -> Number {
        guard remaining >= MemoryLayout<Number>.size else { throw tooShort(MemoryLayout<Number>.size) }
        defer { position += MemoryLayout<Number>.size }
        return Number(littleEndian: memory.loadUnaligned(fromByteOffset: position, as: Number.self))
    }

    mutating func bytes(_ count: Int) throws(StorageError) -> UnsafeRawBufferPointer {
        guard count >= 0, remaining >= count else { throw tooShort(count) }
        defer { position += count }
        return UnsafeRawBufferPointer(rebasing: memory[position..<position + count])
    }

    func corrupt(_ problem: String) -> StorageError {
        StorageError(.corruption, "\(what): \(problem). Run 'tq-inspect verify' to see what is damaged.")
    }

    private func tooShort(_ wanted: Int) -> StorageError {
        corrupt("\(wanted) bytes wanted at byte \(position) of \(memory.count)")
    }
}
