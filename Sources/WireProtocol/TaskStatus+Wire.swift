import TQModel

/// What a broker knows of single tasks.
extension TaskStatus {
    private enum Tag {
        static let startWallMilliseconds: UInt8 = 1
        static let endWallMilliseconds: UInt8 = 2
        static let worker: UInt8 = 3
        static let error: UInt8 = 4
        static let resultBytes: UInt8 = 5
        static let progress: UInt8 = 6
        static let attemptStartWallMilliseconds: UInt8 = 7
        static let isCancelRequested: UInt8 = 8
        static let cancelReason: UInt8 = 9
        static let history: UInt8 = 10
        static let tick: UInt8 = 11
        static let checkpoint: UInt8 = 12
        static let tags: UInt8 = 19
    }

    init(from reader: inout FieldReader) throws(TQError) {
        self.init(
            id: try reader.taskID(),
            queue: try reader.name(),
            type: try reader.name(),
            state: try reader.state(),
            priority: Priority(try reader.integer()),
            attempts: try reader.integer(),
            crashes: try reader.integer(),
            retriesMax: try reader.integer()
        )
        while let field = try reader.nextField() {
            switch field.tag {
            case Tag.startWallMilliseconds: startWallMilliseconds = try reader.integer(of: field)
            case Tag.endWallMilliseconds: endWallMilliseconds = try reader.integer(of: field)
            case Tag.worker: worker = try reader.name(of: field)
            case Tag.error: error = reader.bytes(of: field)
            case Tag.resultBytes: resultBytes = try reader.integer(of: field)
            case Tag.progress: progress = try reader.progress(of: field)
            case Tag.attemptStartWallMilliseconds: attemptStartWallMilliseconds = try reader.integer(of: field)
            case Tag.cancelReason: cancelReason = try reader.cancelReason(of: field)
            case Tag.history:
                history = try reader.records(of: field, max: Int(Limits.historyMax)) { (reader) throws(TQError) in
                    try Attempt(from: &reader)
                }
            case Tag.checkpoint: checkpoint = reader.bytes(of: field)
            case Tag.tags: tags = try reader.tags(of: field)
            case Tag.tick:
                tick = try reader.nested(in: field) { (reader) throws(TQError) in try Tick(from: &reader) }
            case Tag.isCancelRequested: isCancelRequested = try reader.integer(of: field, as: UInt8.self) != 0
            case Sharing.tag:
                sharing = try reader.nested(in: field) { (reader) throws(TQError) in try Sharing(from: &reader) }
            case Dependencies.tag:
                dependencies = try reader.nested(in: field) { (reader) throws(TQError) in
                    try Dependencies(from: &reader)
                }
            default:
                if try payloadContent.set(field, from: reader) { continue }
                if try !resultContent.set(field, .ofResult, from: reader) { try reader.unknown(field) }
            }
        }
    }

    func write(to bytes: inout [UInt8]) {
        bytes.append(taskID: id)
        bytes.append(name: queue)
        bytes.append(name: type)
        bytes.append(state.rawValue)
        bytes.append(priority.rawValue)
        bytes.append(integer: attempts)
        bytes.append(integer: crashes)
        bytes.append(integer: retriesMax)
        bytes.append(field: Tag.startWallMilliseconds, nonZero: startWallMilliseconds)
        bytes.append(field: Tag.endWallMilliseconds, nonZero: endWallMilliseconds)
        if let worker { bytes.append(field: Tag.worker, bytes: worker.bytes) }
        bytes.append(field: Tag.error, nonEmpty: error)
        bytes.append(field: Tag.resultBytes, nonZero: resultBytes)
        if let progress { bytes.append(field: Tag.progress, bytes: progress.field) }
        bytes.append(field: Tag.attemptStartWallMilliseconds, nonZero: attemptStartWallMilliseconds)
        bytes.append(field: Tag.isCancelRequested, nonZero: isCancelRequested ? 1 as UInt8 : 0)
        bytes.append(field: Tag.cancelReason, integer: cancelReason?.rawValue)
        if !history.isEmpty {
            bytes.append(Tag.history)
            bytes.appendRecord { $0.append(records: history) { $1.write(to: &$0) } }
        }
        if let tick {
            bytes.append(Tag.tick)
            bytes.appendRecord { tick.write(to: &$0) }
        }
        bytes.append(field: Tag.checkpoint, nonEmpty: checkpoint)
        bytes.append(field: Tag.tags, tags: tags)
        payloadContent.write(to: &bytes)
        resultContent.write(to: &bytes, .ofResult)
        sharing.write(to: &bytes)
        dependencies?.write(to: &bytes)
    }
}

extension Attempt {
    init(from reader: inout FieldReader) throws(TQError) {
        let number: UInt16 = try reader.integer()
        let end: UInt8 = try reader.integer()
        guard let end = AttemptEnd(rawValue: end) else {
            throw reader.malformed("end \(end) of an attempt is not known")
        }
        self.init(
            number: number,
            end: end,
            startWallMilliseconds: try reader.integer(),
            endWallMilliseconds: try reader.integer(),
            worker: try reader.name(),
            error: try reader.bytes()
        )
        try reader.noKnownFields()
    }

    func write(to bytes: inout [UInt8]) {
        bytes.append(integer: number)
        bytes.append(end.rawValue)
        bytes.append(integer: startWallMilliseconds)
        bytes.append(integer: endWallMilliseconds)
        bytes.append(name: worker)
        bytes.append(bytes: error)
    }
}

extension TaskProgress {
    /// A percentage and the message behind it.
    var field: Bytes { [percent] + message }
}

extension FieldReader {
    func progress(of field: Field) throws(TQError) -> TaskProgress {
        let bytes = bytes(of: field)
        guard let percent = bytes.first else {
            throw malformed("optional field \(field.tag) is progress without a percentage")
        }
        return TaskProgress(percent: percent, message: bytes.dropFirst())
    }
}

extension TaskResult {
    private static let errorTag: UInt8 = 1
    private static let cancelReasonTag: UInt8 = 2

    init(from reader: inout FieldReader) throws(TQError) {
        self.init(id: try reader.taskID(), state: try reader.state(), result: try reader.bytes())
        while let field = try reader.nextField() {
            switch field.tag {
            case Self.errorTag: error = reader.bytes(of: field)
            case Self.cancelReasonTag: cancelReason = try reader.cancelReason(of: field)
            default: if try !content.set(field, from: reader) { try reader.unknown(field) }
            }
        }
    }

    func write(to bytes: inout [UInt8]) {
        bytes.append(taskID: id)
        bytes.append(state.rawValue)
        bytes.append(bytes: result)
        bytes.append(field: Self.errorTag, nonEmpty: error)
        bytes.append(field: Self.cancelReasonTag, integer: cancelReason?.rawValue)
        content.write(to: &bytes)
    }
}

extension DeadLetter {
    /// The status comes last, so that its optional fields end the record.
    init(from reader: inout FieldReader) throws(TQError) {
        let number: UInt8 = try reader.integer()
        guard let reason = DeadLetterReason(rawValue: number) else {
            throw reader.malformed("dead letter reason \(number) is not known")
        }
        let payload = try reader.bytes()
        self.init(status: try TaskStatus(from: &reader), reason: reason, payload: payload)
    }

    func write(to bytes: inout [UInt8]) {
        bytes.append(reason.rawValue)
        bytes.append(bytes: payload)
        status.write(to: &bytes)
    }
}

extension DeadLetterQuery {
    private enum Tag {
        static let queue: UInt8 = 1
        static let after: UInt8 = 2
    }

    init(from reader: inout FieldReader) throws(TQError) {
        self.init(count: try reader.integer())
        while let field = try reader.nextField() {
            switch field.tag {
            case Tag.queue: queue = try reader.name(of: field)
            case Tag.after: after = try reader.taskID(of: field)
            default: try reader.unknown(field)
            }
        }
    }

    func write(to bytes: inout [UInt8]) {
        bytes.append(integer: count)
        if let queue { bytes.append(field: Tag.queue, bytes: queue.bytes) }
        if let after {
            bytes.append(Tag.after)
            bytes.appendRecord { $0.append(taskID: after) }
        }
    }
}

extension FieldReader {
    fileprivate mutating func cancelReason(of field: Field) throws(TQError) -> CancelReason {
        let number: UInt8 = try integer(of: field)
        guard let reason = CancelReason(rawValue: number) else {
            throw malformed("cancel reason \(number) is not known")
        }
        return reason
    }

    fileprivate mutating func state() throws(TQError) -> TaskState {
        let number: UInt8 = try integer()
        guard let state = TaskState(rawValue: number) else { throw malformed("task state \(number) is not known") }
        return state
    }
}
