import TQModel

/// Recurring tasks, and what is known of them.
extension RecurringSpec {
    private enum Tag {
        static let catchUpMax: UInt8 = 1
        static let overlap: UInt8 = 2
    }

    init(from reader: inout FieldReader) throws(TQError) {
        self.init(
            name: try reader.name(),
            recurrence: try reader.bytes(),
            task: try reader.record { (reader) throws(TQError) in try TaskSpec(from: &reader) }
        )
        while let field = try reader.nextField() {
            switch field.tag {
            case Tag.catchUpMax: catchUpMax = try reader.integer(of: field)
            case Tag.overlap: overlap = try reader.overlap(try reader.integer(of: field))
            default: try reader.unknown(field)
            }
        }
    }

    func write(to bytes: inout [UInt8]) {
        bytes.append(name: name)
        bytes.append(bytes: recurrence)
        bytes.appendRecord { task.write(to: &$0) }
        if catchUpMax != 1 { bytes.append(field: Tag.catchUpMax, integer: catchUpMax) }
        if overlap != .allow { bytes.append(field: Tag.overlap, integer: overlap.rawValue) }
    }

    func checkLimits() throws(TQError) {
        try name.checkLength()
        try task.checkLimits()
    }
}

extension RecurringStatus {
    private enum Tag {
        static let upcoming: UInt8 = 1
        static let lastTickWallMilliseconds: UInt8 = 2
        static let lastTask: UInt8 = 3
        static let submitted: UInt8 = 4
        static let skipped: UInt8 = 5
        static let problem: UInt8 = 6
    }

    init(from reader: inout FieldReader) throws(TQError) {
        self.init(
            name: try reader.name(),
            recurrence: try reader.bytes(),
            queue: try reader.name(),
            type: try reader.name(),
            catchUpMax: try reader.integer(),
            overlap: try reader.overlap(try reader.integer()),
            isPaused: try reader.integer(UInt8.self) != 0
        )
        while let field = try reader.nextField() {
            switch field.tag {
            case Tag.upcoming:
                upcoming = try reader.nested(in: field) { (reader) throws(TQError) in try reader.ticks() }
            case Tag.lastTickWallMilliseconds: lastTickWallMilliseconds = try reader.integer(of: field)
            case Tag.lastTask: lastTask = try reader.taskID(of: field)
            case Tag.submitted: submitted = try reader.integer(of: field)
            case Tag.skipped: skipped = try reader.integer(of: field)
            case Tag.problem: problem = reader.bytes(of: field)
            default: try reader.unknown(field)
            }
        }
    }

    func write(to bytes: inout [UInt8]) {
        bytes.append(name: name)
        bytes.append(bytes: recurrence)
        bytes.append(name: queue)
        bytes.append(name: type)
        bytes.append(integer: catchUpMax)
        bytes.append(overlap.rawValue)
        bytes.append(isPaused ? 1 : 0)
        if !upcoming.isEmpty {
            bytes.append(Tag.upcoming)
            bytes.appendRecord { $0.append(ticks: upcoming) }
        }
        bytes.append(field: Tag.lastTickWallMilliseconds, nonZero: lastTickWallMilliseconds)
        if let lastTask {
            bytes.append(Tag.lastTask)
            bytes.appendRecord { $0.append(taskID: lastTask) }
        }
        bytes.append(field: Tag.submitted, nonZero: submitted)
        bytes.append(field: Tag.skipped, nonZero: skipped)
        bytes.append(field: Tag.problem, nonEmpty: problem)
    }
}

extension Tick {
    /// The instant, and the name behind it.
    init(from reader: inout FieldReader) throws(TQError) {
        let instant: UInt64 = try reader.integer()
        self.init(recurring: try reader.name(), wallMilliseconds: instant)
        try reader.noKnownFields()
    }

    func write(to bytes: inout [UInt8]) {
        bytes.append(integer: wallMilliseconds)
        bytes.append(name: recurring)
    }
}

extension FieldReader {
    fileprivate func overlap(_ number: UInt8) throws(TQError) -> RecurringSpec.Overlap {
        guard let overlap = RecurringSpec.Overlap(rawValue: number) else {
            throw malformed("a recurring task overlaps in the unknown way \(number)")
        }
        return overlap
    }

    /// Instants in milliseconds since 1970.
    mutating func ticks() throws(TQError) -> [UInt64] {
        try list(max: Limits.upcomingMax, itemBytesMin: 8) { (reader) throws(TQError) in try reader.integer() }
    }
}

extension [UInt8] {
    mutating func append(ticks: [UInt64]) { append(list: ticks) { $0.append(integer: $1) } }
}
