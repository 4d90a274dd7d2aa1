/// Writes little-endian integers and bytes into memory of exactly known size.
struct ByteWriter {
    private let memory: UnsafeMutableRawBufferPointer
    private(set) var position = 0

    init(_ memory: UnsafeMutableRawBufferPointer) { self.memory = memory }

    @inline(__always)
    mutating func write<Number: FixedWidthInteger>(_ value: Number) {
        memory.storeBytes(of: value.littleEndian, toByteOffset: position, as: Number.self)
        position += MemoryLayout<Number>.size
    }

    mutating func write(_ bytes: UnsafeRawBufferPointer) {
        guard !bytes.isEmpty else { return }
        UnsafeMutableRawBufferPointer(rebasing: memory[position..<position + bytes.count]).copyMemory(from: bytes)
        position += bytes.count
    }

    mutating func write(_ bytes: ArraySlice<UInt8>) { bytes.withUnsafeBytes { write($0) } }

    /// What was written so far.
    var written: UnsafeRawBufferPointer { UnsafeRawBufferPointer(rebasing: memory[0..<position]) }
}
