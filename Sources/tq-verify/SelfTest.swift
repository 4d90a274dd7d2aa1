import CommandLineSupport
import HistoryChecker

/// Runs the test against brokers with planted bugs: a test that does not see them proves nothing.
///
/// The broker is one of `tools/planted-bugs --build tq-broker`; it takes the bug's name from the environment. Without a
/// name it has none, and the test must find nothing.
struct SelfTest {
    let plan: VerificationPlan

    /// A bug that so many kills do not show would slip through.
    private static let killsMax = 15

    /// A bug, as Tests/PlantedBugs names it, and the promises one of which it must be seen to break.
    private struct Plant {
        var name: String
        var title: String
        var breaks: Set<Invariant>
    }

    private static let plants = [
        Plant(
            name: "reply-before-write",
            title: "replies leave before their group is written",
            breaks: [.submitStays, .endStays, .noDeliveryAfterEnd, .once, .oneLease, .fencing]
        ),
        Plant(
            name: "stale-token-accepted",
            title: "a lease is accepted whatever its token",
            breaks: [.fencing, .once]
        ),
        Plant(
            name: "recovery-skips-segment",
            title: "recovery skips a segment of tasks",
            breaks: [.submitStays, .endStays]
        ),
    ]

    /// Whether the sound broker passed and every bug was seen.
    func run() async throws -> Bool {
        var isPassed = isSound(try await report(plant: nil, 0))
        for (index, plant) in Self.plants.enumerated() {
            let report = try await report(plant: plant.name, index + 1)
            isPassed = isCaught(plant, report) && isPassed
        }
        return isPassed
    }

    private func report(plant: String?, _ index: Int) async throws -> VerificationReport {
        var plan = plan
        plan.seed &+= UInt64(index)
        plan.faults = [.kill]
        plan.roundsMax = Self.killsMax
        plan.removesDirectory = plant != nil
        if let plant { plan.brokerEnvironment["TQ_PLANTED_BUG"] = plant }
        return try await Verification(plan).run()
    }

    private func isSound(_ report: VerificationReport) -> Bool {
        if report.isClean {
            say("no planted bug: nothing found in \(report.kills) kills")
        } else {
            say("NO PLANTED BUG, BUT:\n\(report.findings)")
        }
        return report.isClean
    }

    private func isCaught(_ plant: Plant, _ report: VerificationReport) -> Bool {
        guard let violation = report.violations.first(where: { plant.breaks.contains($0.invariant) }) else {
            say("NOT SEEN: \(plant.title), in \(report.kills) kills\n\(report.findings)")
            return false
        }
        say("seen after \(report.kills) kills: \(plant.title) (\(report.violationCount) violations)\n  \(violation)")
        return true
    }

    private func say(_ text: String) { writeToStandardOutput(text + "\n") }
}
