import TQModel

/// Tags of a task: a count of 4 bytes, and each with a length of 1 byte before it.
extension [UInt8] {
    mutating func append(field number: UInt8, tags: [TaskTag]) {
        guard !tags.isEmpty else { return }
        append(number)
        appendRecord { $0.append(list: tags) { $0.append(shortBytes: $1.bytes) } }
    }
}

extension FieldReader {
    mutating func tags(of field: Field) throws(TQError) -> [TaskTag] {
        try nested(in: field) { (reader) throws(TQError) in
            try reader.list(max: Limits.tagsMax, itemBytesMin: 1) { (reader) throws(TQError) in
                TaskTag(bytes: try reader.name().bytes)
            }
        }
    }
}

extension TaskTag {
    func checkLength() throws(TQError) {
        guard bytes.count <= Limits.tagBytesMax else {
            throw TQError(
                .invalidArgument,
                "The tag '\(description.prefix(32))…' has \(bytes.count) bytes, the limit is \(Limits.tagBytesMax)."
            )
        }
    }
}
