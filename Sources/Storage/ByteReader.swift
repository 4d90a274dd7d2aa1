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

    var remaining: Int { memory.count - position }

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
