/// One of the five fields of a cron line: which values match, and whether it is written with a `*` in front.
///
/// That `*` matters beyond its values: it decides how the two fields of days are combined and what a change of the
/// clock does, so `*` and `0-59` are different fields.
struct CronField: Hashable, Sendable {
    /// Bit n stands for the value n.
    var values: UInt64
    var isStar: Bool

    /// What a place in the line may say.
    struct Place: Sendable {
        let name: String
        let low: Int
        /// 6 for days of the week, although 7 is read as Sunday.
        let high: Int
        /// The words for its values, the first for ``low``.
        var words: [String] = []

        static let minute = Place(name: "minute", low: 0, high: 59)
        static let hour = Place(name: "hour", low: 0, high: 23)
        static let dayOfMonth = Place(name: "day of month", low: 1, high: 31)
        static let month = Place(
            name: "month",
            low: 1,
            high: 12,
            words: ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"]
        )
        static let dayOfWeek = Place(
            name: "day of week",
            low: 0,
            high: 6,
            words: ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"]
        )
        static let all = [minute, hour, dayOfMonth, month, dayOfWeek]

        /// What may be said, as the end of a sentence.
        var allowed: String {
            guard let first = words.first, let last = words.last else { return "use \(low) to \(high)" }
            return "use \(low) to \(isWeek ? 7 : high), or \(first) to \(last)"
        }

        fileprivate var isWeek: Bool { low == 0 && !words.isEmpty }
        /// A longer step would match one value only, and was probably meant to be another unit.
        fileprivate var stepMax: Int { isWeek ? 7 : high }
    }

    /// A part that cannot be read, as a clause: what it is and what is allowed.
    struct Problem: Error { let clause: String }

    /// Every step-th value of a place from its lowest.
    private static func stepped(by step: Int, in place: Place) -> UInt64 { bits(place.low, place.high, step) }

    private static func bits(_ first: Int, _ last: Int, _ step: Int = 1) -> UInt64 {
        stride(from: first, through: last, by: step).reduce(0) { $0 | 1 << UInt64($1) }
    }
}

// MARK: Reading

extension CronField {
    /// Reads values, ranges, steps and `*`, with commas between them.
    init(_ text: [UInt8], at place: Place) throws(Problem) {
        values = 0
        isStar = text.first == UInt8(ascii: "*")
        for part in text.split(separator: UInt8(ascii: ","), omittingEmptySubsequences: false) {
            values |= try Self.part(part, at: place)
        }
        // Sunday may be 0 or 7.
        if place.isWeek { values = (values | values >> 7) & Self.bits(0, 6) }
    }

    private static func part(_ part: ArraySlice<UInt8>, at place: Place) throws(Problem) -> UInt64 {
        let halves = part.split(separator: UInt8(ascii: "/"), maxSplits: 1, omittingEmptySubsequences: false)
        let step = try halves.count == 2 ? step(halves[1], at: place) : nil
        if halves[0].elementsEqual("*".utf8) { return stepped(by: step ?? 1, in: place) }
        let ends = halves[0].split(separator: UInt8(ascii: "-"), maxSplits: 1, omittingEmptySubsequences: false)
        let first = try value(ends[0], at: place)
        guard ends.count == 2 else {
            guard let step else { return bits(first, first) }
            // Some crons read it as that one value, others as the rest of the range.
            let range = "\(first)-\(place.high)/\(step)"
            throw Problem(clause: "\(place.name) is \(quoted(part)), but a step needs a range, such as \(range)")
        }
        var last = try value(ends[1], at: place)
        // A week that ends on Sunday.
        if place.isWeek, last == 0, first > 0, ends[1].first.map(isLetter) == true { last = 7 }
        guard first <= last else {
            let halves = "\(first)-\(place.high),\(place.low)-\(last)"
            throw Problem(clause: "\(place.name) is \(quoted(part)), which runs backwards; write \(halves)")
        }
        return bits(first, last, step ?? 1)
    }

    private static func value(_ text: ArraySlice<UInt8>, at place: Place) throws(Problem) -> Int {
        let upper = text.prefix(4).map { isLetter($0) ? $0 & 0xdf : $0 }
        if let position = place.words.firstIndex(where: { upper.elementsEqual($0.utf8) }) {
            return place.low + position
        }
        guard let number = shortNumber(text), (place.low...(place.isWeek ? 7 : place.high)).contains(number) else {
            throw Problem(clause: "\(place.name) is \(quoted(text)); \(place.allowed)")
        }
        return number
    }

    private static func step(_ text: ArraySlice<UInt8>, at place: Place) throws(Problem) -> Int {
        guard let step = shortNumber(text), (1...place.stepMax).contains(step) else {
            throw Problem(clause: "the step of \(place.name) is \(quoted(text)); use 1 to \(place.stepMax)")
        }
        return step
    }
}

// MARK: Writing

extension CronField {
    /// The shortest of the usual forms; reads as the same field.
    func text(at place: Place) -> String {
        guard isStar else { return Self.list(values, at: place) }
        // The field was read from a star with some step, so one of them covers nothing else.
        let step = (1...place.stepMax).first { Self.stepped(by: $0, in: place) & ~values == 0 } ?? 1
        let rest = values & ~Self.stepped(by: step, in: place)
        return (step == 1 ? "*" : "*/\(step)") + (rest == 0 ? "" : "," + Self.list(rest, at: place))
    }

    /// One progression, else ranges of neighbours.
    private static func list(_ values: UInt64, at place: Place) -> String {
        // A week is written from Monday to Sunday.
        let ordered = place.isWeek && values & 1 == 1 ? values & ~1 | 1 << 7 : values
        let numbers = (0..<64).filter { ordered >> UInt64($0) & 1 == 1 }
        func word(_ number: Int) -> String {
            place.words.isEmpty ? "\(number)" : place.words[(number - place.low) % place.words.count]
        }
        if let first = numbers.first, let last = numbers.last, numbers.count > 2 {
            let step = numbers[1] - first
            if step > 1, bits(first, last, step) == ordered { return "\(word(first))-\(word(last))/\(step)" }
        }
        var parts: [String] = []
        var rest = numbers[...]
        while let first = rest.first {
            let length = zip(rest, first...).prefix { $0 == $1 }.count
            rest = rest.dropFirst(length > 2 ? length : 1)
            parts.append(length > 2 ? "\(word(first))-\(word(first + length - 1))" : word(first))
        }
        return parts.joined(separator: ",")
    }
}
