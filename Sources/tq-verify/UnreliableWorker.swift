import HistoryChecker
import TQModel

/// Claims tasks and ends them as workers do: most are completed, some fail, are given back, renewed or forgotten, and
/// now and then one comes back with a lease that it has lost.
struct UnreliableWorker {
    private let client: RecordedClient
    private var random: SplitMix64
    /// Leases that have ended or will lapse, and how often they are still shown.
    private var lost: [(lease: LeaseHandle, rounds: Int)] = []
    private var fate = Fate()

    /// What becomes of the tasks of one claim.
    private struct Fate {
        var completions: [Completion] = []
        var failures: [Failure] = []
        var releases: [Release] = []
        var cancels: [TaskID] = []
        var renewals: [Renewal] = []
        var redrives: [TaskID] = []
    }

    init(_ client: RecordedClient, seed: UInt64) {
        self.client = client
        self.random = SplitMix64(seed: seed)
    }

    mutating func run() async {
        while true {
            await claimAndEnd()
            await showLostLeases()
        }
    }

    private mutating func claimAndEnd() async {
        let all = (1...QueueNumber(Load.queues.count)).shuffled(using: &random)
        let queues = Array(all.prefix(.random(in: 1...all.count, using: &random)))
        let deliveries = await client.claim(
            queues,
            count: .random(in: 1...16, using: &random),
            leaseMilliseconds: .random(in: 400...1500, using: &random)
        )
        await pause(milliseconds: .random(in: 5...60, using: &random))
        fate = Fate()
        for delivery in deliveries { decide(delivery.lease) }
        await client.cancel(fate.cancels)
        await client.renew(fate.renewals)
        await client.complete(fate.completions)
        await client.fail(fate.failures)
        await client.release(fate.releases)
        await client.redrive(fate.redrives)
    }

    private mutating func decide(_ lease: LeaseHandle) {
        let completion = Completion(lease: lease, result: makeResult(lease))
        if client.load.isDraining { return fate.completions.append(completion) }
        switch Int.random(in: 0..<100, using: &random) {
        case ..<2: return
        case ..<4: lost.append((lease, .random(in: 1...20, using: &random)))
        case ..<8:
            fate.releases.append(Release(lease: lease))
            lost.append((lease, 5))
        case ..<10:
            fate.releases.append(Release(lease: lease, delayMilliseconds: .random(in: 1...300, using: &random)))
        case ..<18:
            let wait: UInt64? = random.chance(50) ? nil : .random(in: 0...200, using: &random)
            fate.failures.append(
                Failure(lease: lease, error: Bytes("it went wrong".utf8), retryAfterMilliseconds: wait)
            )
            if random.chance(30) { lost.append((lease, 5)) }
        case ..<19:
            fate.failures.append(Failure(lease: lease, error: Bytes("it cannot work".utf8), isPermanent: true))
            if random.chance(50) { fate.redrives.append(lease.task) }
        case ..<23:
            let milliseconds: UInt32 = random.chance(50) ? 0 : .random(in: 300...1500, using: &random)
            fate.renewals.append(Renewal(lease: lease, leaseMilliseconds: milliseconds))
            fate.completions.append(completion)
        case ..<25:
            fate.completions.append(completion)
            lost.append((lease, 1))
        case ..<28:
            // Cancelled while it runs: its worker asks, and stops or was done before.
            fate.cancels.append(lease.task)
            if random.chance(50) { fate.renewals.append(Renewal(lease: lease)) }
            switch Int.random(in: 0..<4, using: &random) {
            case 0: fate.completions.append(completion)
            case 1: fate.failures.append(Failure(lease: lease, error: Bytes("it was stopped".utf8)))
            case 2: fate.releases.append(Release(lease: lease))
            default: lost.append((lease, .random(in: 1...20, using: &random)))
            }
        default: fate.completions.append(completion)
        }
    }

    /// Completes again with leases that are gone: the broker must refuse all but those that have not lapsed yet.
    private mutating func showLostLeases() async {
        guard let index = lost.indices.randomElement(using: &random), !client.load.isDraining else { return }
        let lease = lost[index].lease
        lost[index].rounds -= 1
        if lost[index].rounds <= 0 { lost.remove(at: index) }
        await client.complete([Completion(lease: lease, result: makeResult(lease))])
    }

    /// Unlike every other result, so that none can be taken for another.
    private mutating func makeResult(_ lease: LeaseHandle) -> Bytes {
        Bytes("\(lease.token)-\(random.next())".utf8)
            + Bytes(repeating: 0x2e, count: .random(in: 0...200, using: &random))
    }
}
