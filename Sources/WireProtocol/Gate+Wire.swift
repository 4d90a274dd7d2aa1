import TQModel

/// Gates, and what explains why tasks wait.
extension GateScope {
    init(from reader: inout FieldReader) throws(TQError) {
        let number: UInt8 = try reader.integer()
        guard let kind = Kind(rawValue: number) else {
            throw reader.malformed("gates of kind \(number) are not known")
        }
        self.init(kind, try reader.name())
    }

    func write(to bytes: inout [UInt8]) {
        bytes.append(kind.rawValue)
        bytes.append(name: name)
    }
}

extension GateChange {
    private enum Tag {
        static let isPaused: UInt8 = 1
        static let pauseMilliseconds: UInt8 = 2
        static let runningMax: UInt8 = 3
        static let rate: UInt8 = 4
        static let weight: UInt8 = 5
        static let breaker: UInt8 = 6
        static let circuit: UInt8 = 7
    }

    init(from reader: inout FieldReader) throws(TQError) {
        self.init(try GateScope(from: &reader))
        while let field = try reader.nextField() {
            switch field.tag {
            case Tag.isPaused: isPaused = try reader.integer(of: field) as UInt8 != 0
            case Tag.pauseMilliseconds: pauseMilliseconds = try reader.integer(of: field)
            case Tag.runningMax: runningMax = try reader.integer(of: field)
            case Tag.rate:
                rate = try reader.nested(in: field) { (reader) throws(TQError) in try StartRate(from: &reader) }
            case Tag.weight: weight = try reader.integer(of: field)
            case Tag.breaker:
                breaker = try reader.nested(in: field) { (reader) throws(TQError) in
                    try CircuitBreaker(from: &reader)
                }
            case Tag.circuit:
                circuit = try reader.nested(in: field) { (reader) throws(TQError) in try CircuitState(from: &reader) }
            default: try reader.unknown(field)
            }
        }
    }

    func write(to bytes: inout [UInt8]) {
        scope.write(to: &bytes)
        bytes.append(field: Tag.isPaused, integer: isPaused.map { $0 ? 1 as UInt8 : 0 })
        bytes.append(field: Tag.pauseMilliseconds, nonZero: pauseMilliseconds)
        bytes.append(field: Tag.runningMax, integer: runningMax)
        rate?.write(to: &bytes, as: Tag.rate)
        bytes.append(field: Tag.weight, integer: weight)
        if let breaker {
            bytes.append(Tag.breaker)
            bytes.appendRecord { breaker.write(to: &$0) }
        }
        bytes.append(field: Tag.circuit, integer: circuit?.rawValue)
    }
}

extension GateStatus {
    private enum Tag {
        static let since: UInt8 = 1
        static let until: UInt8 = 2
        static let runningMax: UInt8 = 3
        static let rate: UInt8 = 4
        static let weight: UInt8 = 5
        static let circuit: UInt8 = 6
    }

    init(from reader: inout FieldReader) throws(TQError) {
        self.init(scope: try GateScope(from: &reader), running: try reader.integer())
        while let field = try reader.nextField() {
            switch field.tag {
            case Tag.since: pausedSinceWallMilliseconds = try reader.integer(of: field)
            case Tag.until: pausedUntilWallMilliseconds = try reader.integer(of: field)
            case Tag.runningMax: runningMax = try reader.integer(of: field)
            case Tag.rate:
                rate = try reader.nested(in: field) { (reader) throws(TQError) in try StartRate(from: &reader) }
            case Tag.weight: weight = try reader.integer(of: field)
            case Tag.circuit:
                circuit = try reader.nested(in: field) { (reader) throws(TQError) in try CircuitStatus(from: &reader) }
            default: try reader.unknown(field)
            }
        }
    }

    func write(to bytes: inout [UInt8]) {
        scope.write(to: &bytes)
        bytes.append(integer: running)
        bytes.append(field: Tag.since, nonZero: pausedSinceWallMilliseconds)
        bytes.append(field: Tag.until, nonZero: pausedUntilWallMilliseconds)
        bytes.append(field: Tag.runningMax, nonZero: runningMax)
        rate?.write(to: &bytes, as: Tag.rate)
        bytes.append(field: Tag.weight, nonZero: weight)
        guard let circuit else { return }
        bytes.append(Tag.circuit)
        bytes.appendRecord { circuit.write(to: &$0) }
    }
}

extension CircuitState {
    init(from reader: inout FieldReader) throws(TQError) {
        let number: UInt8 = try reader.integer()
        guard let state = Self(rawValue: number) else {
            throw reader.malformed("circuits in state \(number) are not known")
        }
        self = state
    }
}

extension CircuitBreaker {
    init(from reader: inout FieldReader) throws(TQError) {
        self.init(
            failurePercent: try reader.integer(),
            attemptsMin: try reader.integer(),
            windowMilliseconds: try reader.integer(),
            openMilliseconds: try reader.integer(),
            probes: try reader.integer()
        )
    }

    func write(to bytes: inout [UInt8]) {
        bytes.append(integer: failurePercent)
        bytes.append(integer: attemptsMin)
        bytes.append(integer: windowMilliseconds)
        bytes.append(integer: openMilliseconds)
        bytes.append(integer: probes)
    }
}

extension CircuitStatus {
    init(from reader: inout FieldReader) throws(TQError) {
        self.init(
            try CircuitBreaker(from: &reader),
            state: try CircuitState(from: &reader),
            sinceWallMilliseconds: try reader.integer(),
            untilWallMilliseconds: try reader.integer(),
            attempts: try reader.integer(),
            failures: try reader.integer()
        )
    }

    func write(to bytes: inout [UInt8]) {
        breaker.write(to: &bytes)
        bytes.append(state.rawValue)
        bytes.append(integer: sinceWallMilliseconds)
        bytes.append(integer: untilWallMilliseconds)
        bytes.append(integer: attempts)
        bytes.append(integer: failures)
    }
}

extension StartRate {
    init(from reader: inout FieldReader) throws(TQError) {
        self.init(try reader.integer(), per: try reader.integer(), burst: try reader.integer())
    }

    func write(to bytes: inout [UInt8], as tag: UInt8) {
        bytes.append(tag)
        bytes.appendRecord {
            $0.append(integer: count)
            $0.append(integer: milliseconds)
            $0.append(integer: burst)
        }
    }
}

extension Explanation {
    private enum Tag {
        static let state: UInt8 = 1
    }

    private static let reasonsMax = 64

    init(from reader: inout FieldReader) throws(TQError) {
        self.init(
            state: nil,
            reasons: try reader.records(max: Self.reasonsMax) { (reader) throws(TQError) in
                try WaitReason(from: &reader)
            }
        )
        while let field = try reader.nextField() {
            switch field.tag {
            case Tag.state: state = TaskState(rawValue: try reader.integer(of: field))
            default: try reader.unknown(field)
            }
        }
    }

    func write(to bytes: inout [UInt8]) {
        bytes.append(records: reasons) { $1.write(to: &$0) }
        bytes.append(field: Tag.state, integer: state?.rawValue)
    }
}

extension WaitReason {
    private enum Tag {
        static let scope: UInt8 = 1
        static let since: UInt8 = 2
        static let until: UInt8 = 3
        static let count: UInt8 = 4
        static let countMax: UInt8 = 5
        static let worker: UInt8 = 6
        static let task: UInt8 = 7
    }

    init(from reader: inout FieldReader) throws(TQError) {
        let number: UInt8 = try reader.integer()
        guard let kind = Kind(rawValue: number) else {
            throw reader.malformed("reason \(number) for waiting is not known")
        }
        self.init(kind)
        while let field = try reader.nextField() {
            switch field.tag {
            case Tag.scope:
                scope = try reader.nested(in: field) { (reader) throws(TQError) in try GateScope(from: &reader) }
            case Tag.since: sinceWallMilliseconds = try reader.integer(of: field)
            case Tag.until: untilWallMilliseconds = try reader.integer(of: field)
            case Tag.count: count = try reader.integer(of: field)
            case Tag.countMax: countMax = try reader.integer(of: field)
            case Tag.worker: worker = try reader.name(of: field)
            case Tag.task: task = try reader.taskID(of: field)
            default: try reader.unknown(field)
            }
        }
    }

    func write(to bytes: inout [UInt8]) {
        bytes.append(kind.rawValue)
        if let scope {
            bytes.append(Tag.scope)
            bytes.appendRecord { scope.write(to: &$0) }
        }
        bytes.append(field: Tag.since, nonZero: sinceWallMilliseconds)
        bytes.append(field: Tag.until, nonZero: untilWallMilliseconds)
        bytes.append(field: Tag.count, nonZero: count)
        bytes.append(field: Tag.countMax, nonZero: countMax)
        if let worker { bytes.append(field: Tag.worker, bytes: worker.bytes) }
        if let task {
            bytes.append(Tag.task)
            bytes.appendRecord { $0.append(taskID: task) }
        }
    }
}
