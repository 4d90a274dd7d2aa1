import TQModel

extension TaskSpec {
    fileprivate enum Tag {
        static let startAfter: UInt8 = 1
        static let startAt: UInt8 = 2
        static let leaseMilliseconds: UInt8 = 3
        static let timeoutMilliseconds: UInt8 = 4
        static let retriesMax: UInt8 = 5
        static let crashesMax: UInt8 = 6
        static let retryPolicy: UInt8 = 7
        static let retentionMilliseconds: UInt8 = 8
        static let idempotencyKey: UInt8 = 9
        static let idempotencyWindowMilliseconds: UInt8 = 10
        static let startByAfter: UInt8 = 11
        static let startByAt: UInt8 = 12
        static let buriesLate: UInt8 = 13
        static let uniqueKey: UInt8 = 14
        static let uniqueScope: UInt8 = 15
        static let uniqueWindowMilliseconds: UInt8 = 16
        static let uniqueConflict: UInt8 = 17
        static let deadLetterRetentionMilliseconds: UInt8 = 18
        static let tags: UInt8 = 19
    }

    init(from reader: inout FieldReader) throws(TQError) {
        let queue = try reader.name()
        let type = try reader.name()
        let rank = Rank(rawValue: try reader.integer())
        let payload = try reader.payload(of: "payload of a task of type '\(type)'")
        self.init(queue: queue, type: type, payload: payload, rank: rank)
        while let field = try reader.nextField() {
            try set(field, from: &reader)
        }
    }

    private mutating func set(_ field: Field, from reader: inout FieldReader) throws(TQError) {
        switch field.tag {
        case Tag.startAfter: start = .after(milliseconds: try reader.integer(of: field))
        case Tag.startAt:
            guard start == .now else { throw reader.malformed("a task starts either after or at a time, not both") }
            start = .at(wallMilliseconds: try reader.integer(of: field))
        case Tag.leaseMilliseconds: leaseMilliseconds = try reader.integer(of: field)
        case Tag.timeoutMilliseconds: timeoutMilliseconds = try reader.integer(of: field)
        case Tag.retriesMax: retriesMax = try reader.integer(of: field)
        case Tag.crashesMax: crashesMax = try reader.integer(of: field)
        case Tag.retryPolicy: retryPolicy = try RetryPolicy(reader.bytes(of: field))
        case Tag.retentionMilliseconds: retentionMilliseconds = try reader.integer(of: field)
        case Tag.idempotencyKey: idempotencyKey = try Self.checkedKey(reader.bytes(of: field))
        case Tag.idempotencyWindowMilliseconds: idempotencyWindowMilliseconds = try reader.integer(of: field)
        case Tag.startByAfter: startBy = StartBy(.after(milliseconds: try reader.integer(of: field)))
        case Tag.startByAt:
            guard startBy == nil else { throw reader.malformed("a task starts by a time or in a time, not both") }
            startBy = StartBy(.at(wallMilliseconds: try reader.integer(of: field)))
        case Tag.buriesLate:
            guard startBy != nil else { throw reader.malformed("a task without a latest start is never late") }
            startBy?.buriesLate = try reader.integer(of: field, as: UInt8.self) != 0
        case Tag.uniqueKey: uniqueKey = UniqueKey(try Self.checkedUniqueKey(reader.bytes(of: field)))
        case Tag.uniqueScope, Tag.uniqueWindowMilliseconds, Tag.uniqueConflict:
            guard var unique = uniqueKey else {
                throw reader.malformed("field \(field.tag) of a task comes behind its unique key")
            }
            try unique.set(field, from: &reader)
            uniqueKey = unique
        case Tag.deadLetterRetentionMilliseconds: deadLetterRetentionMilliseconds = try reader.integer(of: field)
        case Tag.tags: tags = try reader.tags(of: field)
        case Sharing.tag:
            sharing = try reader.nested(in: field) { (reader) throws(TQError) in try Sharing(from: &reader) }
        case Dependencies.tag:
            dependencies = try reader.nested(in: field) { (reader) throws(TQError) in
                try Dependencies(from: &reader)
            }
        default: if try !content.set(field, from: reader) { try reader.unknown(field) }
        }
    }

    func write(to bytes: inout [UInt8]) {
        bytes.append(name: queue)
        bytes.append(name: type)
        bytes.append(integer: rank.rawValue)
        bytes.append(bytes: payload)
        switch start {
        case .now: break
        case .after(let milliseconds): bytes.append(field: Tag.startAfter, integer: milliseconds)
        case .at(let wallMilliseconds): bytes.append(field: Tag.startAt, integer: wallMilliseconds)
        }
        bytes.append(field: Tag.leaseMilliseconds, nonZero: leaseMilliseconds)
        bytes.append(field: Tag.timeoutMilliseconds, nonZero: timeoutMilliseconds)
        bytes.append(field: Tag.retriesMax, integer: retriesMax)
        bytes.append(field: Tag.crashesMax, integer: crashesMax)
        bytes.append(field: Tag.retryPolicy, nonEmpty: Bytes((retryPolicy?.description ?? "").utf8))
        bytes.append(field: Tag.retentionMilliseconds, nonZero: retentionMilliseconds)
        bytes.append(field: Tag.idempotencyKey, nonEmpty: idempotencyKey)
        bytes.append(field: Tag.idempotencyWindowMilliseconds, nonZero: idempotencyWindowMilliseconds)
        startBy?.write(to: &bytes)
        uniqueKey?.write(to: &bytes)
        bytes.append(field: Tag.deadLetterRetentionMilliseconds, nonZero: deadLetterRetentionMilliseconds)
        bytes.append(field: Tag.tags, tags: tags)
        content.write(to: &bytes)
        sharing.write(to: &bytes)
        dependencies?.write(to: &bytes)
    }

    func checkLimits() throws(TQError) {
        try queue.checkLength()
        try type.checkLength()
        try content.type?.checkLength()
        guard payload.count <= Limits.payloadBytesMax else {
            throw .payloadTooLarge(payload.count, of: "payload of a task of type '\(type)'")
        }
        _ = try Self.checkedKey(idempotencyKey)
        if let uniqueKey { _ = try Self.checkedUniqueKey(uniqueKey.key) }
        for tag in tags { try tag.checkLength() }
        try sharing.checkLengths()
        try dependencies?.checkLimits()
    }

    private static func checkedKey(_ key: Bytes) throws(TQError) -> Bytes {
        guard key.count <= Limits.idempotencyKeyBytesMax else {
            throw TQError(
                .invalidArgument,
                "An idempotency key of \(key.count) bytes is over the limit of \(Limits.idempotencyKeyBytesMax). Hash it."
            )
        }
        return key
    }

    private static func checkedUniqueKey(_ key: Bytes) throws(TQError) -> Bytes {
        guard (1...Limits.uniqueKeyBytesMax).contains(key.count) else {
            throw TQError(
                .invalidArgument,
                "A unique key has \(key.count) bytes; use 1 to \(Limits.uniqueKeyBytesMax). Hash a longer one."
            )
        }
        return key
    }
}

extension TaskSpec.StartBy {
    fileprivate func write(to bytes: inout [UInt8]) {
        switch time {
        case .now: bytes.append(field: TaskSpec.Tag.startByAfter, integer: 0 as UInt64)
        case .after(let milliseconds): bytes.append(field: TaskSpec.Tag.startByAfter, integer: milliseconds)
        case .at(let wallMilliseconds): bytes.append(field: TaskSpec.Tag.startByAt, integer: wallMilliseconds)
        }
        bytes.append(field: TaskSpec.Tag.buriesLate, nonZero: buriesLate ? 1 as UInt8 : 0)
    }
}

extension UniqueKey {
    private static let scopes: [UInt8: Scope] = [1: .waiting, 2: .active, 3: .unfinished]

    /// Takes a field that stands behind the key's own.
    fileprivate mutating func set(_ field: Field, from reader: inout FieldReader) throws(TQError) {
        switch field.tag {
        case TaskSpec.Tag.uniqueWindowMilliseconds: scope = .window(milliseconds: try reader.integer(of: field))
        case TaskSpec.Tag.uniqueScope:
            let number: UInt8 = try reader.integer(of: field)
            guard let scope = Self.scopes[number] else { throw reader.malformed("a unique key has scope \(number)") }
            self.scope = scope
        default:
            let number: UInt8 = try reader.integer(of: field)
            guard let onConflict = OnConflict(rawValue: number) else {
                throw reader.malformed("a unique key's conflict has the way out \(number)")
            }
            self.onConflict = onConflict
        }
    }

    fileprivate func write(to bytes: inout [UInt8]) {
        bytes.append(field: TaskSpec.Tag.uniqueKey, nonEmpty: key)
        switch scope {
        case .waiting: bytes.append(field: TaskSpec.Tag.uniqueScope, integer: 1 as UInt8)
        case .active: break
        case .unfinished: bytes.append(field: TaskSpec.Tag.uniqueScope, integer: 3 as UInt8)
        case .window(let milliseconds):
            bytes.append(field: TaskSpec.Tag.uniqueWindowMilliseconds, integer: milliseconds)
        }
        if onConflict != .existing { bytes.append(field: TaskSpec.Tag.uniqueConflict, integer: onConflict.rawValue) }
    }
}

extension Name {
    func checkLength() throws(TQError) {
        guard bytes.count <= Limits.nameBytesMax else {
            throw TQError(
                .invalidArgument,
                "The name '\(description.prefix(32))…' has \(bytes.count) bytes, the limit is \(Limits.nameBytesMax)."
            )
        }
    }
}
