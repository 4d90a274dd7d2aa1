import TQModel

/// What a broker counts, and what it says about itself and its workers.
extension TaskCounts {
    /// A number of counters and the counters; more of them may come in later versions.
    init(from reader: inout FieldReader) throws(TQError) {
        self.init()
        for (index, value) in try reader.counters().enumerated() {
            guard let state = TaskState(rawValue: UInt8(truncatingIfNeeded: index + 1)) else { break }
            self[state] = value
        }
    }

    func write(to bytes: inout [UInt8]) {
        bytes.append(counters: TaskState.allCases.map { self[$0] })
    }
}

extension BrokerTotals {
    /// The counters in the order of the wire.
    private static var all: [WritableKeyPath<BrokerTotals, UInt64>] {
        [
            \.submitted, \.claimed, \.completed, \.failed, \.retried, \.deadLettered, \.cancelled, \.expired, \.lapsed,
            \.timedOut, \.replaced, \.forgotten,
        ]
    }

    init(from reader: inout FieldReader) throws(TQError) {
        self.init()
        for (counter, value) in zip(Self.all, try reader.counters()) { self[keyPath: counter] = value }
    }

    func write(to bytes: inout [UInt8]) {
        bytes.append(counters: Self.all.map { self[keyPath: $0] })
    }
}

extension BrokerStatistics {
    private static let syncIntervalTag: UInt8 = 1

    init(from reader: inout FieldReader) throws(TQError) {
        self.init(
            counts: try TaskCounts(from: &reader),
            totals: try BrokerTotals(from: &reader),
            queues: try reader.integer(),
            workers: try reader.integer(),
            connections: try reader.integer(),
            uptimeMilliseconds: try reader.integer()
        )
        while let field = try reader.nextField() {
            switch field.tag {
            case Self.syncIntervalTag: syncIntervalMilliseconds = try reader.integer(of: field)
            default: try reader.unknown(field)
            }
        }
    }

    func write(to bytes: inout [UInt8]) {
        counts.write(to: &bytes)
        totals.write(to: &bytes)
        bytes.append(integer: queues)
        bytes.append(integer: workers)
        bytes.append(integer: connections)
        bytes.append(integer: uptimeMilliseconds)
        bytes.append(field: Self.syncIntervalTag, nonZero: syncIntervalMilliseconds)
    }
}

extension QueueStatistics {
    init(from reader: inout FieldReader) throws(TQError) {
        self.init(name: try reader.name(), counts: try TaskCounts(from: &reader))
        while let field = try reader.nextField() {
            switch field.tag {
            case Self.policyTag:
                policy = try reader.nested(in: field) { (reader) throws(TQError) in try QueuePolicy(from: &reader) }
            default: try reader.unknown(field)
            }
        }
    }

    private static let policyTag: UInt8 = 1

    func write(to bytes: inout [UInt8]) {
        bytes.append(name: name)
        counts.write(to: &bytes)
        guard !policy.isEmpty else { return }
        bytes.append(Self.policyTag)
        bytes.appendRecord { policy.write(to: &$0) }
    }
}

extension WorkerSpec {
    private enum Tag {
        static let metadata: UInt8 = 1
        static let concurrency: UInt8 = 2
        static let running: UInt8 = 3
        static let cpuPermille: UInt8 = 4
        static let memoryBytes: UInt8 = 5
    }

    init(from reader: inout FieldReader) throws(TQError) {
        self.init(name: try reader.name())
        while let field = try reader.nextField() {
            switch field.tag {
            case Tag.metadata: metadata = reader.bytes(of: field)
            case Tag.concurrency: concurrency = try reader.integer(of: field)
            case Tag.running: running = try reader.integer(of: field)
            case Tag.cpuPermille: cpuPermille = try reader.integer(of: field)
            case Tag.memoryBytes: memoryBytes = try reader.integer(of: field)
            default: try reader.unknown(field)
            }
        }
        try checkLimits()
    }

    func write(to bytes: inout [UInt8]) {
        bytes.append(name: name)
        bytes.append(field: Tag.metadata, nonEmpty: metadata)
        bytes.append(field: Tag.concurrency, nonZero: concurrency)
        bytes.append(field: Tag.running, nonZero: running)
        bytes.append(field: Tag.cpuPermille, nonZero: cpuPermille)
        bytes.append(field: Tag.memoryBytes, nonZero: memoryBytes)
    }

    func checkLimits() throws(TQError) {
        try name.checkLength()
        guard metadata.count <= Limits.errorBytesMax else {
            throw TQError(
                .invalidArgument,
                "The metadata of worker '\(name)' has \(metadata.count) bytes, the limit is \(Limits.errorBytesMax)."
            )
        }
    }
}

extension WorkerStatus {
    /// The spec comes last, so that its optional fields end the record.
    init(from reader: inout FieldReader) throws(TQError) {
        let leases: UInt32 = try reader.integer()
        let silentMilliseconds: UInt64 = try reader.integer()
        let order = try reader.workerOrder()
        let spec = try WorkerSpec(from: &reader)
        self.init(spec: spec, leases: leases, silentMilliseconds: silentMilliseconds, order: order)
    }

    func write(to bytes: inout [UInt8]) {
        bytes.append(integer: leases)
        bytes.append(integer: silentMilliseconds)
        bytes.append(order.rawValue)
        spec.write(to: &bytes)
    }
}

extension FieldReader {
    mutating func workerOrder() throws(TQError) -> WorkerOrder {
        let number: UInt8 = try integer()
        guard let order = WorkerOrder(rawValue: number) else { throw malformed("worker order \(number) is not known") }
        return order
    }
}

extension Health {
    private enum Tag {
        static let reason: UInt8 = 1
        static let syncInterval: UInt8 = 2
    }

    init(from reader: inout FieldReader) throws(TQError) {
        let number: UInt8 = try reader.integer()
        guard let status = Status(rawValue: number) else { throw reader.malformed("health \(number) is not known") }
        self.init(status: status, version: try reader.shortText())
        while let field = try reader.nextField() {
            switch field.tag {
            case Tag.reason: reason = String(decoding: reader.bytes(of: field), as: UTF8.self)
            case Tag.syncInterval: syncIntervalMilliseconds = try reader.integer(of: field)
            default: try reader.unknown(field)
            }
        }
    }

    func write(to bytes: inout [UInt8]) {
        bytes.append(status.rawValue)
        bytes.append(shortBytes: Bytes(version.utf8))
        bytes.append(field: Tag.reason, nonEmpty: Bytes(reason.utf8))
        bytes.append(field: Tag.syncInterval, nonZero: syncIntervalMilliseconds)
    }
}

extension FieldReader {
    fileprivate mutating func counters() throws(TQError) -> [UInt64] {
        let count: UInt8 = try integer()
        var values: [UInt64] = []
        for _ in 0..<count { values.append(try integer()) }
        return values
    }
}

extension [UInt8] {
    fileprivate mutating func append(counters: [UInt64]) {
        append(UInt8(truncatingIfNeeded: counters.count))
        for value in counters { append(integer: value) }
    }
}
