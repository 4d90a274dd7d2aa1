import TQModel

/// What a restart loses, and may lose: connections, parked claims, and when workers were last heard of.
struct SessionState: Sendable {
    var sessions: [SessionID: Session] = [:]
    var parked: [UInt64: Parked] = [:]
    private var nextParked: UInt64 = 1
    /// Parked claims and streams by queue, in the order in which they are served.
    var waiting: [UInt32: [UInt64]] = [:]
    /// Parked reads by the task whose end they wait for.
    var resultWaits: [TaskSequence: [UInt64]] = [:]
    private var deadlines = BinaryHeap<Deadline>()
    /// When each worker was last heard of, on the monotonic clock. After a restart: the moment of serving.
    var heard: [UInt32: UInt64] = [:]
    /// What each worker said last.
    var workerSpecs: [UInt32: WorkerSpec] = [:]

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

        static func < (left: Self, right: Self) -> Bool { (left.milliseconds, left.id) < (right.milliseconds, right.id) }
    }

    mutating func park(_ parking: Parked) -> UInt64 {
        let id = nextParked
        nextParked += 1
        parked[id] = parking
        sessions[parking.session]?.parked.insert(id)
        if parking.deadlineMilliseconds < .max {
            deadlines.push(Deadline(milliseconds: parking.deadlineMilliseconds, id: id))
        }
        switch parking {
        case .claim(let claim): for queue in claim.queues { waiting[queue, default: []].append(id) }
        case .result(_, _, _, let sequence, _): resultWaits[sequence, default: []].append(id)
        }
        return id
    }

    @discardableResult
    mutating func unpark(_ id: UInt64) -> Parked? {
        guard let parking = parked.removeValue(forKey: id) else { return nil }
        sessions[parking.session]?.parked.remove(id)
        switch parking {
        case .claim(let claim):
            for queue in claim.queues {
                waiting[queue]?.removeAll { $0 == id }
                if waiting[queue]?.isEmpty == true { waiting[queue] = nil }
            }
        case .result(_, _, _, let sequence, _):
            resultWaits[sequence]?.removeAll { $0 == id }
            if resultWaits[sequence]?.isEmpty == true { resultWaits[sequence] = nil }
        }
        return parking
    }

    /// Moves a stream behind the others that wait for the same queue: they are served in turn.
    mutating func rotate(_ id: UInt64, queue: UInt32) {
        guard let place = waiting[queue]?.firstIndex(of: id) else { return }
        waiting[queue]?.remove(at: place)
        waiting[queue]?.append(id)
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
    var worker: UInt32
    /// 0 leaves the tasks' own.
    var leaseMilliseconds: UInt32
    var deadlineMilliseconds: UInt64
}

/// The task types that a claim takes.
struct AcceptedTypes: Sendable {
    private let patterns: [TypePattern]
    private var known: [UInt32: Bool] = [:]

    init(_ patterns: [TypePattern]) { self.patterns = patterns }

    /// Whether every type is taken.
    var isAll: Bool { patterns.isEmpty || patterns.contains { $0.bytes.elementsEqual([UInt8(ascii: "*")]) } }

    mutating func accepts(_ type: UInt32, _ names: NameTable) -> Bool {
        if let answer = known[type] { return answer }
        let name = names.name(type).bytes
        let answer = patterns.contains { $0.matches(name) }
        known[type] = answer
        return answer
    }
}
