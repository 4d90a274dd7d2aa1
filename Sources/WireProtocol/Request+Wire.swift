public import TQModel

extension Request {
    /// Appends the frame; appends nothing when it throws.
    ///
    /// - Throws: What the broker would answer to a request beyond ``Limits``: `payloadTooLarge`, `limitExceeded`,
    ///   `frameTooLarge` or `invalidArgument`.
    public func encode(id: UInt32, into bytes: inout [UInt8]) throws(TQError) {
        try checkLimits()
        try bytes.appendFrame(messageType, id: id) { bytes in writeFields(to: &bytes) }
    }

    /// Reads the frame of a request.
    ///
    /// - Throws: An error that ``TQError/Code/endsConnection``, or one that answers the request
    ///   ``Frame/requestID`` alone.
    public static func decode(_ frame: Frame) throws(TQError) -> (id: UInt32, request: Request) {
        guard let message = MessageType(rawValue: frame.type), !message.isReply else {
            throw TQError(.unknownMessage, "A frame of type \(frame.type) is no request that this broker knows.")
        }
        let (id, request) = try frame.read(as: message) { (reader) throws(TQError) in
            try Request(message, from: &reader)
        }
        guard id != 0 else {
            throw TQError(.malformedFrame, "Malformed \(message) frame: its request id is 0. Count from 1.")
        }
        return (id, request)
    }

    /// The type of this request's frame.
    public var messageType: MessageType {
        switch self {
        case .submit: .submit
        case .claim: .claim
        case .openStream: .openStream
        case .addCredit: .addCredit
        case .closeStream: .closeStream
        case .complete: .complete
        case .fail: .fail
        case .release: .release
        case .renew: .renew
        case .cancel: .cancel
        case .status: .status
        case .result: .result
        case .registerWorker: .registerWorker
        case .heartbeat: .heartbeat
        case .deregisterWorker: .deregisterWorker
        case .orderWorker: .orderWorker
        case .statistics: .statistics
        case .queues: .queues
        case .workers: .workers
        case .tasks: .tasks
        case .deadLetters: .deadLetters
        case .redrive: .redrive
        case .purge: .purge
        case .startBulk: .startBulk
        case .bulkOperations: .bulkOperations
        case .stopBulk: .stopBulk
        case .compact: .compact
        case .putRecurring: .putRecurring
        case .removeRecurring: .removeRecurring
        case .pauseRecurring: .pauseRecurring
        case .runRecurring: .runRecurring
        case .recurring: .recurring
        case .upcomingTicks: .upcomingTicks
        case .putQueuePolicy: .putQueuePolicy
        case .changeGate: .changeGate
        case .gates: .gates
        case .explain: .explain
        case .explainQueue: .explainQueue
        case .health: .health
        case .ping: .ping
        }
    }

    private func writeFields(to bytes: inout [UInt8]) {
        switch self {
        case .submit(let tasks): bytes.append(records: tasks) { $1.write(to: &$0) }
        case .claim(let claim): claim.write(to: &bytes)
        case .openStream(let stream, let claim):
            bytes.append(integer: stream)
            claim.write(to: &bytes)
        case .addCredit(let stream, let count):
            bytes.append(integer: stream)
            bytes.append(integer: count)
        case .closeStream(let stream): bytes.append(integer: stream)
        case .complete(let completions): bytes.append(records: completions) { $1.write(to: &$0) }
        case .fail(let failures): bytes.append(records: failures) { $1.write(to: &$0) }
        case .release(let releases): bytes.append(records: releases) { $1.write(to: &$0) }
        case .renew(let renewals): bytes.append(records: renewals) { $1.write(to: &$0) }
        case .cancel(let ids), .purge(let ids): bytes.append(list: ids) { $0.append(taskID: $1) }
        case .redrive(let redrives): bytes.append(records: redrives) { $1.write(to: &$0) }
        case .status(let id): bytes.append(taskID: id)
        case .result(let id, let waitMilliseconds):
            bytes.append(taskID: id)
            bytes.append(integer: waitMilliseconds)
        case .registerWorker(let worker), .heartbeat(let worker): worker.write(to: &bytes)
        case .deregisterWorker(let name), .removeRecurring(let name), .runRecurring(let name):
            bytes.append(name: name)
        case .orderWorker(let name, let order):
            bytes.append(name: name)
            bytes.append(order.rawValue)
        case .tasks(let query): query.write(to: &bytes)
        case .deadLetters(let query): query.write(to: &bytes)
        case .startBulk(let spec): spec.write(to: &bytes)
        case .stopBulk(let number): bytes.append(integer: number)
        case .putRecurring(let spec): spec.write(to: &bytes)
        case .pauseRecurring(let name, let isPaused):
            bytes.append(name: name)
            bytes.append(isPaused ? 1 : 0)
        case .recurring(let after, let count):
            bytes.append(name: after ?? Name(bytes: []))
            bytes.append(integer: count)
        case .upcomingTicks(let recurrence): bytes.append(bytes: recurrence)
        case .putQueuePolicy(let name, let policy):
            bytes.append(name: name)
            policy.write(to: &bytes)
        case .changeGate(let change): change.write(to: &bytes)
        case .explain(let id): bytes.append(taskID: id)
        case .explainQueue(let name): bytes.append(name: name)
        case .statistics, .queues, .workers, .bulkOperations, .gates, .compact, .health, .ping: break
        }
    }

    private init(_ message: MessageType, from reader: inout FieldReader) throws(TQError) {
        switch message {
        case .submit:
            self = .submit(try reader.batch { (reader) throws(TQError) in try TaskSpec(from: &reader) })
        case .complete:
            self = .complete(try reader.batch { (reader) throws(TQError) in try Completion(from: &reader) })
        case .fail:
            self = .fail(try reader.batch { (reader) throws(TQError) in try Failure(from: &reader) })
        case .release:
            self = .release(try reader.batch { (reader) throws(TQError) in try Release(from: &reader) })
        case .renew:
            self = .renew(try reader.batch { (reader) throws(TQError) in try Renewal(from: &reader) })
        case .redrive:
            self = .redrive(try reader.batch { (reader) throws(TQError) in try Redrive(from: &reader) })
        case .claim:
            self = .claim(try ClaimSpec(from: &reader))
            return
        case .openStream:
            self = .openStream(stream: try reader.integer(), try ClaimSpec(from: &reader))
            return
        case .registerWorker:
            self = .registerWorker(try WorkerSpec(from: &reader))
            return
        case .heartbeat:
            self = .heartbeat(try WorkerSpec(from: &reader))
            return
        case .tasks:
            self = .tasks(try TaskQuery(from: &reader))
            return
        case .deadLetters:
            self = .deadLetters(try DeadLetterQuery(from: &reader))
            return
        case .startBulk:
            self = .startBulk(try BulkSpec(from: &reader))
            return
        case .putRecurring:
            self = .putRecurring(try RecurringSpec(from: &reader))
            return
        case .putQueuePolicy:
            self = .putQueuePolicy(try reader.name(), try QueuePolicy(from: &reader))
            return
        case .changeGate:
            self = .changeGate(try GateChange(from: &reader))
            return
        default:
            try self.init(withoutRecords: message, from: &reader)
        }
        try reader.noKnownFields()
    }

    private init(withoutRecords message: MessageType, from reader: inout FieldReader) throws(TQError) {
        switch message {
        case .addCredit: self = .addCredit(stream: try reader.integer(), count: try reader.integer())
        case .closeStream: self = .closeStream(stream: try reader.integer())
        case .cancel: self = .cancel(try reader.taskIDs())
        case .purge: self = .purge(try reader.taskIDs())
        case .status: self = .status(try reader.taskID())
        case .gates: self = .gates
        case .explain: self = .explain(try reader.taskID())
        case .explainQueue: self = .explainQueue(try reader.name())
        case .result: self = .result(try reader.taskID(), waitMilliseconds: try reader.integer())
        case .deregisterWorker: self = .deregisterWorker(try reader.name())
        case .orderWorker: self = .orderWorker(try reader.name(), try reader.workerOrder())
        case .bulkOperations: self = .bulkOperations
        case .stopBulk: self = .stopBulk(try reader.integer())
        case .removeRecurring: self = .removeRecurring(try reader.name())
        case .pauseRecurring:
            self = .pauseRecurring(try reader.name(), isPaused: try reader.integer(UInt8.self) != 0)
        case .runRecurring: self = .runRecurring(try reader.name())
        case .recurring:
            let after = try reader.name()
            self = .recurring(after: after.bytes.isEmpty ? nil : after, count: try reader.integer())
        case .upcomingTicks: self = .upcomingTicks(recurrence: try reader.bytes())
        case .statistics: self = .statistics
        case .queues: self = .queues
        case .workers: self = .workers
        case .compact: self = .compact
        case .health: self = .health
        case .ping: self = .ping
        default: throw TQError(.unknownMessage, "A \(message) frame can only be the first of a connection.")
        }
    }

    /// Checks what the frame's own lengths cannot hold or the broker would refuse to decode.
    private func checkLimits() throws(TQError) {
        switch self {
        case .submit(let tasks):
            try checkBatch(tasks.count)
            for task in tasks { try task.checkLimits() }
        case .complete(let completions):
            try checkBatch(completions.count)
            try checkBatch(completions.reduce(0) { $0 + $1.followUps.count + $1.cancels.count })
            for completion in completions { try completion.checkLimits() }
        case .fail(let failures):
            try checkBatch(failures.count)
            for failure in failures { try failure.checkLimits() }
        case .release(let releases): try checkBatch(releases.count)
        case .renew(let renewals): try checkBatch(renewals.count)
        case .cancel(let ids), .purge(let ids): try checkBatch(ids.count)
        case .redrive(let redrives):
            try checkBatch(redrives.count)
            for redrive in redrives { try redrive.checkLimits() }
        case .claim(let claim), .openStream(_, let claim): try claim.checkLimits()
        case .registerWorker(let worker), .heartbeat(let worker): try worker.checkLimits()
        case .deregisterWorker(let name), .orderWorker(let name, _), .removeRecurring(let name),
            .pauseRecurring(let name, _), .runRecurring(let name), .putQueuePolicy(let name, _),
            .explainQueue(let name):
            try name.checkLength()
        case .startBulk(let spec): try spec.checkLimits()
        case .changeGate(let change): try change.scope.name.checkLength()
        case .putRecurring(let spec): try spec.checkLimits()
        case .recurring(let after, _): try after?.checkLength()
        case .tasks(let query): try query.checkLimits()
        case .deadLetters(let query): try query.queue?.checkLength()
        case .addCredit, .closeStream, .upcomingTicks, .status, .result, .statistics, .queues, .workers,
            .bulkOperations, .stopBulk, .gates, .explain, .compact, .health, .ping:
            break
        }
    }

    private func checkBatch(_ count: Int) throws(TQError) {
        guard count <= Limits.batchCountMax else {
            throw .tooMany(count, max: Limits.batchCountMax, in: messageType)
        }
    }
}

extension FieldReader {
    fileprivate mutating func batch<Item>(
        _ item: (inout FieldReader) throws(TQError) -> Item
    ) throws(TQError) -> [Item] {
        try records(max: Limits.batchCountMax, item)
    }
}
