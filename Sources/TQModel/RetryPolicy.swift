/// How long a failed task waits before it is tried again.
///
/// Policies are written the same in every API, and stored that way:
///
/// | text | the waits |
/// |---|---|
/// | `exponential,first=5s,factor=2,longest=1h` | 5 s, 10 s, 20 s …, up to an hour: the default |
/// | `linear,first=5s,step=10s,longest=1h` | 5 s, 15 s, 25 s …, up to an hour |
/// | `fixed,30s` | always 30 s |
/// | `list,1s,10s,5m` | 1 s, 10 s, and then always 5 minutes |
///
/// What is left out has the value above. With `jitter=full`, the default of the first two, a wait is anything between
/// one millisecond and that, so that tasks which failed together do not come back together; with `jitter=none`, the
/// default of the others, it is exactly that.
public struct RetryPolicy: Hashable, Sendable {
    /// How the waits grow.
    public var growth: Growth
    /// Whether a wait is anything up to what the growth says, instead of exactly that.
    public var isJittered: Bool

    /// How waits grow from retry to retry; all times in milliseconds.
    public enum Growth: Hashable, Sendable {
        /// Multiplied by the factor, in hundredths, after each retry.
        case exponential(first: UInt64, factorPercent: UInt32, longest: UInt64)
        /// Longer by a step after each retry.
        case linear(first: UInt64, step: UInt64, longest: UInt64)
        /// Always the same.
        case fixed(UInt64)
        /// One after the other, and then always the last; 1 to ``RetryPolicy/listCountMax``.
        case list([UInt64])
    }

    /// The most waits in a list.
    public static let listCountMax = 32

    /// What a task has that names none: 5 seconds, doubled up to an hour.
    public static let standard = RetryPolicy(
        .exponential(
            first: UInt64(Defaults.backoffMillisecondsMin),
            factorPercent: 200,
            longest: UInt64(Defaults.backoffMillisecondsMax)
        )
    )

    /// - Parameter isJittered: `nil` for the growth's own default.
    public init(_ growth: Growth, isJittered: Bool? = nil) {
        self.growth = growth
        self.isJittered = isJittered ?? growth.isJitteredByDefault
    }

    // MARK: Waiting

    /// The wait before a retry, in milliseconds, without its jitter.
    ///
    /// - Parameter retry: From 1.
    public func longestWait(before retry: Int) -> UInt64 {
        let earlier = UInt64(clamping: max(retry, 1) - 1)
        switch growth {
        case .fixed(let wait): return wait
        case .list(let waits): return waits[min(Int(clamping: earlier), waits.count - 1)]
        case .linear(let first, let step, let longest):
            let (added, isOverflow) = step.multipliedReportingOverflow(by: earlier)
            let (sum, isSumOverflow) = first.addingReportingOverflow(added)
            return isOverflow || isSumOverflow ? longest : min(sum, longest)
        case .exponential(let first, let factorPercent, let longest):
            var wait = min(first, longest)
            guard factorPercent > 100 else { return wait }
            for _ in 0..<min(earlier, 4096) where wait < longest {
                let (product, isOverflow) = wait.multipliedReportingOverflow(by: UInt64(factorPercent))
                // A wait so short that the factor is lost in rounding still grows.
                wait = isOverflow ? longest : min(max(product / 100, wait + 1), longest)
            }
            return wait
        }
    }

    /// The wait before a retry, in milliseconds.
    public func wait(before retry: Int, using generator: inout some RandomNumberGenerator) -> UInt64 {
        let longest = longestWait(before: retry)
        return isJittered && longest > 1 ? 1 + generator.next() % longest : longest
    }

    /// What no wait is shorter than, in milliseconds.
    public var shortestWait: UInt64 {
        if isJittered { return min(1, longestWait(before: 1)) }
        return if case .list(let waits) = growth { waits.min() ?? 0 } else { longestWait(before: 1) }
    }
}

extension RetryPolicy.Growth {
    fileprivate var isJitteredByDefault: Bool {
        switch self {
        case .exponential, .linear: true
        case .fixed, .list: false
        }
    }
}

// MARK: Text

extension RetryPolicy: CustomStringConvertible {
    /// The policy with everything that it says; reads as the same policy.
    public var description: String {
        let jitter = isJittered ? ",jitter=full" : ",jitter=none"
        func span(_ milliseconds: UInt64) -> String { DurationText.text(milliseconds: milliseconds) }
        switch growth {
        case .exponential(let first, let percent, let longest):
            let (whole, hundredths) = percent.quotientAndRemainder(dividingBy: 100)
            var factor = "\(whole)"
            if hundredths % 10 > 0 {
                factor += ".\(hundredths / 10)\(hundredths % 10)"
            } else if hundredths > 0 {
                factor += ".\(hundredths / 10)"
            }
            return "exponential,first=\(span(first)),factor=\(factor),longest=\(span(longest))" + jitter
        case .linear(let first, let step, let longest):
            return "linear,first=\(span(first)),step=\(span(step)),longest=\(span(longest))" + jitter
        case .fixed(let wait): return "fixed,\(span(wait))" + jitter
        case .list(let waits): return "list," + waits.map(span).joined(separator: ",") + jitter
        }
    }

    /// Reads a policy.
    ///
    /// - Throws: `invalidArgument` with the part that cannot be read, and what is allowed.
    public init(_ text: some Sequence<UInt8>) throws(TQError) {
        let bytes = Array(text)
        guard bytes.count <= Limits.nameBytesMax else {
            throw TQError(
                .invalidArgument,
                "A retry policy of \(bytes.count) bytes is over the limit of \(Limits.nameBytesMax). Use fewer waits."
            )
        }
        var parts = bytes.split(separator: UInt8(ascii: ","), omittingEmptySubsequences: false)
        let kind = String(decoding: parts.removeFirst(), as: UTF8.self)
        var fields = try Fields(parts, of: String(decoding: bytes, as: UTF8.self))
        let jitter = try fields.takeJitter()
        switch kind {
        case "exponential":
            growth = .exponential(
                first: try fields.take("first") ?? UInt64(Defaults.backoffMillisecondsMin),
                factorPercent: try fields.takeFactor() ?? 200,
                longest: try fields.take("longest") ?? UInt64(Defaults.backoffMillisecondsMax)
            )
        case "linear":
            growth = .linear(
                first: try fields.take("first") ?? UInt64(Defaults.backoffMillisecondsMin),
                step: try fields.take("step") ?? 10_000,
                longest: try fields.take("longest") ?? UInt64(Defaults.backoffMillisecondsMax)
            )
        case "fixed": growth = .fixed(try fields.takeWaits(countMax: 1)[0])
        case "list": growth = .list(try fields.takeWaits(countMax: Self.listCountMax))
        default: throw fields.wrong("it begins with '\(kind)'; use exponential, linear, fixed or list")
        }
        try fields.end()
        isJittered = jitter ?? growth.isJitteredByDefault
        guard description.utf8.count <= Limits.nameBytesMax else {
            throw fields.wrong("written out it is over the limit of \(Limits.nameBytesMax) bytes; use fewer waits")
        }
    }

    /// The parts behind the kind, each taken once.
    private struct Fields {
        private var parts: [ArraySlice<UInt8>]
        private let text: String

        init(_ parts: [ArraySlice<UInt8>], of text: String) throws(TQError) {
            self.parts = parts
            self.text = text
        }

        func wrong(_ clause: String) -> TQError {
            TQError(.invalidArgument, "The retry policy '\(text.prefix(64))' is not one: \(clause).")
        }

        /// The value of a named part.
        private mutating func value(of name: String) -> ArraySlice<UInt8>? {
            let prefix = Array("\(name)=".utf8)
            guard let position = parts.firstIndex(where: { $0.starts(with: prefix) }) else { return nil }
            return parts.remove(at: position).dropFirst(prefix.count)
        }

        mutating func take(_ name: String) throws(TQError) -> UInt64? {
            guard let value = value(of: name) else { return nil }
            return try wait(value)
        }

        mutating func takeJitter() throws(TQError) -> Bool? {
            guard let value = value(of: "jitter") else { return nil }
            switch String(decoding: value, as: UTF8.self) {
            case "full": return true
            case "none": return false
            case let other: throw wrong("jitter is '\(other)'; use full or none")
            }
        }

        /// 1 to 100, with at most two decimal places.
        mutating func takeFactor() throws(TQError) -> UInt32? {
            guard let value = value(of: "factor") else { return nil }
            let halves = value.split(separator: UInt8(ascii: "."), maxSplits: 1, omittingEmptySubsequences: false)
            let places = halves.count == 2 ? halves[1] : []
            guard let whole = DurationText.decimal(halves[0]), halves.count == 1 || (1...2).contains(places.count),
                let part = places.isEmpty ? 0 : DurationText.decimal(places), (1...100).contains(whole),
                whole < 100 || part == 0
            else { throw wrong("factor is '\(String(decoding: value, as: UTF8.self))'; use 1 to 100, such as 1.5") }
            return UInt32(whole * 100 + (places.count == 1 ? part * 10 : part))
        }

        mutating func takeWaits(countMax: Int) throws(TQError) -> [UInt64] {
            guard (1...countMax).contains(parts.count) else {
                throw wrong("it has \(parts.count) waits; use 1\(countMax > 1 ? " to \(countMax)" : "")")
            }
            var waits: [UInt64] = []
            for part in parts { waits.append(try wait(part)) }
            parts = []
            return waits
        }

        func end() throws(TQError) {
            guard let part = parts.first else { return }
            throw wrong("'\(String(decoding: part, as: UTF8.self))' does not belong there, or stands there twice")
        }

        private func wait(_ value: ArraySlice<UInt8>) throws(TQError) -> UInt64 {
            guard let milliseconds = DurationText.milliseconds(value) else {
                throw wrong(
                    "'\(String(decoding: value, as: UTF8.self))' is no time; use one such as 250ms, 30s or 1h30m, at most 366d"
                )
            }
            return milliseconds
        }
    }
}
