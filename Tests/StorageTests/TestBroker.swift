import ByteStore
import Storage
import TQModel

@testable import QueueCore

/// A broker on one thread with a clock that stands still: core, log and reader, and nothing between them.
final class TestBroker {
    let store: any ByteStore
    let configuration: CoreConfiguration
    private(set) var start: Start
    var now: Now
    /// Groups that were written, in order.
    private(set) var committed: [EffectBatch] = []
    /// Seeks and records for one page of a list.
    var listReadsMax = 10_000
    /// Whether every group is synced; a group of claims alone never is.
    var syncsGroups = true

    private let cacheByteCount: Int
    private var waiting: [Answer] = []
    private var nextRequest: UInt32 = 1
    private var subscription: CommitSubscription?
    private let onBatch: @Sendable (CommittedBatch) -> Void

    static let identity = StoreIdentity(
        id: 0x0011_2233_4455_6677_8899_aabb_ccdd_eeff,
        key: StoreKey(high: 0x0123_4567_89ab_cdef, low: 0xfedc_ba98_7654_3210),
        createdWallMilliseconds: 1_700_000_000_000
    )
    static let session: SessionID = 1

    init(
        _ store: any ByteStore = InMemoryStorage(),
        configuration: CoreConfiguration = CoreConfiguration(),
        now: Now = Now(monotonicMilliseconds: 5_000, wallMilliseconds: 1_700_000_000_000),
        cacheByteCount: Int = 0,
        mark: Mark? = nil,
        onBatch: @escaping @Sendable (CommittedBatch) -> Void = { _ in }
    ) throws {
        self.store = store
        self.configuration = configuration
        self.now = now
        self.cacheByteCount = cacheByteCount
        self.onBatch = onBatch
        start = try Start(store, configuration, now, cacheByteCount, mark)
        try serve()
    }

    var index: DurableIndex { start.core.index }
    var log: CommitLog { start.log }
    var reader: StoreReader { start.reader }

    /// What one start of a broker makes.
    struct Start {
        var core: QueueCore
        var log: CommitLog
        var reader: StoreReader
        /// What recovery read.
        var report: RecoveredStore.Report

        init(
            _ store: any ByteStore,
            _ configuration: CoreConfiguration,
            _ now: Now,
            _ cacheByteCount: Int,
            _ mark: Mark?
        ) throws {
            let recovered = try Recovery.recover(from: store, mark: mark)
            let identity = recovered?.identity ?? TestBroker.identity
            let index = recovered?.index ?? DurableIndex()
            let epoch = (recovered?.epoch ?? 0) + 1
            let cache = PayloadCache(byteCountMax: cacheByteCount)
            report = recovered?.report ?? .init()
            log = CommitLog(store: store, position: recovered?.position ?? LogPosition(), cache: cache)
            try log.begin(epoch: epoch, index: index, identity: recovered == nil ? identity : nil)
            core = QueueCore(
                configuration: configuration,
                index: index,
                epoch: epoch,
                storeKey: identity.key,
                now: now
            )
            reader = StoreReader(store: store, cache: cache, storeKey: identity.key)
        }
    }

    private func serve() throws {
        subscription = try log.subscribe(from: log.written.sequence + 1, onBatch)
        try run(.openSession(Self.session, SessionSettings()))
    }

    /// Starts anew from what the store holds; whatever was not committed is gone.
    func restart(mark: Mark? = nil) throws {
        waiting = []
        subscription?.cancel()
        start = try Start(store, configuration, now, cacheByteCount, mark)
        try serve()
    }

    /// Lets replies be completed from another store, until the next start.
    func read(from store: any ByteStoreReader) {
        start.reader = StoreReader(store: store, cache: nil, storeKey: Self.identity.key)
    }

    // MARK: Deciding

    func advance(milliseconds: UInt64) {
        now.monotonicMilliseconds += milliseconds
        now.wallMilliseconds += milliseconds
    }

    /// Decides a command, reading what it asks for; what it asks for may be in the open group, so that is written first.
    ///
    /// - Parameter meanwhile: What happens after each reading, before the decision.
    func run(_ command: Command, meanwhile: () throws -> Void = {}) throws {
        var fetched: [Fetch: Fetched] = [:]
        while true {
            let missing = start.core.decide(command, fetched: fetched, now: now)
            guard !missing.isEmpty else { break }
            try commit()
            fetched.merge(try reader.fetch(missing)) { _, new in new }
            try meanwhile()
        }
        waiting += start.core.takeAnswers()
    }

    /// Writes the open group, if there is anything in it.
    func commit() throws {
        guard start.core.hasEffects else { return }
        let effects = start.core.closeGroup()
        committed.append(effects)
        let isClaimsAlone = effects.tasks.isEmpty && effects.transitions.allSatisfy { $0.operation == .claim }
        try log.commit(effects, sync: syncsGroups && !isClaimsAlone)
    }

    /// Writes the open group and hands out every reply that may leave, with the bytes that it lacks.
    func settle() throws -> [Answer] {
        try commit()
        if waiting.contains(where: { $0.syncedThrough > syncedCounter }) { try log.sync() }
        let ready = waiting
        waiting = []
        return try ready.map { try resolve($0) }
    }

    /// The counter of the last group that survives a power cut.
    private var syncedCounter: UInt64 {
        let behind = log.written.sequence - log.synced.sequence
        let written = committed.last.map { $0.group.epoch == start.core.epoch ? $0.group.counter : 0 } ?? 0
        return written >= behind ? written - behind : 0
    }

    private func resolve(_ answer: Answer) throws -> Answer {
        var answer = answer
        switch answer.missing {
        case .nothing, .compaction: break
        case .payloads(let places): answer.reply = try fill(answer.reply, places)
        case .ended(let id, let sequence, let ended, let asResult):
            if var task = try reader.endedTask(id, sequence, ended) {
                if !asResult {
                    let isTagged = task.isTagged
                    try reader.addDetails(to: &task.status, of: sequence, hasHistory: true, isTagged: isTagged)
                }
                answer.reply = asResult ? .result(task.asResult) : .status(task.status)
            }
        case .details(let sequence, let hasHistory, let isTagged):
            if case .status(var status) = answer.reply {
                try reader.addDetails(to: &status, of: sequence, hasHistory: hasHistory, isTagged: isTagged)
                answer.reply = .status(status)
            }
        case .deadLetters(let query, let after):
            answer.reply = .deadLetters(try reader.deadLetters(query, after: after))
        case .tasks(let query, let selection, let position, let tagged):
            if case .tasks(let page) = answer.reply {
                let whole = try reader.list(
                    page,
                    query,
                    selection,
                    from: position,
                    tagged: tagged,
                    readsMax: listReadsMax
                )
                answer.reply = .tasks(whole)
            }
        case .taggedTasks(let query, let selection, let tasks, let next):
            if case .tasks(let page) = answer.reply {
                let whole = try reader.list(page, query, selection, of: tasks, next: next, readsMax: listReadsMax)
                answer.reply = .tasks(whole)
            }
        }
        return answer
    }

    private func fill(_ reply: Reply, _ places: [PayloadPlace]) throws -> Reply {
        guard case .claimed(let deliveries) = reply else { return reply }
        var filled: [Delivery] = []
        for (delivery, place) in zip(deliveries, places) {
            switch payload(of: delivery, place) {
            case .success(let payload?):
                var whole = delivery
                whole.payload = payload
                filled.append(whole)
            case .success(nil): break
            case .failure(let error):
                guard error.kind == .corruption else { throw error }
                try run(.damagedPayload(delivery.lease))
                try commit()
            }
        }
        return .claimed(filled)
    }

    private func payload(of delivery: Delivery, _ place: PayloadPlace) -> Result<Bytes?, StorageError> {
        guard let sequence = reader.sequence(of: delivery.lease.task) else { return .success(nil) }
        return Result { () throws(StorageError) in try reader.payload(place, of: sequence) }
    }

    // MARK: Asking

    /// All pages of a list.
    func pages(_ query: TaskQuery) throws -> [TaskPage] {
        var pages: [TaskPage] = []
        var query = query
        repeat {
            guard case .tasks(let page) = try ask(.tasks(query)) else { throw TestFailure("no page") }
            pages.append(page)
            query.cursor = page.next
        } while !query.cursor.isEmpty
        return pages
    }

    /// Asks, and returns the reply when it may leave.
    @discardableResult
    func ask(_ request: Request) throws -> Reply {
        let number = try send(request)
        let answers = try settle()
        guard let answer = answers.last(where: { $0.request == number }) else {
            throw TestFailure("no reply to \(request)")
        }
        return answer.reply
    }

    /// Asks, and returns the number by which the answer can be told.
    func send(_ request: Request) throws -> UInt32 {
        defer { nextRequest += 1 }
        try run(.request(Self.session, id: nextRequest, .anonymous, request))
        return nextRequest
    }

    func submit(_ specs: [TaskSpec]) throws -> [TaskID] {
        guard case .submitted(let results) = try ask(.submit(specs)) else { throw TestFailure("no submissions") }
        return try results.map { try $0.get().id }
    }

    func submit(_ spec: TaskSpec) throws -> TaskID {
        guard let id = try submit([spec]).first else { throw TestFailure("no submission") }
        return id
    }

    func claim(_ count: UInt32 = 1, queue: Name = "mail", leaseMilliseconds: UInt32 = 0) throws -> [Delivery] {
        let spec = ClaimSpec(queues: [queue], count: count, leaseMilliseconds: leaseMilliseconds)
        guard case .claimed(let deliveries) = try ask(.claim(spec)) else { throw TestFailure("no deliveries") }
        return deliveries
    }

    func complete(_ delivery: Delivery, result: String = "") throws {
        try expectDone(.complete([Completion(lease: delivery.lease, result: Bytes(result.utf8))]))
    }

    func fail(_ delivery: Delivery, error: String, isPermanent: Bool = false) throws {
        try expectDone(.fail([Failure(lease: delivery.lease, error: Bytes(error.utf8), isPermanent: isPermanent)]))
    }

    func expectDone(_ request: Request) throws {
        guard case .outcomes(let outcomes) = try ask(request) else { throw TestFailure("no outcomes of \(request)") }
        if let error = outcomes.lazy.compactMap({ $0 }).first { throw error }
    }

    /// What is known of a task; `nil` when nothing is.
    func status(_ id: TaskID) throws -> TaskStatus? {
        if case .status(let status) = try ask(.status(id)) { status } else { nil }
    }

    /// The result of an ended task; `nil` when there is none.
    func result(_ id: TaskID) throws -> TaskResult? {
        if case .result(let result) = try ask(.result(id, waitMilliseconds: 0)) { result } else { nil }
    }

    func deadLetters() throws -> [DeadLetter] {
        guard case .deadLetters(let page) = try ask(.deadLetters(DeadLetterQuery(count: 1000))) else { return [] }
        return page.letters
    }

    /// Lets time pass, minute by minute, and everything that time does.
    func pass(minutes: Int) throws {
        for _ in 0..<minutes {
            advance(milliseconds: 60_000)
            try run(.tick)
            try commit()
        }
    }

    /// The error of a reply, or of its first item that has one.
    static func failure(_ reply: Reply) -> TQError? {
        switch reply {
        case .error(let error): error
        case .outcomes(let outcomes): outcomes.lazy.compactMap { $0 }.first
        default: nil
        }
    }

    /// Writes the open group, but leaves it to the mercy of the power supply.
    func commitWithoutSync() throws {
        syncsGroups = false
        defer { syncsGroups = true }
        try commit()
    }

    /// Writes and syncs everything that was decided.
    func settleAndSync() throws {
        _ = try settle()
        try log.sync()
    }

    /// Lets groups pass, so that sparse records become old enough to be cleaned up.
    func passGroups(_ count: Int, queue: Name = "filler") throws {
        for _ in 0..<count {
            _ = try submit(TaskSpec(queue: queue, type: "filler"))
            for delivery in try claim(queue: queue) { try complete(delivery) }
        }
    }
}

struct TestFailure: Error, CustomStringConvertible {
    let description: String

    init(_ description: String) { self.description = description }
}

/// A row of a store.
struct StoredRow: Hashable, CustomStringConvertible {
    var family: Family
    var key: [UInt8]
    var value: [UInt8]

    var description: String { "\(family.name) \(hex(key)) \(hex(value))" }

    /// Whether it is an entry of a task's history.
    var isAttempt: Bool { family == .index && key.first == UInt8(ascii: "A") }
}

/// Every row of a store, or of one family.
func rows(_ store: any ByteStoreReader, _ families: [Family] = Family.allCases) throws -> [StoredRow] {
    var found: [StoredRow] = []
    for family in families {
        try store.scan(family, from: [], to: nil) { key, value throws(StorageError) in
            found.append(StoredRow(family: family, key: [UInt8](key), value: [UInt8](value)))
            return .continue
        }
    }
    return found
}

func hex(_ bytes: some Sequence<UInt8>) -> String {
    bytes.map { byte in
        let digits = String(byte, radix: 16)
        return digits.count == 1 ? "0" + digits : digits
    }.joined()
}
