import ByteStore
import Storage
import TQModel

@testable import QueueCore

/// A small store with a record of every kind, the same each time it is made.
enum FormatFixture {
    /// One submit of two tasks, as docs/storage-format.md shows it byte by byte.
    static func example(_ onBatch: @escaping @Sendable (CommittedBatch) -> Void = { _ in }) throws -> TestBroker {
        let broker = try TestBroker(onBatch: onBatch)
        var scheduled = TaskSpec(queue: "mail", type: "send", payload: Bytes("hi".utf8))
        scheduled.start = .at(wallMilliseconds: 1_700_000_060_000)
        scheduled.retriesMax = 5
        _ = try broker.submit([TaskSpec(queue: "mail", type: "send", payload: Bytes("hello".utf8)), scheduled])
        return broker
    }

    /// A store in which every family and every kind of record is in use.
    static func full() throws -> TestBroker {
        let broker = try example()
        var key = TaskSpec(queue: "reports", type: "nightly", payload: Bytes([0, 255, 128]), rank: Priority(255).rank)
        key.idempotencyKey = Bytes("2023-11-14".utf8)
        key.leaseMilliseconds = 10_000
        key.timeoutMilliseconds = 20_000
        key.crashesMax = 2
        key.retryPolicy = RetryPolicy(.exponential(first: 1_000, factorPercent: 150, longest: 60_000))
        key.retentionMilliseconds = 3_600_000
        let ids = try broker.submit([key, key, TaskSpec(queue: "reports", type: "nightly", payload: Bytes("x".utf8))])
        var late = TaskSpec(queue: "codes", type: "send", payload: Bytes("1234".utf8))
        late.startBy = TaskSpec.StartBy(.after(milliseconds: 600_000), buriesLate: true)
        _ = try broker.submit(late)
        try broker.ask(.registerWorker(WorkerSpec(name: "worker-1", metadata: Bytes("host a".utf8), concurrency: 4)))
        for delivery in try broker.claim(2, queue: "reports") {
            if delivery.lease.task == ids[0] {
                try broker.complete(delivery, result: "42 pages")
            } else {
                let progress = TaskProgress(percent: 40, message: Bytes("page 4 of 10".utf8))
                broker.now.monotonicMilliseconds += 1_500
                broker.now.wallMilliseconds += 1_500
                try broker.ask(.renew([Renewal(lease: delivery.lease, progress: progress)]))
                try broker.ask(.cancel([delivery.lease.task]))
            }
        }
        // A segment whose tasks ended in two epochs: its locator has the full form.
        _ = try broker.submit((0..<3).map { TaskSpec(queue: "images", type: "resize", payload: [UInt8($0)]) })
        let images = try broker.claim(3, queue: "images")
        try broker.fail(images[0], error: "no such format", isPermanent: true)
        try broker.complete(images[1], result: "small")
        try broker.restart()
        try broker.complete(images[2], result: "smaller")
        // And one that ended at once: compact.
        _ = try broker.submit([TaskSpec(queue: "images", type: "resize"), TaskSpec(queue: "images", type: "resize")])
        for delivery in try broker.claim(2, queue: "images") { try broker.complete(delivery, result: "ok") }
        _ = try broker.submit(TaskSpec(queue: "mail", type: "send", payload: Bytes("again".utf8)))
        for delivery in try broker.claim(2, queue: "mail") where delivery.payload == Bytes("again".utf8) {
            try broker.fail(delivery, error: "mailbox full")
        }
        try uniqueKeys(broker)
        try recurring(broker)
        try tags(broker)
        try contents(broker)
        try policies(broker)
        try forgotten(broker)
        try gates(broker)
        try dependencies(broker)
        try broker.settleAndSync()
        return broker
    }

    /// Tasks that wait for others: for all, for any one that is put back, with a key, and one that has done so.
    private static func dependencies(_ broker: TestBroker) throws {
        func spec(_ queue: Name, _ dependencies: Dependencies? = nil) -> TaskSpec {
            TaskSpec(queue: queue, type: "step", dependencies: dependencies)
        }
        let first = try broker.submit((0..<3).map { _ in spec("first") })
        var shared = spec("then", Dependencies(on: [first[0], first[1]]))
        shared.sharing = Sharing(limitKey: "account:42")
        _ = try broker.submit([
            shared, spec("then", Dependencies(on: [first[2]], condition: .any, onFailure: .wait)),
            spec("last", Dependencies(on: [first[0]], onFailure: .run)),
        ])
        let deliveries = try broker.claim(3, queue: "first")
        try broker.complete(deliveries[0], result: "done")
        try broker.fail(deliveries[2], error: "not now", isPermanent: true)
    }

    /// A dead letter that holds its key, a task that was replaced, and one with a checkpoint.
    private static func uniqueKeys(_ broker: TestBroker) throws {
        let unique = UniqueKey(Bytes("shop 7".utf8), scope: .unfinished, onConflict: .replace)
        let spec = TaskSpec(
            queue: "unique",
            type: "index",
            payload: Bytes("1".utf8),
            content: Content(type: "text/plain"),
            uniqueKey: unique
        )
        _ = try broker.submit(spec)
        try broker.fail(try broker.claim(1, queue: "unique")[0], error: "no", isPermanent: true)
        var other = spec
        other.uniqueKey?.key = Bytes("shop 8".utf8)
        _ = try broker.submit(other)
        let delivery = try broker.claim(1, queue: "unique")[0]
        try broker.ask(.renew([Renewal(lease: delivery.lease, checkpoint: Bytes("page 9".utf8))]))
        other.uniqueKey = UniqueKey(Bytes("shop 9".utf8), scope: .active, onConflict: .replace)
        _ = try broker.submit([other, TaskSpec(queue: "unique", type: "index")])
        other.payload = Bytes("2".utf8)
        _ = try broker.submit(other)
    }

    /// A task with tags in every part of its life, and one that was replaced.
    private static func tags(_ broker: TestBroker) throws {
        var spec = TaskSpec(queue: "tagged", type: "index", tags: ["customer:42", "urgent"])
        _ = try broker.submit([spec, spec, spec])
        let deliveries = try broker.claim(2, queue: "tagged")
        try broker.complete(deliveries[0])
        try broker.fail(deliveries[1], error: "no", isPermanent: true)
        spec.uniqueKey = UniqueKey(Bytes("shop 10".utf8), onConflict: .replace)
        _ = try broker.submit(spec)
        spec.tags = ["urgent", "again"]
        _ = try broker.submit(spec)
    }

    /// A payload and a result that are something.
    private static func contents(_ broker: TestBroker) throws {
        let json = Content(type: "application/json")
        let packedOnly = Content(encoding: .zstd)
        let payloads: [(Bytes, Content)] = [(Bytes("{}".utf8), json), ([0x28, 0xb5, 0x2f, 0xfd], packedOnly)]
        _ = try broker.submit(payloads.map { TaskSpec(queue: "content", type: "index", payload: $0.0, content: $0.1) })
        let delivery = try broker.claim(1, queue: "content")[0]
        let packed = Content(type: "application/json", encoding: .zstd)
        let completion = Completion(lease: delivery.lease, result: [0x28, 0xb5, 0x2f, 0xfd], content: packed)
        try broker.expectDone(.complete([completion]))
    }

    /// A queue that says all it can, one that says little, and one that says nothing any more.
    private static func policies(_ broker: TestBroker) throws {
        let full = QueuePolicy(
            retryPolicy: RetryPolicy(.list([1_000, 60_000])),
            retriesMax: 5,
            crashesMax: 0,
            leaseMilliseconds: 60_000,
            timeoutMilliseconds: 600_000,
            retentionMilliseconds: 86_400_000,
            deadLetterRetentionMilliseconds: 864_000_000,
            deadLettersMax: 1_000,
            deadLetterBytesMax: 1 << 40,
            outcomesMax: 50_000,
            resultBytesMax: 1 << 33,
            aging: PriorityAging(stepMilliseconds: 60_000, most: 50),
            noisy: NoisyRule()
        )
        try broker.ask(.putQueuePolicy("mail", full))
        try broker.ask(.putQueuePolicy("new", QueuePolicy(retriesMax: 0)))
        try broker.ask(.putQueuePolicy("codes", full))
        try broker.ask(.putQueuePolicy("codes", QueuePolicy()))
        // A dead letter that expires.
        let spec = TaskSpec(queue: "new", type: "send", deadLetterRetentionMilliseconds: 3_600_000)
        _ = try broker.submit(spec)
        try broker.fail(try broker.claim(1, queue: "new")[0], error: "no such address")
    }

    /// Gates of each kind.
    private static func gates(_ broker: TestBroker) throws {
        try broker.ask(.changeGate(GateChange(.everything, isPaused: true)))
        try broker.ask(.changeGate(GateChange(.everything, isPaused: false)))
        try broker.ask(.changeGate(GateChange(.queue("mail"), runningMax: 4, rate: StartRate(100, per: 60_000))))
        let pause = GateChange(.type("index"), isPaused: true, pauseMilliseconds: 86_400_000, runningMax: 2)
        try broker.ask(.changeGate(pause))
        try broker.ask(.changeGate(GateChange(.key("account:*"), runningMax: 5)))
        try broker.ask(.changeGate(GateChange(.group("customer-b"), weight: 5)))
        let breaker = CircuitBreaker(failurePercent: 50)
        try broker.ask(.changeGate(GateChange(.type("charge"), breaker: breaker, circuit: .open)))
        let both = Sharing(limitKey: "account:42", serialKey: "order:7")
        let spec = TaskSpec(queue: "shared", type: "send")
        _ = try broker.submit(
            [both, .none, Sharing(group: "customer-b", weight: 3), both].map { sharing in
                var spec = spec
                spec.sharing = sharing
                return spec
            }
        )
        try broker.complete(try broker.claim(1, queue: "shared")[0])
    }

    /// The one result of three that a queue keeps, and the locator that leads to no other.
    private static func forgotten(_ broker: TestBroker) throws {
        _ = try broker.submit((0..<3).map { _ in TaskSpec(queue: "small", type: "index") })
        let results = try broker.claim(3, queue: "small").enumerated().map { place, delivery in
            Completion(lease: delivery.lease, result: Bytes("result \(place)".utf8))
        }
        try broker.expectDone(.complete(results))
        try broker.ask(.putQueuePolicy("small", QueuePolicy(outcomesMax: 1)))
        try broker.settleAndSync()
        try broker.run(.tick)
    }

    /// A recurring task with a tick behind it, and a paused one.
    private static func recurring(_ broker: TestBroker) throws {
        let task = TaskSpec(
            queue: "reports",
            type: "nightly",
            payload: Bytes("all".utf8),
            content: Content(type: "text/plain"),
            startBy: TaskSpec.StartBy(.after(milliseconds: 60_000)),
            tags: ["report"]
        )
        for (name, recurrence) in [("minutely", "cron:* * * * *"), ("hourly", "every:1h")] as [(Name, String)] {
            let spec = RecurringSpec(
                name: name,
                recurrence: Bytes(recurrence.utf8),
                task: task,
                catchUpMax: 3,
                overlap: .skip
            )
            try broker.ask(.putRecurring(spec))
        }
        try broker.ask(.pauseRecurring("hourly", isPaused: true))
        broker.now.monotonicMilliseconds += 60_000
        broker.now.wallMilliseconds += 60_000
        try broker.run(.tick)
    }
}
