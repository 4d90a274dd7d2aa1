import ByteStore
import QueueCore
import TQModel

/// The tags of a task: table header (count = tags; everything is covered), then each as its length u8 and its bytes.
enum TagsRecord {
    /// Writes the tags that a task has from now on, and the rows that lead from them to it.
    static func write(_ row: TagsRow, to batch: WriteBatch) {
        if row.tags.isEmpty {
            batch.delete(.index, key: KeyLayout.tags(of: row.sequence))
        } else {
            put(row, to: batch)
        }
        for tag in row.dropped { batch.delete(.index, key: Posting.tagged(tag, row.sequence)) }
        for tag in row.tags { batch.put(.index, key: Posting.tagged(tag, row.sequence), value: []) }
    }

    private static func put(_ row: TagsRow, to batch: WriteBatch) {
        let covered = byteCount(row.tags)
        batch.put(
            .index,
            key: KeyLayout.tags(of: row.sequence),
            valueByteCount: TableHeader.byteCount + covered
        ) { value in
            var writer = ByteWriter(UnsafeMutableRawBufferPointer(rebasing: value[TableHeader.byteCount...]))
            write(row.tags, to: &writer)
            TableHeader(count: UInt32(row.tags.count)).seal(value, covered: covered)
        }
    }

    static func read(key: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer) throws(StorageError) -> TagsRow {
        let sequence = try KeyReader.tags(key)
        var (header, reader) = try TableHeader.open(value, "tags") { _ in value.count - TableHeader.byteCount }
        guard (1...Limits.tagsMax).contains(Int(header.count)) else { throw reader.corrupt("\(header.count) tags") }
        let tags = try read(Int(header.count), from: &reader)
        try reader.end()
        return TagsRow(sequence: sequence, tags: tags)
    }

    // MARK: Tags, one behind the other

    static func byteCount(_ tags: [TaskTag]) -> Int { tags.reduce(0) { $0 + 1 + $1.bytes.count } }

    static func write(_ tags: [TaskTag], to writer: inout ByteWriter) {
        for tag in tags {
            writer.write(UInt8(tag.bytes.count))
            writer.write(tag.bytes)
        }
    }

    static func read(_ count: Int, from reader: inout ByteReader) throws(StorageError) -> [TaskTag] {
        var tags: [TaskTag] = []
        for _ in 0..<count {
            let byteCount: UInt8 = try reader.read()
            guard (1...Limits.tagBytesMax).contains(Int(byteCount)) else {
                throw reader.corrupt("a tag of \(byteCount) bytes")
            }
            tags.append(TaskTag(bytes: Bytes(Array(try reader.bytes(Int(byteCount))))))
        }
        return tags
    }
}
