import TQModel

extension TaskSpec {
    private enum Tag {
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
        default: try reader.unknown(field)
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
        guard let startBy else { return }
        switch startBy.time {
        case .now: bytes.append(field: Tag.startByAfter, integer: 0 as UInt64)
        case .after(let milliseconds): bytes.append(field: Tag.startByAfter, integer: milliseconds)
        case .at(let wallMilliseconds): bytes.append(field: Tag.startByAt, integer: wallMilliseconds)
        }
        bytes.append(field: Tag.buriesLate, nonZero: startBy.buriesLate ? 1 as UInt8 : 0)
    }

    func checkLimits() throws(TQError) {
        try queue.checkLength()
        try type.checkLength()
        guard payload.count <= Limits.payloadBytesMax else {
            throw .payloadTooLarge(payload.count, of: "payload of a task of type '\(type)'")
        }
        _ = try Self.checkedKey(idempotencyKey)
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
