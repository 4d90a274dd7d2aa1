/// One part to measure: a name, and a closure that does an operation many times.
struct Benchmark: Sendable {
    let name: String
    /// Does about that many operations and returns how many it did.
    let run: @Sendable (_ operations: Int) -> Int
}

extension Benchmark {
    /// The fewest nanoseconds per operation of several rounds.
    func best(rounds: Int, operations: Int) -> Double {
        let clock = ContinuousClock()
        var best = Double.infinity
        for _ in 0..<rounds {
            var done = 0
            let elapsed = clock.measure { done = run(operations) }
            best = min(best, elapsed / .nanoseconds(1) / Double(max(1, done)))
        }
        return best
    }
}

/// Keeps the optimizer from dropping a result.
@inline(never) func use<Value>(_ value: Value) { withExtendedLifetime(value) {} }
