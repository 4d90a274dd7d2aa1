import ArgumentParser

/// What a verification does.
struct VerificationPlan {
    var seed: UInt64
    /// The kinds of faults, in turns.
    var faults = FaultKind.allCases
    /// When it ends.
    var length: Length
    /// Rounds on one store, and when it ends, whatever their number.
    var roundsMax = Int.max
    var end: ContinuousClock.Instant?
    /// The turn of ``faults`` with which it begins.
    var firstFault = 0
    /// How long the broker works between a check and a fault.
    var seconds: SecondsRange
    /// Images of the disk that are looked at after each power cut.
    var images = 20
    /// Bits that are flipped in each round of bit flips.
    var flips = 40
    /// Whether the disk syncs nothing, which must be seen.
    var isControl = false
    var dataParent: String
    /// The path of the tq-broker.
    var broker: String
    var brokerEnvironment: [String: String] = [:]
    /// Whether each fault is told of.
    var isVerbose = false
    /// Whether nothing is kept even when something is wrong.
    var removesDirectory = false
}

extension VerificationPlan {
    /// When a verification ends; the round that is under way is finished.
    enum Length: Hashable {
        /// After so many rounds that met work.
        case rounds(Int)
        /// After that time.
        case minutes(Double)
    }
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
