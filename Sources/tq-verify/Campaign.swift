import CommandLineSupport

/// One verification after the other, each on a new store, until the plan's length is reached.
///
/// A store only grows while results are kept, and every check reads all of it: short lives see more faults.
struct Campaign {
    let plan: VerificationPlan
    let progress: Progress?

    /// Rounds on one store.
    private static let roundsPerStore = 8

    /// The sum of all; it ends with the first that has found something.
    func run() async throws -> VerificationReport {
        let began = ContinuousClock.now
        var sum = VerificationReport(seed: plan.seed)
        var stores: UInt64 = 0
        repeat {
            var part = plan
            part.seed = plan.seed &+ stores
            part.roundsMax = min(Self.roundsPerStore, roundsLeft(after: sum) ?? .max)
            part.firstFault = sum.rounds
            if case .minutes(let minutes) = plan.length { part.end = began + .seconds(minutes * 60) }
            let before = sum.rounds
            sum.add(try await Verification(part) { progress?.update(UInt64(before + $0)) }.run())
            stores += 1
        } while sum.isClean && !isLongEnough(sum, since: began)
        progress?.finish(UInt64(sum.rounds))
        sum.judgeControl()
        return sum
    }

    private func roundsLeft(after sum: VerificationReport) -> Int? {
        guard case .rounds(let rounds) = plan.length else { return nil }
        return rounds - sum.rounds
    }

    private func isLongEnough(_ sum: VerificationReport, since began: ContinuousClock.Instant) -> Bool {
        switch plan.length {
        case .rounds(let rounds): sum.rounds >= rounds
        case .minutes(let minutes): ContinuousClock.now - began >= .seconds(minutes * 60)
        }
    }
}
