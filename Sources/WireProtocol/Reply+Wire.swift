public import TQModel

extension Reply {
    /// Appends the frame; appends nothing when it throws.
    ///
    /// - Parameter id: The request's id; 0 for what is unasked and for an error about the connection.
    /// - Throws: `frameTooLarge` when the reply is over ``Limits/frameBytesMax``.
    public func encode(id: UInt32, into bytes: inout [UInt8]) throws(TQError) {
        try bytes.appendFrame(messageType, id: id) { bytes in writeFields(to: &bytes) }
    }

    /// Reads the frame of a reply; an error of the broker is a value here, not thrown.
    ///
    /// - Throws: `malformedFrame` or `unknownMessage`.
    public static func decode(_ frame: Frame) throws(TQError) -> (id: UInt32, reply: Reply) {
        guard let message = MessageType(rawValue: frame.type), message.isReply, message != .helloReply else {
            throw TQError(.unknownMessage, "A frame of type \(frame.type) is no reply that this client knows.")
        }
        let (id, reply) = try frame.read(as: message) { (reader) throws(TQError) in
            try Reply(message, from: &reader)
        }
        return (id, reply)
    }

    /// The type of this reply's frame.
    public var messageType: MessageType {
        switch self {
        case .submitted: .submittedReply
        case .claimed: .claimedReply
        case .delivery: .deliveryReply
        case .outcomes: .outcomesReply
        case .completed: .completedReply
        case .cancellations: .cancellationsReply
        case .cancelRequested: .cancelRequestedReply
        case .status: .statusReply
        case .result: .resultReply
        case .statistics: .statisticsReply
        case .queues: .queuesReply
        case .workers: .workersReply
        case .tasks: .tasksReply
        case .workerOrder: .workerOrderReply
        case .deadLetters: .deadLettersReply
        case .bulkOperations: .bulkOperationsReply
        case .gates: .gatesReply
        case .explanation: .explanationReply
        case .compacted: .compactedReply
        case .recurring: .recurringReply
        case .ticks: .ticksReply
        case .health: .healthReply
        case .done: .doneReply
        case .error: .errorReply
        }
    }

    private func writeFields(to bytes: inout [UInt8]) {
        switch self {
        case .submitted(let entries): bytes.append(list: entries) { $0.append(submission: $1) }
        case .claimed(let deliveries): bytes.append(records: deliveries) { $1.write(to: &$0) }
        case .delivery(let stream, let deliveries):
            bytes.append(integer: stream)
            bytes.append(records: deliveries) { $1.write(to: &$0) }
        case .outcomes(let errors): bytes.append(list: errors) { $0.append(outcome: $1) }
        case .completed(let entries): bytes.append(list: entries) { $0.append(completion: $1) }
        case .cancellations(let entries): bytes.append(list: entries) { $0.append(cancellation: $1) }
        case .cancelRequested(let leases): bytes.append(list: leases) { $0.append(lease: $1) }
        case .status(let status): status.write(to: &bytes)
        case .result(let result): result.write(to: &bytes)
        case .statistics(let statistics): statistics.write(to: &bytes)
        case .queues(let queues): bytes.append(records: queues) { $1.write(to: &$0) }
        case .workers(let workers): bytes.append(records: workers) { $1.write(to: &$0) }
        case .workerOrder(let order): bytes.append(order.rawValue)
        case .tasks(let page): page.write(to: &bytes)
        case .deadLetters(let page):
            bytes.append(page.hasMore ? 1 : 0)
            bytes.append(records: page.letters) { $1.write(to: &$0) }
        case .bulkOperations(let operations): bytes.append(records: operations) { $1.write(to: &$0) }
        case .gates(let gates): bytes.append(records: gates) { $1.write(to: &$0) }
        case .explanation(let explanation): explanation.write(to: &bytes)
        case .compacted(let compaction):
            bytes.append(integer: compaction.diskBytesBefore)
            bytes.append(integer: compaction.diskBytesAfter)
        case .recurring(let page):
            bytes.append(page.hasMore ? 1 : 0)
            bytes.append(records: page.tasks) { $1.write(to: &$0) }
        case .ticks(let ticks): bytes.append(ticks: ticks)
        case .health(let health): health.write(to: &bytes)
        case .done: break
        case .error(let error): error.write(to: &bytes)
        }
    }

    private init(_ message: MessageType, from reader: inout FieldReader) throws(TQError) {
        switch message {
        case .submittedReply:
            self = .submitted(
                try reader.list(max: Limits.batchCountMax, itemBytesMin: 5) { (reader) throws(TQError) in
                    try reader.submission()
                }
            )
        case .outcomesReply:
            self = .outcomes(
                try reader.list(max: Limits.batchCountMax, itemBytesMin: 1) { (reader) throws(TQError) in
                    try reader.outcome()
                }
            )
        case .completedReply:
            self = .completed(
                try reader.list(max: Limits.batchCountMax, itemBytesMin: 5) { (reader) throws(TQError) in
                    try reader.completion()
                }
            )
        case .cancellationsReply:
            self = .cancellations(
                try reader.list(max: Limits.batchCountMax, itemBytesMin: 1) { (reader) throws(TQError) in
                    try reader.cancellation()
                }
            )
        case .cancelRequestedReply:
            self = .cancelRequested(
                try reader.list(max: Limits.batchCountMax, itemBytesMin: 24) { (reader) throws(TQError) in
                    try reader.lease()
                }
            )
        case .claimedReply: self = .claimed(try reader.deliveries())
        case .deliveryReply: self = .delivery(stream: try reader.integer(), try reader.deliveries())
        case .queuesReply:
            self = .queues(
                try reader.records(max: .max) { (reader) throws(TQError) in try QueueStatistics(from: &reader) }
            )
        case .workersReply:
            self = .workers(
                try reader.records(max: .max) { (reader) throws(TQError) in try WorkerStatus(from: &reader) }
            )
        case .workerOrderReply: self = .workerOrder(try reader.workerOrder())
        case .tasksReply: self = .tasks(try TaskPage(from: &reader))
        case .deadLettersReply:
            let hasMore: UInt8 = try reader.integer()
            let letters = try reader.records(max: .max) { (reader) throws(TQError) in try DeadLetter(from: &reader) }
            self = .deadLetters(DeadLetterPage(letters: letters, hasMore: hasMore != 0))
        case .bulkOperationsReply:
            self = .bulkOperations(
                try reader.records(max: .max) { (reader) throws(TQError) in try BulkStatus(from: &reader) }
            )
        case .gatesReply:
            self = .gates(try reader.records(max: .max) { (reader) throws(TQError) in try GateStatus(from: &reader) })
        case .explanationReply: self = .explanation(try Explanation(from: &reader))
        case .statusReply: self = .status(try TaskStatus(from: &reader))
        case .resultReply: self = .result(try TaskResult(from: &reader))
        case .statisticsReply: self = .statistics(try BrokerStatistics(from: &reader))
        case .compactedReply:
            self = .compacted(
                Compaction(diskBytesBefore: try reader.integer(), diskBytesAfter: try reader.integer())
            )
        case .recurringReply:
            let hasMore: UInt8 = try reader.integer()
            let tasks = try reader.records(max: .max) { (reader) throws(TQError) in
                try RecurringStatus(from: &reader)
            }
            self = .recurring(RecurringPage(tasks: tasks, hasMore: hasMore != 0))
        case .ticksReply: self = .ticks(try reader.ticks())
        case .healthReply: self = .health(try Health(from: &reader))
        case .errorReply: self = .error(try TQError(from: &reader))
        default: self = .done
        }
        // Fields that a later version adds; the records above have read theirs.
        try reader.noKnownFields()
    }
}

/// How one entry of ``Reply/submitted(_:)``, ``Reply/outcomes(_:)``, ``Reply/completed(_:)`` or ``Reply/cancellations(_:)`` begins.
private enum Entry {
    static let success: UInt8 = 0
    static let error: UInt8 = 1
    /// A submit's task was there already.
    static let duplicate: UInt8 = 2
    /// A submit's task took the place of one that waited.
    static let replacement: UInt8 = 3
    /// A cancel's task runs, and its worker is told.
    static let requested: UInt8 = 2
}

extension [UInt8] {
    fileprivate mutating func append(submission: Result<Submission, TQError>) {
        switch submission {
        case .success(let submission):
            append(
                submission.isReplacement ? Entry.replacement : submission.isDuplicate ? Entry.duplicate : Entry.success
            )
            append(taskID: submission.id)
        case .failure(let error): append(outcome: error)
        }
    }

    fileprivate mutating func append(completion: Result<[Submission], TQError>) {
        switch completion {
        case .success(let submissions):
            append(Entry.success)
            append(list: submissions) { $0.append(submission: .success($1)) }
        case .failure(let error): append(outcome: error)
        }
    }

    fileprivate mutating func append(cancellation: Result<Cancellation, TQError>) {
        switch cancellation {
        case .success(let cancellation): append(cancellation == .requested ? Entry.requested : Entry.success)
        case .failure(let error): append(outcome: error)
        }
    }

    fileprivate mutating func append(outcome error: TQError?) {
        guard let error else { return append(Entry.success) }
        append(Entry.error)
        appendRecord { error.write(to: &$0) }
    }
}

extension FieldReader {
    fileprivate mutating func submission() throws(TQError) -> Result<Submission, TQError> {
        let entry: UInt8 = try integer()
        return entry == Entry.error ? .failure(try error()) : .success(try submission(entry))
    }

    private mutating func submission(_ entry: UInt8) throws(TQError) -> Submission {
        switch entry {
        case Entry.success: return Submission(id: try taskID())
        case Entry.duplicate: return Submission(id: try taskID(), isDuplicate: true)
        case Entry.replacement: return Submission(id: try taskID(), isReplacement: true)
        default: throw malformed("an entry begins with \(entry)")
        }
    }

    fileprivate mutating func completion() throws(TQError) -> Result<[Submission], TQError> {
        let entry: UInt8 = try integer()
        switch entry {
        case Entry.success:
            let submissions = try list(max: Limits.batchCountMax, itemBytesMin: 17) { (reader) throws(TQError) in
                try reader.submission(try reader.integer())
            }
            return .success(submissions)
        case Entry.error: return .failure(try error())
        default: throw malformed("an entry begins with \(entry)")
        }
    }

    fileprivate mutating func cancellation() throws(TQError) -> Result<Cancellation, TQError> {
        let entry: UInt8 = try integer()
        switch entry {
        case Entry.success: return .success(.cancelled)
        case Entry.requested: return .success(.requested)
        case Entry.error: return .failure(try error())
        default: throw malformed("an entry begins with \(entry)")
        }
    }

    fileprivate mutating func outcome() throws(TQError) -> TQError? {
        let entry: UInt8 = try integer()
        switch entry {
        case Entry.success: return nil
        case Entry.error: return try error()
        default: throw malformed("an entry begins with \(entry)")
        }
    }

    fileprivate mutating func deliveries() throws(TQError) -> [Delivery] {
        try records(max: .max) { (reader) throws(TQError) in try Delivery(from: &reader) }
    }

    private mutating func error() throws(TQError) -> TQError {
        try record { (reader) throws(TQError) in try TQError(from: &reader) }
    }
}
