import QueueCore
import TQModel
import WireProtocol

let benchmarks = [
    Benchmark(name: "ids: sequence to id and back", run: ids),
    Benchmark(name: "frames: encode and decode a submit of 64 tasks, per task", run: frames),
    Benchmark(name: "core: submit, claim and complete in bursts of 64, per task", run: lifecycles),
]

private func ids(operations: Int) -> Int {
    let cipher = TaskIDCipher(key: StoreKey(high: 1, low: 2))
    for number in 1...UInt64(operations) {
        let id = cipher.id(of: TaskSequence(number), createdMilliseconds: 1_795_235_696_789)
        guard cipher.sequence(of: id)?.rawValue == number else { fatalError("the cipher lost \(number)") }
    }
    return operations
}

private let burst = 64
private let tasks = [TaskSpec](
    repeating: TaskSpec(type: "benchmark", payload: Bytes(repeating: 7, count: 128)),
    count: burst
)

private func frames(operations: Int) -> Int {
    var bytes: [UInt8] = []
    var reader = FrameReader()
    let rounds = max(1, operations / burst)
    for round in 0..<rounds {
        bytes.removeAll(keepingCapacity: true)
        do {
            try Request.submit(tasks).encode(id: UInt32(truncatingIfNeeded: round), into: &bytes)
            bytes.withUnsafeBytes { reader.append($0) }
            guard let frame = try reader.next() else { fatalError("a frame is missing") }
            use(try Request.decode(frame))
        } catch {
            fatalError("\(error)")
        }
    }
    return rounds * burst
}

/// One commit group for each burst, with nothing stored: what the core alone costs.
private func lifecycles(operations: Int) -> Int {
    var now = Now(monotonicMilliseconds: 1, wallMilliseconds: 1_795_235_696_789)
    var core = QueueCore(
        configuration: CoreConfiguration(),
        index: DurableIndex(),
        epoch: 1,
        storeKey: StoreKey(high: 1, low: 2),
        now: now
    )
    var deliveries: [Delivery] = []
    func ask(_ request: Request) {
        let missing = core.decide(.request(1, id: 1, .anonymous, request), now: now)
        precondition(missing.isEmpty, "the hot path reads nothing")
        if core.hasEffects { use(core.closeGroup()) }
        for answer in core.takeAnswers() {
            if case .claimed(let claimed) = answer.reply { deliveries = claimed }
        }
    }
    _ = core.decide(.openSession(1, SessionSettings()), now: now)
    let rounds = max(1, operations / burst)
    for _ in 0..<rounds {
        now.monotonicMilliseconds += 1
        ask(.submit(tasks))
        ask(.claim(ClaimSpec(queues: [Name(Defaults.queue)], count: UInt32(burst))))
        precondition(deliveries.count == burst, "every task is claimed")
        ask(.complete(deliveries.map { Completion(lease: $0.lease) }))
    }
    return rounds * burst
}
