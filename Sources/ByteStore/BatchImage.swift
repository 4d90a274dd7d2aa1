/// One operation of a batch; the bytes belong to the image and are valid as long as it is.
public enum BatchOperation {
    /// Sets the value of a key.
    case put(Family, key: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer)
    /// Deletes a key, whether it exists or not.
    case delete(Family, key: UnsafeRawBufferPointer)
    /// Deletes a key that was put at most once in its life.
    case singleDelete(Family, key: UnsafeRawBufferPointer)
    /// Deletes every key from `from` to below `to`.
    case deleteRange(Family, from: UnsafeRawBufferPointer, to: UnsafeRawBufferPointer)
}

/// The format of a batch: RocksDB's, restricted to the operations that tq uses, each with its family.
public enum BatchImage {
    static let headerByteCount = 12
    static let countOffset = 8
    static let varintBytesMax = 5

    enum Tag: UInt8 {
        case delete = 0x04
        case put = 0x05
        case singleDelete = 0x08
        case deleteRange = 0x0E
    }

    /// Decodes an image from anywhere, and returns the count of its operations.
    ///
    /// Throws ``StorageError/Kind/corruption`` at the first byte that is not as it must be; the operations before it
    /// have been handed out by then.
    @discardableResult
    public static func forEach(
        _ image: UnsafeRawBufferPointer,
        _ body: (BatchOperation) throws(StorageError) -> Void
    ) throws(StorageError) -> UInt32 {
        guard image.count >= headerByteCount else {
            throw StorageError(.corruption, "a batch of \(image.count) bytes is shorter than its header")
        }
        let count = UInt32(littleEndian: image.loadUnaligned(fromByteOffset: countOffset, as: UInt32.self))
        var reader = Reader(image: image)
        var found: UInt32 = 0
        while !reader.isAtEnd {
            // Compared before it grows, so that no count makes it overflow.
            guard found < count else { throw reader.error("more operations than the \(count) of its header") }
            try body(reader.operation())
            found += 1
        }
        guard found == count else { throw reader.error("\(found) operations instead of the \(count) of its header") }
        return count
    }

    /// A position in an image that never leaves it.
    private struct Reader {
        let image: UnsafeRawBufferPointer
        var offset = headerByteCount

        var isAtEnd: Bool { offset == image.count }

        mutating func operation() throws(StorageError) -> BatchOperation {
            let byte = try self.byte()
            guard let tag = Tag(rawValue: byte) else { throw error("unknown operation \(byte)") }
            let id = try varint()
            guard let family = UInt8(exactly: id).flatMap(Family.init(rawValue:)) else {
                throw error("unknown family \(id)")
            }
            let first = try bytes()
            switch tag {
            case .put: return .put(family, key: first, value: try bytes())
            case .delete: return .delete(family, key: first)
            case .singleDelete: return .singleDelete(family, key: first)
            case .deleteRange: return .deleteRange(family, from: first, to: try bytes())
            }
        }

        mutating func byte() throws(StorageError) -> UInt8 {
            guard offset < image.count else { throw error("it ends within an operation") }
            defer { offset += 1 }
            return image[offset]
        }

        mutating func varint() throws(StorageError) -> UInt32 {
            var value: UInt64 = 0
            for index in 0..<UInt64(varintBytesMax) {
                let byte = try self.byte()
                value |= UInt64(byte & 0x7F) << (7 * index)
                guard byte & 0x80 != 0 else {
                    guard let value = UInt32(exactly: value) else { break }
                    return value
                }
            }
            throw error("a length beyond 32 bits")
        }

        mutating func bytes() throws(StorageError) -> UnsafeRawBufferPointer {
            let count = try Int(varint())
            guard count <= image.count - offset else {
                throw error("\(count) bytes announced, \(image.count - offset) there")
            }
            defer { offset += count }
            return UnsafeRawBufferPointer(rebasing: image[offset..<offset + count])
        }

        func error(_ what: String) -> StorageError {
            StorageError(.corruption, "damaged batch of \(image.count) bytes at byte \(offset): \(what)")
        }
    }
}
