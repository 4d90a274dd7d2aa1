import NIOPosix

/// What an idempotency key and a unique key on every task cost: whole lives, in turns without and with them.
extension BenchCommand {
    private static let pairs = 5
    private static let ratioMin = 0.7

    func measureKeys(_ group: MultiThreadedEventLoopGroup) async throws -> [Figure] {
        var plain: [Usage] = []
        var keyed: [Usage] = []
        for pair in 0..<Self.pairs {
            // Neither is always the first.
            for hasKeys in pair % 2 == 0 ? [false, true] : [true, false] {
                let usage = try await lives(hasKeys: hasKeys, group)
                if hasKeys { keyed.append(usage) } else { plain.append(usage) }
            }
        }
        let ratios = Spread(zip(plain, keyed).map { $0.seconds / $1.seconds })
        return rates("plain", plain) + rates("keyed", keyed) + ratios.figures("keyed_to_plain") + [
            Figure("target", verdict("keyed_to_plain_median >= \(Self.ratioMin)", ratios.median >= Self.ratioMin))
        ]
    }

    /// Each run has a broker of its own, so that none pays for what another one left to be done later.
    private func lives(hasKeys: Bool, _ group: MultiThreadedEventLoopGroup) async throws -> Usage {
        let broker = try await makeBroker()
        defer { broker.stop() }
        let run = makeRun(.completed, on: group)
        let loads =
            (0..<connections).map { _ in Consumer(run, window: window, completes: true) }
            + (0..<connections).map { _ in Producer(run, window: window, interval: 0, hasKeys: hasKeys) }
        return try await broker.usage {
            let label = hasKeys ? "with keys" : "without keys"
            try await run.execute(loads, host: broker.host, port: broker.port, on: group, label: label)
        }
    }

    private func rates(_ name: String, _ usages: [Usage]) -> [Figure] {
        let cpu = Spread(usages.map { $0.cpuSeconds * 1e6 / Double(taskCount) })
        return Spread(usages.map { Double(taskCount) / $0.seconds }).wholeFigures("\(name)_per_second")
            + [Figure("\(name)_broker_cpu_us_per_task", cpu.median)]
    }
}
