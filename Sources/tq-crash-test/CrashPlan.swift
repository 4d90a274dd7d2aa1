import ArgumentParser

/// What a crash test does.
struct CrashPlan {
    var seed: UInt64
    /// Kills that count: those that met work.
    var kills: Int
    /// How long the broker works between a check and a kill.
    var seconds: SecondsRange
    var dataParent: String
    /// The path of the tq-broker.
    var broker: String
    var brokerEnvironment: [String: String] = [:]
    /// Whether each kill is told of.
    var isVerbose = false
    /// Whether nothing is kept even when something is wrong.
    var removesDirectory = false
}

/// `0.2-1.5`: a range of seconds.
struct SecondsRange: ExpressibleByArgument, CustomStringConvertible {
    let range: ClosedRange<Double>

    init(_ range: ClosedRange<Double>) { self.range = range }

    /// Reads `MIN-MAX`, or one number for both, up to an hour.
    init?(argument text: String) {
        let bounds = text.split(separator: "-", omittingEmptySubsequences: false).map { Double($0) }
        guard bounds.count <= 2, let first = bounds.first, let low = first, let last = bounds.last, let high = last,
            low >= 0, low <= high, high <= 3600
        else { return nil }
        range = low...high
    }

    var description: String { "\(range.lowerBound)-\(range.upperBound)" }
}
