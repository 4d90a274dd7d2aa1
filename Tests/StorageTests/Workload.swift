import QueueCore
import TQModel

/// Commands chosen by a seed, with everything that a queue can do in them; the same seed gives the same commands.
struct Workload {
    private var random: SplitMix64
    private var leases: [Delivery] = []
    private var ids: [TaskID] = []
    private let replaces: Bool

    private static let queues: [Name] = ["mail", "images", "reports"]

    /// - Parameter replaces: Whether submits take the places of tasks that wait.
    init(seed: UInt64, replaces: Bool = true) {
        random = SplitMix64(seed: seed)
        self.replaces = replaces
    }

    private mutating func below(_ limit: UInt64) -> UInt64 { random.next() % limit }

    /// One step: a request or the passing of time.
    mutating func step(_ broker: TestBroker) throws {
        switch below(100) {
        case 0..<26: try submit(broker)
        case 26..<50: try claim(broker)
        case 50..<68: try end(broker)
        case 68..<74: try fail(broker)
        case 74..<77: try broker.ask(.release(leased().map { Release(lease: $0, delayMilliseconds: below(2) * 3000) }))
        case 77..<80:
            try broker.ask(.renew(leased().map { Renewal(lease: $0, leaseMilliseconds: UInt32(below(2) * 45_000)) }))
        case 80..<82: try broker.ask(.cancel(someIDs()))
        case 82..<84: try redrive(broker)
        case 84..<87: try work(broker)
        case 87..<90: try broker.run(.clean)
        case 90..<92: for id in someIDs() { _ = try broker.status(id) }
        case 92..<94: try forget(broker)
        default: try passTime(broker)
        }
    }

    private mutating func forget(_ broker: TestBroker) throws {
        let queue = Self.queues[Int(below(3))]
        guard below(2) == 0 else {
            let policy = QueuePolicy(outcomesMax: UInt32(below(20)), resultBytesMax: below(500))
            _ = try broker.ask(.putQueuePolicy(queue, below(2) == 0 ? policy : QueuePolicy()))
            return
        }
        let filter = TaskFilter(queue: queue, type: below(2) == 0 ? "fast" : nil)
        _ = try broker.ask(.startBulk(BulkSpec(.delete, filter: filter)))
        for _ in 0..<3 { try broker.run(.stepBulk) }
    }

    private mutating func submit(_ broker: TestBroker) throws {
        let specs = (0..<below(12) + 1).map { _ in spec() }
        guard case .submitted(let results) = try broker.ask(.submit(specs)) else { return }
        ids += results.compactMap { try? $0.get().id }
    }

    private mutating func spec() -> TaskSpec {
        var spec = TaskSpec(queue: Self.queues[Int(below(3))], type: below(3) == 0 ? "slow" : "fast")
        spec.payload = Bytes((0..<below(60)).map { UInt8(truncatingIfNeeded: $0 &* 7 &+ random.state) })
        if below(50) == 0 { spec.payload = Bytes([UInt8](repeating: 7, count: 40_000)) }
        spec.rank = Priority(UInt8(below(4) * 80)).rank
        if below(4) == 0 { spec.start = .after(milliseconds: below(90_000)) }
        if below(4) == 0 { spec.retriesMax = UInt16(below(3)) }
        if below(6) == 0 { spec.crashesMax = UInt16(below(3)) }
        if below(4) == 0 { spec.leaseMilliseconds = UInt32(below(20_000)) }
        if below(3) == 0 { spec.retentionMilliseconds = below(5) == 0 ? 86_400_000 : 60_000 }
        if below(3) == 0 { spec.tags = (0..<below(3)).map { TaskTag("tag:\($0)") } + [TaskTag("of:\(random.state)")] }
        if replaces, below(10) == 0 {
            spec.uniqueKey = UniqueKey(Bytes("unique \(below(6))".utf8), scope: .unfinished, onConflict: .replace)
        }
        if below(8) == 0 {
            spec.idempotencyKey = Bytes("key \(below(40))".utf8)
            spec.idempotencyWindowMilliseconds = below(300_000)
        }
        return spec
    }

    private mutating func claim(_ broker: TestBroker) throws {
        var spec = ClaimSpec(queues: [Self.queues[Int(below(3))]], count: UInt32(below(14)) + 1)
        if below(4) == 0 { spec.types = ["slow"] }
        if below(2) == 0 { spec.worker = Name("worker-\(below(3))") }
        if case .claimed(let deliveries) = try broker.ask(.claim(spec)) { leases += deliveries }
    }

    /// Some leases, true and stale ones.
    private mutating func leased() -> [LeaseHandle] {
        guard !leases.isEmpty else { return [] }
        return (0..<below(8) + 1).compactMap { _ in
            guard !leases.isEmpty else { return nil }
            return leases.remove(at: Int(below(UInt64(leases.count)))).lease
        }
    }

    private mutating func end(_ broker: TestBroker) throws {
        let items = leased().map { lease in
            Completion(lease: lease, result: Bytes((0..<below(30)).map { UInt8(truncatingIfNeeded: $0) }))
        }
        try broker.ask(.complete(items))
    }

    private mutating func fail(_ broker: TestBroker) throws {
        let items = leased().map { lease in
            Failure(lease: lease, error: Bytes("failed \(below(100))".utf8), isPermanent: below(5) == 0)
        }
        try broker.ask(.fail(items))
    }

    private mutating func someIDs() -> [TaskID] {
        guard !ids.isEmpty else { return [] }
        return (0..<below(3) + 1).map { _ in ids[Int(below(UInt64(ids.count)))] }
    }

    private mutating func redrive(_ broker: TestBroker) throws {
        let letters = try broker.deadLetters()
        guard !letters.isEmpty else { return }
        try broker.ask(.redrive([Redrive(task: letters[Int(below(UInt64(letters.count)))].status.id)]))
    }

    private mutating func work(_ broker: TestBroker) throws {
        let name = Name("worker-\(below(3))")
        if below(4) == 0 {
            try broker.ask(.deregisterWorker(name))
        } else {
            try broker.ask(.heartbeat(WorkerSpec(name: name, metadata: Bytes("host".utf8), concurrency: 4)))
        }
    }

    private mutating func passTime(_ broker: TestBroker) throws {
        let choice = below(20)
        broker.advance(milliseconds: choice == 0 ? 3_600_000 : choice < 4 ? 61_000 : below(8_000))
        try broker.run(.tick)
        if below(2) == 0 { try broker.commit() }
    }
}
