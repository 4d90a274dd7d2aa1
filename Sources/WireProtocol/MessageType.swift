/// The kind of a frame, its fifth byte: requests below 0x80, replies above, a reply at its request's number where
/// the two belong to each other alone.
///
/// A number is never given a second meaning; docs/wire-protocol.md lists the same numbers.
public enum MessageType: UInt8, Sendable, CaseIterable {
    /// ``Hello``: the first frame of a client, and never another.
    case hello = 0x01
    /// ``Request/ping``.
    case ping = 0x02
    /// ``Request/health``.
    case health = 0x03

    /// ``Request/submit(_:)``.
    case submit = 0x10
    /// ``Request/claim(_:)``.
    case claim = 0x11
    /// ``Request/openStream(stream:_:)``.
    case openStream = 0x12
    /// ``Request/addCredit(stream:count:)``; the one request without a reply.
    case addCredit = 0x13
    /// ``Request/closeStream(stream:)``.
    case closeStream = 0x14
    /// ``Request/complete(_:)``.
    case complete = 0x15
    /// ``Request/fail(_:)``.
    case fail = 0x16
    /// ``Request/release(_:)``.
    case release = 0x17
    /// ``Request/renew(_:)``.
    case renew = 0x18

    /// ``Request/cancel(_:)``.
    case cancel = 0x20
    /// ``Request/status(_:)``.
    case status = 0x21
    /// ``Request/result(_:waitMilliseconds:)``.
    case result = 0x22
    /// ``Request/redrive(_:)``.
    case redrive = 0x23
    /// ``Request/deadLetters(_:)``.
    case deadLetters = 0x24
    /// ``Request/tasks(_:)``.
    case tasks = 0x25
    /// ``Request/purge(_:)``.
    case purge = 0x26
    /// ``Request/startBulk(_:)``.
    case startBulk = 0x27
    /// ``Request/bulkOperations``.
    case bulkOperations = 0x28
    /// ``Request/stopBulk(_:)``.
    case stopBulk = 0x29

    /// ``Request/registerWorker(_:)``.
    case registerWorker = 0x30
    /// ``Request/heartbeat(_:)``.
    case heartbeat = 0x31
    /// ``Request/deregisterWorker(_:)``.
    case deregisterWorker = 0x32
    /// ``Request/orderWorker(_:_:)``.
    case orderWorker = 0x33

    /// ``Request/statistics``.
    case statistics = 0x40
    /// ``Request/queues``.
    case queues = 0x41
    /// ``Request/workers``.
    case workers = 0x42

    /// ``Request/compact``.
    case compact = 0x43

    /// ``Request/putRecurring(_:)``.
    case putRecurring = 0x50
    /// ``Request/removeRecurring(_:)``.
    case removeRecurring = 0x51
    /// ``Request/pauseRecurring(_:isPaused:)``.
    case pauseRecurring = 0x52
    /// ``Request/runRecurring(_:)``.
    case runRecurring = 0x53
    /// ``Request/recurring(after:count:)``.
    case recurring = 0x54
    /// ``Request/upcomingTicks(recurrence:)``.
    case upcomingTicks = 0x55

    /// ``Request/putQueuePolicy(_:_:)``.
    case putQueuePolicy = 0x60
    /// ``Request/changeGate(_:)``.
    case changeGate = 0x61
    /// ``Request/gates``.
    case gates = 0x62
    /// ``Request/explain(_:)``.
    case explain = 0x63
    /// ``Request/explainQueue(_:)``.
    case explainQueue = 0x64

    /// ``HelloReply``: the first frame of a broker that accepts the connection.
    case helloReply = 0x81
    /// ``Reply/done``.
    case doneReply = 0x82
    /// ``Reply/health(_:)``.
    case healthReply = 0x83
    /// ``Reply/error(_:)``, to any request or, with id 0, about the connection.
    case errorReply = 0x84
    /// ``Reply/submitted(_:)``.
    case submittedReply = 0x90
    /// ``Reply/claimed(_:)``.
    case claimedReply = 0x91
    /// ``Reply/delivery(stream:_:)``, with id 0.
    case deliveryReply = 0x92
    /// ``Reply/cancelRequested(_:)``, with id 0.
    case cancelRequestedReply = 0x93
    /// ``Reply/completed(_:)``.
    case completedReply = 0x94
    /// ``Reply/outcomes(_:)``.
    case outcomesReply = 0x95
    /// ``Reply/cancellations(_:)``.
    case cancellationsReply = 0xa0
    /// ``Reply/status(_:)``.
    case statusReply = 0xa1
    /// ``Reply/result(_:)``.
    case resultReply = 0xa2
    /// ``Reply/deadLetters(_:)``.
    case deadLettersReply = 0xa4
    /// ``Reply/tasks(_:)``.
    case tasksReply = 0xa5
    /// ``Reply/bulkOperations(_:)``.
    case bulkOperationsReply = 0xa8
    /// ``Reply/workerOrder(_:)``.
    case workerOrderReply = 0xb0
    /// ``Reply/statistics(_:)``.
    case statisticsReply = 0xc0
    /// ``Reply/queues(_:)``.
    case queuesReply = 0xc1
    /// ``Reply/workers(_:)``.
    case workersReply = 0xc2
    /// ``Reply/compacted(_:)``.
    case compactedReply = 0xc3
    /// ``Reply/recurring(_:)``.
    case recurringReply = 0xd4
    /// ``Reply/ticks(_:)``.
    case ticksReply = 0xd5
    /// ``Reply/gates(_:)``.
    case gatesReply = 0xe2
    /// ``Reply/explanation(_:)``.
    case explanationReply = 0xe3

    /// Whether a broker sends it.
    public var isReply: Bool { rawValue >= 0x80 }
}
