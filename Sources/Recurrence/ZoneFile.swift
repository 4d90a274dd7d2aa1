public import TQModel

extension ZoneRules {
    /// The most bytes of a file of a zone: twenty times the largest that there is.
    public static let fileBytesMax = 64 * 1024
    /// The most changes of the clock that a file may list; the C library's limit too.
    static let transitionsMax = 2000

    /// Reads a file of the compiled IANA database: TZif as in RFC 9636, all versions.
    ///
    /// - Parameter name: Whose file it is, for the error.
    /// - Throws: `invalidArgument` with what is wrong with the file.
    public init(file bytes: [UInt8], of name: ZoneName) throws(TQError) {
        do throws(ZoneFileReader.Problem) {
            self = try ZoneFileReader.rules(bytes)
        } catch {
            throw TQError(
                .invalidArgument,
                "The file of the time zone '\(name)' cannot be used: \(error.clause). Use another zone, or repair it."
            )
        }
    }
}

/// Reads a zone's file from its begin to its end; every number is checked before it is used.
private struct ZoneFileReader {
    private var rest: ArraySlice<UInt8>

    struct Problem: Error { let clause: String }

    /// How many of each thing a block holds; in the order in which the header has them.
    private struct Counts {
        var universalMarks, standardMarks, leapSeconds, transitions, types, nameBytes: Int

        func byteCount(secondBytes: Int) -> Int {
            transitions * (secondBytes + 1) + types * 6 + nameBytes + leapSeconds * (secondBytes + 4)
                + standardMarks + universalMarks
        }
    }

    static func rules(_ bytes: [UInt8]) throws(Problem) -> ZoneRules {
        guard bytes.count <= ZoneRules.fileBytesMax else {
            throw Problem(clause: "\(bytes.count) bytes are over the limit of \(ZoneRules.fileBytesMax)")
        }
        var reader = ZoneFileReader(rest: bytes[...])
        let (version, counts) = try reader.header()
        guard version > 0 else { return try reader.block(counts, secondBytes: 4, hasFooter: false) }
        // The same once more for 64 bits; the first block is for readers that know no other.
        _ = try reader.take(counts.byteCount(secondBytes: 4), "the first block")
        return try reader.block(try reader.header().counts, secondBytes: 8, hasFooter: true)
    }

    private mutating func header() throws(Problem) -> (version: UInt8, counts: Counts) {
        let magic = try take(4, "the header")
        guard magic.elementsEqual("TZif".utf8) else { throw Problem(clause: "it is no TZif file") }
        let version = try take(16, "the header").first ?? 0
        guard version == 0 || version >= UInt8(ascii: "2") else {
            throw Problem(clause: "byte 4 is \(version), which is no version")
        }
        var numbers: [Int] = []
        for _ in 0..<6 { numbers.append(try number(4, "the header")) }
        let counts = Counts(
            universalMarks: numbers[0],
            standardMarks: numbers[1],
            leapSeconds: numbers[2],
            transitions: numbers[3],
            types: numbers[4],
            nameBytes: numbers[5]
        )
        return (version, counts)
    }

    private mutating func block(_ counts: Counts, secondBytes: Int, hasFooter: Bool) throws(Problem) -> ZoneRules {
        try check(counts)
        let seconds = try transitionSeconds(counts.transitions, secondBytes: secondBytes)
        let positions = try take(counts.transitions, "the types of the transitions")
        let offsets = try offsets(counts)
        _ = try take(counts.nameBytes + counts.standardMarks + counts.universalMarks, "the block")
        var transitions: [ZoneRules.Transition] = []
        for (second, position) in zip(seconds, positions) {
            guard Int(position) < offsets.count else {
                throw Problem(clause: "type \(position) of a transition is not one of \(offsets.count)")
            }
            transitions.append(ZoneRules.Transition(second: second, offset: offsets[Int(position)]))
        }
        let footer = hasFooter ? try footer() : nil
        return ZoneRules(firstOffset: offsets[0], transitions: transitions, footer: footer)
    }

    private func check(_ counts: Counts) throws(Problem) {
        guard (1...256).contains(counts.types) else {
            throw Problem(clause: "it has \(counts.types) types of local time, not 1 to 256")
        }
        guard counts.transitions <= ZoneRules.transitionsMax else {
            throw Problem(clause: "\(counts.transitions) transitions are over the limit of \(ZoneRules.transitionsMax)")
        }
        guard counts.leapSeconds == 0 else {
            throw Problem(clause: "it counts leap seconds, and tq's clocks have none")
        }
        for marks in [counts.universalMarks, counts.standardMarks] where marks != 0 && marks != counts.types {
            throw Problem(clause: "it has \(marks) marks for \(counts.types) types of local time")
        }
    }

    private mutating func transitionSeconds(_ count: Int, secondBytes: Int) throws(Problem) -> [Int] {
        var seconds: [Int] = []
        for _ in 0..<count {
            let second = try number(secondBytes, "the transitions")
            let signed = secondBytes == 4 ? Int(Int32(truncatingIfNeeded: second)) : second
            guard abs(max(signed, -.max)) <= ZoneRules.secondMax, signed > seconds.last ?? .min else {
                throw Problem(clause: "transition \(seconds.count + 1) is at \(signed), not later than the one before")
            }
            seconds.append(signed)
        }
        return seconds
    }

    /// Of each type of local time.
    private mutating func offsets(_ counts: Counts) throws(Problem) -> [Int] {
        var offsets: [Int] = []
        for _ in 0..<counts.types {
            let offset = Int(Int32(truncatingIfNeeded: try number(4, "the types of local time")))
            let marks = try take(2, "the types of local time")
            guard abs(offset) < ZoneRules.offsetMax else {
                throw Problem(clause: "local time \(offset) seconds before UTC is more than a day away")
            }
            guard let isSummer = marks.first, isSummer <= 1, let name = marks.last, name < counts.nameBytes else {
                throw Problem(clause: "type \(offsets.count) of local time has no name, or is neither summer nor not")
            }
            offsets.append(offset)
        }
        return offsets
    }

    /// Between two ends of lines; an empty one says nothing.
    private mutating func footer() throws(Problem) -> ZoneFooter? {
        guard try take(1, "the footer").first == UInt8(ascii: "\n"), let end = rest.firstIndex(of: UInt8(ascii: "\n"))
        else { throw Problem(clause: "the footer is no line") }
        let line = rest[..<end]
        if line.isEmpty { return nil }
        guard let footer = ZoneFooter(line) else { throw Problem(clause: "the footer \(quoted(line)) is no rule") }
        return footer
    }

    private mutating func take(_ count: Int, _ part: String) throws(Problem) -> ArraySlice<UInt8> {
        guard count <= rest.count else { throw Problem(clause: "it ends within \(part)") }
        defer { rest = rest.dropFirst(count) }
        return rest.prefix(count)
    }

    /// Big-endian.
    private mutating func number(_ byteCount: Int, _ part: String) throws(Problem) -> Int {
        Int(truncatingIfNeeded: try take(byteCount, part).reduce(UInt64(0)) { $0 << 8 | UInt64($1) })
    }
}
