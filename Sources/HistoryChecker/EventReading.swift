import TQModel

extension Event {
    /// The events of a file of lines; what follows the last newline was torn off in the middle and is left out.
    public static func events(in bytes: [UInt8]) throws(LineError) -> [Event] {
        var events: [Event] = []
        var start = bytes.startIndex
        while let end = bytes[start...].firstIndex(of: UInt8(ascii: "\n")) {
            events.append(try Event(line: bytes[start..<end], number: events.count + 1))
            start = end + 1
        }
        return events
    }

    /// Reads one line, without its newline; the number is for the error.
    public init(line bytes: ArraySlice<UInt8>, number: Int = 1) throws(LineError) {
        var line = LineReader(bytes, line: number)
        let time = Now(monotonicMilliseconds: try line.number(), wallMilliseconds: try line.number())
        self.init(time: time, client: try line.number(), kind: try Kind(&line))
        try line.end()
    }
}

extension Event.Kind {
    fileprivate init(_ line: inout LineReader) throws(LineError) {
        switch try line.word() {
        case "invoked": self = .invoked(try line.number(), try Call(&line))
        case "returned": self = .returned(try line.number(), try Outcome(&line))
        case "stopped": self = .stopped(try Event.Stop(&line))
        case "serving": self = .serving
        case "clock": self = .clock
        case "sessionEnded": self = .sessionEnded
        case "orderBegan": self = .orderBegan
        case "orderEnded": self = .orderEnded
        case "drained": self = .drained
        case "dumpBegan": self = .dumpBegan(mustEqualPrevious: try line.flag())
        case "dumped": self = .dumped(try StoredTask(&line))
        case "counted":
            let queue: QueueNumber? = try line.optional()
            var counts = TaskCounts()
            for state in TaskState.allCases { counts[state] = try line.number() }
            self = .counted(queue: queue, counts)
        case "dumpEnded": self = .dumpEnded
        case let word: throw line.error("\(word) is no kind of event")
        }
    }
}

extension Event.Stop {
    fileprivate init(_ line: inout LineReader) throws(LineError) {
        let word = try line.word()
        guard let stop = Self.allCases.first(where: { $0.name == word }) else {
            throw line.error("\(word) is no kind of stop")
        }
        self = stop
    }
}

extension Call {
    fileprivate init(_ line: inout LineReader) throws(LineError) {
        switch try line.word() {
        case "submit": self = .submit(try SubmitCall(&line))
        case "claim":
            self = .claim(queues: try line.remaining { line throws(LineError) in try line.number() as QueueNumber })
        case "complete": self = .complete(try line.lease(), result: try line.digest())
        case "fail":
            self = .fail(try line.lease(), isPermanent: try line.flag(), retryAfterMilliseconds: try line.optional())
        case "release": self = .release(try line.lease(), delayMilliseconds: try line.number())
        case "renew": self = .renew(try line.lease(), leaseMilliseconds: try line.number())
        case "cancel": self = .cancel(try line.task())
        case "redrive": self = .redrive(try line.task(), payload: try line.optionalDigest())
        case "purge": self = .purge(try line.task())
        case "forget": self = .forget(try line.task())
        case "arrange":
            self = .arrange(try line.task(), queue: try line.number(), Rank(rawValue: try line.number()))
        case "status": self = .status(try line.task())
        case "result": self = .result(try line.task())
        case let word: throw line.error("\(word) is no call")
        }
    }
}

extension SubmitCall {
    fileprivate init(_ line: inout LineReader) throws(LineError) {
        self.init(
            queue: try line.number(),
            key: try line.optional(),
            rank: Rank(rawValue: try line.number()),
            payload: try line.digest(),
            notBeforeWallMilliseconds: try line.number(),
            retriesMax: try line.number(),
            retriesMin: try line.number(),
            crashesMax: try line.number(),
            timeoutMilliseconds: try line.number(),
            lateness: try Lateness(&line),
            startByWallMilliseconds: try line.number(),
            startBySpanMilliseconds: try line.number(),
            unique: try UniqueCall(optional: &line),
            takesTurns: try line.flag(),
            hasDependencies: try line.flag()
        )
    }
}

extension UniqueCall {
    fileprivate init?(optional line: inout LineReader) throws(LineError) {
        let key: KeyNumber? = try line.optional()
        let word = try line.word()
        let replaces = try line.flag()
        guard let key else { return nil }
        guard let scope = Scope(rawValue: word) else { throw line.error("\(word) is no scope of a unique key") }
        self.init(key: key, scope: scope, replaces: replaces)
    }
}

extension SubmitCall.Lateness {
    fileprivate init(_ line: inout LineReader) throws(LineError) {
        let word = try line.word()
        guard let lateness = Self(rawValue: word) else { throw line.error("\(word) is no lateness") }
        self = lateness
    }
}

extension Outcome {
    fileprivate init(_ line: inout LineReader) throws(LineError) {
        switch try line.word() {
        case "submitted": self = .submitted(try line.task(), isDuplicate: try line.flag())
        case "replaced": self = .replaced(try line.task())
        case "delivered":
            self = .delivered(try line.remaining { line throws(LineError) in try Delivered(&line) })
        case "done": self = .done
        case "cancelRequested": self = .cancelRequested
        case "observed":
            let state = try line.state()
            let attempts: UInt16? = try line.optional()
            self = .observed(Observation(state: state, attempts: attempts, result: try line.optionalDigest()))
        case "refused": self = .refused(TQError.Code(rawValue: try line.number()))
        case "unknown": self = .unknown
        case let word: throw line.error("\(word) is no outcome")
        }
    }
}

extension Delivered {
    fileprivate init(_ line: inout LineReader) throws(LineError) {
        self.init(
            lease: try line.lease(),
            attempt: try line.number(),
            leaseMilliseconds: try line.number(),
            payload: try line.digest()
        )
    }
}

extension StoredTask {
    fileprivate init(_ line: inout LineReader) throws(LineError) {
        let id = try line.task()
        let queue: QueueNumber = try line.number()
        let rank = Rank(rawValue: try line.number())
        let state = try line.state()
        let attempts: UInt16 = try line.number()
        let token: UInt64? = try line.optional()
        self.init(
            id: id,
            queue: queue,
            rank: rank,
            state: state,
            attempts: attempts,
            token: token.map { LeaseToken(rawValue: $0) },
            payload: try line.optionalDigest(),
            result: try line.optionalDigest()
        )
    }
}
