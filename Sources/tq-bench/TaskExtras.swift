import NIOPosix
import TQClient
import TQModel

/// What each task of a run has beyond a payload.
enum TaskExtras: String {
    case plain
    /// An idempotency key and a unique key of scope `active`, no two alike.
    case keyed
    /// One of 10,000 limit keys and one of 1,000 groups.
    case sharing

    /// The part of the plain rate that is to be kept.
    fileprivate var ratioMin: Double { self == .sharing ? 0.8 : 0.7 }
    fileprivate var pairs: Int { self == .sharing ? 10 : 5 }

    static let limitKeys = 10_000
    static let groups = 1_000
    /// Ten keys in each group, made once: who measures must not pay for it.
    static let sharings = (0..<limitKeys).map { key in
        Sharing(limitKey: Name("key-\(key)"), group: Name("group-\(key % groups)"))
    }
    /// Of each limit key so many tasks may run at once.
    fileprivate static let runningMax: UInt32 = 4
}

/// What something on every task costs: whole lives, in turns without and with it.
extension BenchCommand {
    func measure(_ extras: TaskExtras, _ group: MultiThreadedEventLoopGroup) async throws -> [Figure] {
        var plain: [Usage] = []
        var others: [Usage] = []
        for pair in 0..<extras.pairs {
            // Neither is always the first.
            for each in pair % 2 == 0 ? [.plain, extras] : [extras, .plain] {
                let usage = try await lives(each, group)
                if each == .plain { plain.append(usage) } else { others.append(usage) }
            }
        }
        let ratios = Spread(zip(plain, others).map { $0.seconds / $1.seconds })
        let name = "\(extras.rawValue)_to_plain"
        return rates("plain", plain) + rates(extras.rawValue, others) + ratios.figures(name) + [
            Figure("target", verdict("\(name)_median >= \(extras.ratioMin)", ratios.median >= extras.ratioMin))
        ]
    }

    /// Each run has a broker of its own, so that none pays for what another one left to be done later.
    private func lives(_ extras: TaskExtras, _ group: MultiThreadedEventLoopGroup) async throws -> Usage {
        let broker = try await makeBroker()
        defer { broker.stop() }
        if extras == .sharing {
            let client = try await TQClient.connect(to: "\(broker.host):\(broker.port)")
            try await client.limitRunning(.key("*"), to: TaskExtras.runningMax)
            await client.close()
        }
        let run = makeRun(.completed, on: group)
        let loads =
            (0..<connections).map { _ in Consumer(run, window: window, completes: true) }
            + (0..<connections).map { _ in Producer(run, window: window, interval: 0, extras: extras) }
        return try await broker.usage {
            try await run.execute(loads, host: broker.host, port: broker.port, on: group, label: extras.rawValue)
        }
    }

    private func rates(_ name: String, _ usages: [Usage]) -> [Figure] {
        let cpu = Spread(usages.map { $0.cpuSeconds * 1e6 / Double(taskCount) })
        return Spread(usages.map { Double(taskCount) / $0.seconds }).wholeFigures("\(name)_per_second")
            + [Figure("\(name)_broker_cpu_us_per_task", cpu.median)]
    }
}
