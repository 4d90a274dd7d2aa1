import HistoryChecker
import TQModel
import Testing

/// The checker against many random histories of a queue that keeps its promises, and of queues that break one.
struct RehearsalTests {
    @Test func correctHistoriesBreakNothing() {
        var events = 0
        for seed in UInt64(0)..<200 {
            let rehearsal = Rehearsal(seed: seed, steps: 1_000, keepsEvents: false)
            events += rehearsal.checker.eventCount
            let first = rehearsal.checker.violations.first
            #expect(first == nil, "seed \(seed): \(first?.description ?? "")")
        }
        print("200 correct histories, \(events) events")
    }

    @Test(arguments: Mutation.allCases)
    func everyMistakeIsFound(_ mutation: Mutation) {
        for seed in UInt64(0)..<3_000 {
            let rehearsal = Rehearsal(seed: seed, steps: 2_000, mutation: mutation, keepsEvents: false)
            guard let violation = rehearsal.checker.violations.first else { continue }
            print("mutation\t\(mutation.rawValue)\tseed \(seed)\tevent \(rehearsal.checker.eventCount)\t\(violation)")
            return
        }
        Issue.record("\(mutation.rawValue) was not found in 3,000 histories")
    }

    /// For each promise a mistake that is seen to break it before any other.
    private static let witnesses: [Invariant: Mutation] = [
        .submitStays: .taskForgottenAtRestart,
        .endStays: .completionAcknowledgedBeforeSync,
        .noDeliveryAfterEnd: .cancelIgnored,
        .once: .keyIgnored,
        .oneLease: .leaseLapsesTooEarly,
        .fencing: .tokensFall,
        .attempts: .attemptCountedTwice,
        .order: .priorityReversed,
        .counters: .counterMissesCancels,
        .bytes: .payloadsSwapped,
        .recovery: .pendingTaskScheduledAtRestart,
        .liveness: .lapseNeverNoticed,
        .startTime: .startTimeIgnored,
        .unique: .uniqueKeyIgnored,
    ]

    @Test(arguments: Invariant.allCases.filter { $0 != .history })
    func everyPromiseIsSeenBroken(_ invariant: Invariant) throws {
        let mutation = try #require(Self.witnesses[invariant])
        let isSeen = (UInt64(0)..<3_000).contains { seed in
            let rehearsal = Rehearsal(seed: seed, steps: 2_000, mutation: mutation, keepsEvents: false)
            return rehearsal.checker.violations.first?.invariant == invariant
        }
        #expect(isSeen, "\(mutation.rawValue)")
    }
}
