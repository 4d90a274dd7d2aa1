import TQModel

extension TaskQuery {
    private static let cursorTag: UInt8 = 1
    private static let isCountTag: UInt8 = 2

    init(from reader: inout FieldReader) throws(TQError) {
        let count: UInt32 = try reader.integer()
        let isNewestFirst: UInt8 = try reader.integer()
        let filter = try reader.record { (reader) throws(TQError) in try TaskFilter(from: &reader) }
        self.init(filter: filter, isNewestFirst: isNewestFirst != 0, count: count)
        while let field = try reader.nextField() {
            switch field.tag {
            case Self.cursorTag: cursor = reader.bytes(of: field)
            case Self.isCountTag: isCount = try reader.integer(of: field, as: UInt8.self) != 0
            default: try reader.unknown(field)
            }
        }
    }

    func write(to bytes: inout [UInt8]) {
        bytes.append(integer: count)
        bytes.append(isNewestFirst ? 1 : 0)
        bytes.appendRecord { filter.write(to: &$0) }
        bytes.append(field: Self.cursorTag, nonEmpty: cursor)
        if isCount { bytes.append(field: Self.isCountTag, integer: 1 as UInt8) }
    }

    func checkLimits() throws(TQError) { try filter.checkLimits() }
}

extension TaskPage {
    private static let damagedTag: UInt8 = 1
    private static let countTag: UInt8 = 2

    init(from reader: inout FieldReader) throws(TQError) {
        let scanned: UInt64 = try reader.integer()
        let next = try reader.shortBytes()
        let tasks = try reader.records(max: .max) { (reader) throws(TQError) in try TaskStatus(from: &reader) }
        self.init(tasks: tasks, next: next, scanned: scanned)
        while let field = try reader.nextField() {
            switch field.tag {
            case Self.damagedTag: damaged = try reader.integer(of: field)
            case Self.countTag: count = try reader.integer(of: field)
            default: try reader.unknown(field)
            }
        }
    }

    func write(to bytes: inout [UInt8]) {
        bytes.append(integer: scanned)
        bytes.append(shortBytes: next)
        bytes.append(records: tasks) { $1.write(to: &$0) }
        bytes.append(field: Self.damagedTag, nonZero: damaged)
        bytes.append(field: Self.countTag, nonZero: count)
    }
}

extension TaskFilter {
    private enum Tag {
        static let states: UInt8 = 1
        static let queue: UInt8 = 2
        static let type: UInt8 = 3
        static let lowestPriority: UInt8 = 4
        static let highestPriority: UInt8 = 5
        static let createdFrom: UInt8 = 6
        static let createdBefore: UInt8 = 7
        static let error: UInt8 = 8
        static let tag: UInt8 = 9
    }

    init(from reader: inout FieldReader) throws(TQError) {
        self.init()
        var (lowest, highest) = (priorities.lowerBound, priorities.upperBound)
        while let field = try reader.nextField() {
            switch field.tag {
            case Tag.states:
                for number in reader.bytes(of: field) {
                    guard let state = TaskState(rawValue: number) else {
                        throw reader.malformed("task state \(number) is not known")
                    }
                    states.insert(state)
                }
            case Tag.queue: queue = try reader.name(of: field)
            case Tag.type: type = TypePattern(bytes: try reader.name(of: field).bytes)
            case Tag.lowestPriority: lowest = Priority(try reader.integer(of: field))
            case Tag.highestPriority: highest = Priority(try reader.integer(of: field))
            case Tag.createdFrom: createdFrom = try reader.integer(of: field)
            case Tag.createdBefore: createdBefore = try reader.integer(of: field)
            case Tag.error: error = reader.bytes(of: field)
            case Tag.tag: tag = TaskTag(bytes: reader.bytes(of: field))
            default: try reader.unknown(field)
            }
        }
        guard lowest <= highest else {
            throw TQError(
                .invalidArgument,
                "The lowest priority of a filter, \(lowest), is above its highest, \(highest). Swap them."
            )
        }
        priorities = lowest...highest
    }

    func write(to bytes: inout [UInt8]) {
        let states = states.map(\.rawValue).sorted()
        bytes.append(field: Tag.states, nonEmpty: states[...])
        if let queue { bytes.append(field: Tag.queue, bytes: queue.bytes) }
        if let type { bytes.append(field: Tag.type, bytes: type.bytes) }
        let (lowest, highest) = (priorities.lowerBound, priorities.upperBound)
        if lowest > Self.allPriorities.lowerBound { bytes.append(field: Tag.lowestPriority, integer: lowest.rawValue) }
        if highest < Self.allPriorities.upperBound {
            bytes.append(field: Tag.highestPriority, integer: highest.rawValue)
        }
        bytes.append(field: Tag.createdFrom, nonZero: createdFrom)
        if createdBefore < .max { bytes.append(field: Tag.createdBefore, integer: createdBefore) }
        bytes.append(field: Tag.error, nonEmpty: error)
        if let tag { bytes.append(field: Tag.tag, bytes: tag.bytes) }
    }

    func checkLimits() throws(TQError) {
        try queue?.checkLength()
        if let type { try Name(bytes: type.bytes).checkLength() }
        try tag?.checkLength()
    }
}
