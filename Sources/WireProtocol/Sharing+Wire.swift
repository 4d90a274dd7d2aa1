import TQModel

/// What a task shares with others: one optional field, with the same tag in every record that has it.
extension Sharing {
    static let tag: UInt8 = 24

    private enum Tag {
        static let limitKey: UInt8 = 1
        static let serialKey: UInt8 = 2
        static let group: UInt8 = 3
        static let weight: UInt8 = 4
    }

    init(from reader: inout FieldReader) throws(TQError) {
        var (limitKey, serialKey, group): (Name?, Name?, Name?)
        var weight: UInt16 = 1
        while let field = try reader.nextField() {
            switch field.tag {
            case Tag.limitKey: limitKey = try reader.name(of: field)
            case Tag.serialKey: serialKey = try reader.name(of: field)
            case Tag.group: group = try reader.name(of: field)
            case Tag.weight: weight = try reader.integer(of: field)
            default: try reader.unknown(field)
            }
        }
        self.init(limitKey: limitKey, serialKey: serialKey, group: group, weight: weight)
    }

    func write(to bytes: inout [UInt8]) {
        guard !isNone else { return }
        bytes.append(Self.tag)
        bytes.appendRecord {
            if let limitKey { $0.append(field: Tag.limitKey, bytes: limitKey.bytes) }
            if let serialKey { $0.append(field: Tag.serialKey, bytes: serialKey.bytes) }
            if let group { $0.append(field: Tag.group, bytes: group.bytes) }
            if weight != 1 { $0.append(field: Tag.weight, integer: weight) }
        }
    }

    func checkLengths() throws(TQError) {
        try limitKey?.checkLength()
        try serialKey?.checkLength()
        try group?.checkLength()
    }
}
