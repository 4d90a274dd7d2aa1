import TQModel

/// What a restart loses, and may lose: connections, parked claims, and when workers were last heard of.
struct SessionState: Sendable {
    var sessions: [SessionID: Session] = [:]
    var parked: [UInt64: Parked] = [:]
    private var nextParked: UInt64 = 1
    /// Parked claims and streams with credit by queue, in the order in which they are served.
    var waiting: [UInt32: WaitingLine] = [:]
    /// Parked reads by the task whose end they wait for.
    var resultWaits: [TaskSequence: WaitingLine] = [:]
    private var deadlines = BinaryHeap<Deadline>()
    /// When recurring tasks are due.
    var ticks = TickTimes()
    /// When each worker was last heard of, on the monotonic clock; after a restart the moment of serving.
    var heard: [UInt32: UInt64] = [:]
    /// What each worker said last.
    var workerSpecs: [UInt32: WorkerSpec] = [:]
    /// Workers that are to be quiet, or to stop.
    var orders: [UInt32: WorkerOrder] = [:]
    /// When bulk operations go on.
    var bulkPaces = BulkPaces()
    /// How far bulk operations are that delete outcomes; after a restart they begin anew, with fewer to meet.
    var deletions: [UInt32: Deletion] = [:]

    struct Session: Sendable {
        var settings: SessionSettings
        var streams: [UInt32: UInt64] = [:]
        var parked: Set<UInt64> = []
    }

    /// A request that waits for something to happen.
    enum Parked: Sendable {
        case claim(ParkedClaim)
        case result(SessionID, request: UInt32, TaskID, TaskSequence, deadlineMilliseconds: UInt64)

        var session: SessionID {
            switch self {
            case .claim(let claim): claim.session
            case .result(let session, _, _, _, _): session
            }
        }

        var deadlineMilliseconds: UInt64 {
            switch self {
            case .claim(let claim): claim.deadlineMilliseconds
            case .result(_, _, _, _, let deadline): deadline
            }
        }
    }

    private struct Deadline: Comparable, Sendable {
        var milliseconds: UInt64
        var id: UInt64

        static func < (left: Self, right: Self) -> Bool {
            (left.milliseconds, left.id) < (right.milliseconds, right.id)
        }
    }

    /// Deadlines that are kept, those of answered requests included.
    var deadlineCount: Int { deadlines.count }

    mutating func park(_ parking: Parked) -> UInt64 {
        let id = nextParked
        nextParked += 1
        parked[id] = parking
        sessions[parking.session]?.parked.insert(id)
        if parking.deadlineMilliseconds < .max { push(Deadline(milliseconds: parking.deadlineMilliseconds, id: id)) }
        switch parking {
        case .claim(let claim): if claim.credit > 0 { joinLines(id, claim) }
        case .result(_, _, _, let sequence, _): resultWaits[sequence, default: WaitingLine()].join(id)
        }
        return id
    }

    @discardableResult
    mutating func unpark(_ id: UInt64) -> Parked? {
        guard let parking = parked.removeValue(forKey: id) else { return nil }
        sessions[parking.session]?.parked.remove(id)
        switch parking {
        case .claim(let claim): leaveLines(id, claim)
        case .result(_, _, _, let sequence, _):
            resultWaits[sequence]?.leave(id)
            if resultWaits[sequence]?.isEmpty == true { resultWaits[sequence] = nil }
        }
        return parking
    }

    /// Keeps what changed in a claim; a stream without credit stands in no line, so that nobody walks past it.
    mutating func update(_ id: UInt64, _ claim: ParkedClaim) {
        guard case .claim(let old)? = parked.updateValue(.claim(claim), forKey: id) else { return }
        if old.credit > 0, claim.credit == 0 { leaveLines(id, claim) }
        if old.credit == 0, claim.credit > 0 { joinLines(id, claim) }
    }

    private mutating func joinLines(_ id: UInt64, _ claim: ParkedClaim) {
        for queue in claim.queues { waiting[queue, default: WaitingLine()].join(id) }
    }

    private mutating func leaveLines(_ id: UInt64, _ claim: ParkedClaim) {
        for queue in claim.queues {
            waiting[queue]?.leave(id)
            if waiting[queue]?.isEmpty == true { waiting[queue] = nil }
        }
    }

    /// Notes a deadline; those of requests that were answered in time are dropped when they are the most.
    private mutating func push(_ deadline: Deadline) {
        deadlines.push(deadline)
        guard deadlines.count > parked.count * 2 + 1024 else { return }
        deadlines = BinaryHeap()
        for (id, parking) in parked where parking.deadlineMilliseconds < .max {
            deadlines.push(Deadline(milliseconds: parking.deadlineMilliseconds, id: id))
        }
    }

    /// Moves a stream behind the others that wait for the same queue: they are served in turn.
    mutating func rotate(_ id: UInt64, queue: UInt32) { waiting[queue]?.rotate(id) }

    /// Parked claims and streams of a worker, in the order in which they were made; one pass over all.
    func claims(of worker: DurableIndex.ScopedName) -> [UInt64] {
        parked.filter { if case .claim(let claim) = $0.value { claim.worker == worker } else { false } }.keys.sorted()
    }

    /// A request whose wait has run out, taken out.
    mutating func takeTimedOut(monotonicMilliseconds now: UInt64) -> Parked? {
        while let first = deadlines.first, first.milliseconds <= now {
            deadlines.removeFirst()
            if let parking = unpark(first.id) { return parking }
        }
        return nil
    }
}

/// A claim that waits for tasks, or a stream that always does.
struct ParkedClaim: Sendable {
    var session: SessionID
    var request: UInt32
    /// The stream's number; `nil` for a claim, which ends with its first tasks.
    var stream: UInt32?
    var queues: [UInt32]
    var accepted: AcceptedTypes
    /// How many tasks more it takes.
    var credit: UInt32
    /// Who takes the tasks, by name: its number changes when it was given up and is heard again.
    var worker: DurableIndex.ScopedName?
    /// 0 leaves the tasks' own.
    var leaseMilliseconds: UInt32
    var deadlineMilliseconds: UInt64
}

/// The task types that a claim takes.
struct AcceptedTypes: Sendable {
    private let patterns: [TypePattern]
    /// Whether every type is taken.
    let isAll: Bool
    private let isExact: Bool
    private var known: [UInt32: Bool] = [:]
    /// The numbers of exact names, and how many names there were when they were looked up.
    private var exact: (numbers: [UInt32], nameCount: Int) = ([], -1)

    init(_ patterns: [TypePattern]) {
        // Copies, so that a stream does not keep the network buffer alive that its patterns came in.
        self.patterns = patterns.map { TypePattern(bytes: Bytes(Array($0.bytes))) }
        isAll = patterns.isEmpty || patterns.contains { $0.bytes.elementsEqual([UInt8(ascii: "*")]) }
        isExact = !patterns.contains { $0.bytes.last == UInt8(ascii: "*") }
    }

    /// The types to look for when all are named exactly; `nil` when there is a prefix.
    mutating func exact(_ names: NameTable, _ namespace: UInt32) -> [UInt32]? {
        guard isExact else { return nil }
        if exact.nameCount != names.count {
            var names = names
            let numbers = patterns.compactMap { names.number(of: Name(bytes: $0.bytes), namespace: namespace) }
            exact = (numbers, names.count)
        }
        return exact.numbers
    }

    mutating func accepts(_ type: UInt32, _ names: NameTable) -> Bool {
        if let answer = known[type] { return answer }
        let name = names.name(type).bytes
        let answer = patterns.contains { $0.matches(name) }
        known[type] = answer
        return answer
    }
}
