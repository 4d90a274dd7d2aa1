import HistoryChecker
import TQModel

/// Submits batches of tasks of every kind, sometimes a second time, and cancels a few.
struct Submitter {
    private let client: RecordedClient
    private var random: SplitMix64

    init(_ client: RecordedClient, seed: UInt64) {
        self.client = client
        self.random = SplitMix64(seed: seed)
    }

    mutating func run() async {
        while true {
            await pause(milliseconds: .random(in: 0...15, using: &random))
            if client.load.wantsTasks { await submitBatch() }
        }
    }

    private mutating func submitBatch() async {
        let drafts = (0..<Int.random(in: 1...24, using: &random)).map { _ in makeDraft() }
        let ids = await client.submit(drafts)
        // A task whose outcome is unknown has a key: the same submit says what became of it.
        let unknown = zip(drafts, ids).filter { $1 == nil }.map(\.0)
        if !unknown.isEmpty { _ = await client.submit(unknown) }
        if random.chance(8), let again = drafts.randomElement(using: &random) { _ = await client.submit([again]) }
        if random.chance(8), let id = ids.compactMap({ $0 }).randomElement(using: &random) { await client.cancel([id]) }
    }

    private mutating func makeDraft() -> RecordedClient.Draft {
        let queue = QueueNumber.random(in: 1...UInt32(Load.queues.count), using: &random)
        // The number makes key and payload unlike all others.
        let number = client.load.newOperation()
        let payload = makePayload(number)
        var spec = TaskSpec(queue: Load.queues[Int(queue) - 1], type: "crash", payload: payload)
        spec.rank = (random.chance(50) ? Priority.normal : Priority(UInt8.random(in: 0...255, using: &random))).rank
        let start = random.chance(10) ? Recorder.now().wallMilliseconds + .random(in: 1...800, using: &random) : 0
        if start > 0 { spec.start = .at(wallMilliseconds: start) }
        let (retriesMax, crashesMax) = (
            UInt16.random(in: 0...6, using: &random), UInt16.random(in: 0...4, using: &random)
        )
        (spec.retriesMax, spec.crashesMax) = (retriesMax, crashesMax)
        spec.retryPolicy = RetryPolicy(.exponential(first: 20, factorPercent: 200, longest: 400))
        if random.chance(20) { spec.timeoutMilliseconds = .random(in: 300...3000, using: &random) }
        spec.idempotencyKey = Bytes("key-\(number)".utf8)
        let call = SubmitCall(
            queue: queue,
            key: number,
            rank: spec.rank,
            payload: Digest(of: payload),
            notBeforeWallMilliseconds: start,
            retriesMax: retriesMax,
            crashesMax: crashesMax,
            timeoutMilliseconds: nonZero(spec.timeoutMilliseconds) ?? Defaults.timeoutMilliseconds
        )
        return RecordedClient.Draft(spec: spec, call: call)
    }

    /// Mostly some hundred bytes, now and then more than a segment takes along with others.
    private mutating func makePayload(_ number: UInt64) -> Bytes {
        let count =
            random.chance(1) ? Int.random(in: 10_000...100_000, using: &random) : .random(in: 0...600, using: &random)
        var payload = withUnsafeBytes(of: number) { Array($0) }
        while payload.count < 8 + count { withUnsafeBytes(of: random.next()) { payload.append(contentsOf: $0) } }
        return Bytes(payload)
    }
}

extension SplitMix64 {
    /// Whether an event of that many percent happens.
    mutating func chance(_ percent: Int) -> Bool { Int.random(in: 0..<100, using: &self) < percent }
}
