import Recurrence
import TQModel
import Testing

/// A TZif file, made by hand: what each block says, and the footer.
struct ZoneImage {
    /// With the position of the type that begins there.
    var transitions: [(second: Int, type: UInt8)] = []
    /// Seconds before UTC.
    var offsets: [Int32] = [0]
    var footer: String? = "\n\n"
    var version: UInt8 = UInt8(ascii: "3")
    var leapSeconds: UInt32 = 0
    var standardMarks: UInt32 = 0

    static func footer(_ text: String) -> ZoneImage { ZoneImage(footer: "\n\(text)\n") }

    var bytes: [UInt8] {
        version == 0
            ? block(secondBytes: 4)
            : ZoneImage(footer: nil, version: version).block(secondBytes: 4)
                + block(secondBytes: 8) + Array((footer ?? "").utf8)
    }

    private func block(secondBytes: Int) -> [UInt8] {
        let counts = [0, standardMarks, leapSeconds, UInt32(transitions.count), UInt32(offsets.count), 1]
        return Array("TZif".utf8) + [version] + [UInt8](repeating: 0, count: 15) + counts.flatMap { big($0) }
            + transitions.flatMap { big($0.second).suffix(secondBytes) } + transitions.map(\.type)
            + offsets.flatMap { big($0) + [0, 0] } + [0]
    }

    private func big(_ number: some FixedWidthInteger) -> [UInt8] {
        withUnsafeBytes(of: number.bigEndian) { Array($0) }
    }
}

@Suite("Time zones")
struct ZoneTests {
    private static let name = ZoneName.utc

    private static func rules(_ image: ZoneImage) throws -> ZoneRules { try ZoneRules(file: image.bytes, of: name) }

    @Test("A file of the first version has 32-bit transitions and no footer")
    func firstVersion() throws {
        let rules = try Self.rules(ZoneImage(transitions: [(-100, 1), (100, 0)], offsets: [3600, -60], version: 0))
        #expect([-101, -100, 99, 100, .max, .min].map { rules.offset(at: $0) } == [3600, -60, -60, 3600, 3600, 3600])
    }

    @Test("Without a footer the last transition holds for ever")
    func noFooter() throws {
        let rules = try Self.rules(ZoneImage(transitions: [(-(1 << 40), 1), (1 << 40, 0)], offsets: [7, 9]))
        #expect([.min, 0, 1 << 40, .max].map { rules.offset(at: $0) } == [7, 9, 7, 7])
        #expect(ZoneRules.utc.offset(at: 0) == 0 && ZoneRules.utc.instants(atLocal: 5) == [5])
    }

    @Test("A footer begins at the last transition of the table, before which it says nothing")
    func footerAfterTable() throws {
        var image = ZoneImage.footer("CET-1CEST,M3.5.0,M10.5.0/3")
        let july = Int(try instant("2026-07-01T00:00Z") / 1000)
        image.transitions = [(july, 1)]
        image.offsets = [0, 7200]
        let rules = try Self.rules(image)
        #expect([july - 1, july, july + 184 * 86_400].map { rules.offset(at: $0) } == [0, 7200, 3600])
    }

    @Test("At the begin of a footer's time clocks are put forward from what the table says, not the footer")
    func jumpIntoFooter() throws {
        var image = ZoneImage.footer("CET-1CEST,M3.5.0,M10.5.0/3")
        image.transitions = [(Int(try instant("2026-03-29T01:00Z") / 1000), 1)]
        image.offsets = [0, 7200]
        let tick = try recurrence("daily:01:30").next(after: instant("2026-03-28T12:00Z"), in: Self.rules(image))
        #expect(tick == (try instant("2026-03-29T01:00Z")))
    }

    @Test(
        "A footer's dates are read in every form that RFC 9636 has",
        arguments: [
            // The first second with the other offset, and the two offsets.
            ("CET-1CEST,M3.5.0,M10.5.0/3", "2026-03-29T01:00Z", 3600, 7200),
            ("CET-1CEST,M3.5.0,M10.5.0/3", "2026-10-25T01:00Z", 7200, 3600),
            ("EST5EDT,M3.2.0,M11.1.0", "2026-03-08T07:00Z", -18_000, -14_400),
            ("AEST-10:30AEDT-11,M10.1.0,M4.1.0", "2026-10-03T15:30Z", 37_800, 39_600),
            // A leap day is not counted, or it is.
            ("AAA0BBB,J60/0,J300", "2024-03-01T00:00Z", 0, 3600), ("AAA0BBB,J60/0,J300", "2026-03-01T00:00Z", 0, 3600),
            ("AAA0BBB,59/0,J300", "2024-02-29T00:00Z", 0, 3600), ("AAA0BBB,59/0,J300", "2026-03-01T00:00Z", 0, 3600),
            // Hours beyond the day, which RFC 8536 added: 22:00 on the Saturday before the last Sunday.
            ("<-02>2<-01>,M3.5.0/-1,M10.5.0/0", "2026-03-29T01:00Z", -7200, -3600),
            ("AAA0BBB,M1.1.1/-167,J300", "2025-12-29T01:00Z", 0, 3600),
            ("AAA0BBB,M12.5.0/167,J300", "2026-01-03T23:00Z", 0, 3600),
            // Both in the year after, where the year before that has to say what holds until then.
            ("AAA0BBB,M12.5.0/144,M12.5.0/167", "2029-01-06T00:00Z", 0, 3600),
            ("AAA0BBB,0/0:00:01,J300", "2026-01-01T00:00:01Z", 0, 3600),
            // Summer that is behind: Ireland's winter time.
            ("IST-1GMT0,M10.5.0,M3.5.0/1", "2026-10-25T01:00Z", 3600, 0),
        ]
    )
    func footers(text: String, change: String, before: Int, after: Int) throws {
        let rules = try Self.rules(.footer(text))
        let second = Int(try instant(change) / 1000)
        #expect(rules.offset(at: second - 1) == before)
        #expect(rules.offset(at: second) == after)
    }

    @Test("A footer without summer, or with summer for ever, never changes the clock")
    func constantFooters() throws {
        for (text, offset) in [("<+0330>-3:30", 12_600), ("XXX3EDT4,0/0,J365/23", -14_400), ("AAA-24", 86_400)] {
            let rules = try Self.rules(.footer(text))
            for second in stride(from: -4_000_000_000, to: 8_000_000_000, by: 777_777) {
                #expect(rules.offset(at: second) == offset, "\(text) at \(second)")
            }
        }
    }

    @Test(
        "A footer that is no rule is refused",
        arguments: [
            "A0", "AAA", "<+03-3", "AAA25", "AAA0BBB", "AAA0BBB,J0,J300", "AAA0BBB,J366,J1", "AAA0BBB,366,1",
            "AAA0BBB,M13.1.0,M1.1.0", "AAA0BBB,M1.6.0,M1.1.0", "AAA0BBB,M1.1.7,M1.1.0", "AAA0BBB,M1.1.0/168,M2.1.0",
            "AAA0BBB,M1.1.0", "AAA0BBB,M1.1.0,M2.1.0,", "AAA0:60", "AAA0BBB-,J1,J2", "\u{0}",
        ]
    )
    func wrongFooters(text: String) {
        let error = #expect(throws: TQError.self) { try Self.rules(.footer(text)) }
        #expect(error?.message.contains("is no rule") == true, "\(error?.message ?? "")")
    }

    @Test("A file that is damaged is refused with what is wrong with it")
    func damaged() throws {
        for (image, sentence) in [
            (ZoneImage(version: 1), "byte 4 is 1, which is no version"),
            (ZoneImage(transitions: [(5, 1)]), "type 1 of a transition is not one of 1"),
            (ZoneImage(transitions: [(5, 0), (5, 0)]), "transition 2 is at 5, not later"),
            (ZoneImage(transitions: [(.min, 0)]), "transition 1"), (ZoneImage(offsets: []), "0 types of local time"),
            (ZoneImage(offsets: [94_000]), "more than a day away"),
            (ZoneImage(offsets: [.min]), "more than a day away"),
            (ZoneImage(footer: ""), "the footer"), (ZoneImage(footer: "\nUTC0"), "the footer is no line"),
            (ZoneImage(leapSeconds: 1), "leap seconds"), (ZoneImage(standardMarks: 2), "2 marks for 1 types"),
            (ZoneImage(transitions: (0..<2001).map { ($0, 0) }), "2001 transitions are over the limit"),
        ] {
            let error = #expect(throws: TQError.self) { try Self.rules(image) }
            #expect(error?.code == .invalidArgument)
            #expect(error?.message.contains(sentence) == true, "\(error?.message ?? "") should say: \(sentence)")
        }
        let long = [UInt8](repeating: 0, count: ZoneRules.fileBytesMax + 1)
        #expect(throws: TQError.self) { try ZoneRules(file: long, of: Self.name) }
        #expect(throws: TQError.self) { try ZoneRules(file: Array("not a zone at all".utf8), of: Self.name) }
    }

    @Test("A file that ends early is refused, and one with other bytes never ends the process")
    func mutations() throws {
        let file = try Fixtures.file(of: "America/New_York")
        for count in 0..<file.count {
            #expect(throws: TQError.self) { try ZoneRules(file: Array(file.prefix(count)), of: Self.name) }
        }
        var random = SplitMix64(seed: 5)
        let daily = try recurrence("daily:02:30")
        for _ in 0..<3000 {
            var bytes = file
            for _ in 0...random.next() % 3 {
                bytes[Int(random.next() % UInt64(bytes.count))] = UInt8(truncatingIfNeeded: random.next())
            }
            guard let rules = try? ZoneRules(file: bytes, of: Self.name) else { continue }
            let ticks = daily.upcoming(after: random.next() % Recurrence.millisecondsMax, count: 5, in: rules)
            #expect(zip(ticks, ticks.dropFirst()).allSatisfy { $0 < $1 })
        }
    }

    @Test(
        "A local time is at one instant, at none when it is skipped, and at two when it is repeated",
        arguments: [
            ("Europe/Berlin", "2026-03-29T01:59:59Z", ["2026-03-29T00:59:59Z"]),
            ("Europe/Berlin", "2026-03-29T02:00Z", []),
            ("Europe/Berlin", "2026-03-29T02:59:59Z", []),
            ("Europe/Berlin", "2026-03-29T03:00Z", ["2026-03-29T01:00Z"]),
            ("Europe/Berlin", "2026-10-25T02:30Z", ["2026-10-25T00:30Z", "2026-10-25T01:30Z"]),
            ("Europe/Berlin", "2026-10-25T03:00Z", ["2026-10-25T02:00Z"]),
            ("Australia/Lord_Howe", "2026-04-05T01:45Z", ["2026-04-04T14:45Z", "2026-04-04T15:15Z"]),
            ("Pacific/Apia", "2011-12-30T12:00Z", []), ("Asia/Kolkata", "2026-03-29T02:30Z", ["2026-03-28T21:00Z"]),
        ]
    )
    func localTimes(zone: String, local: String, expected: [String]) throws {
        let rules = try #require(Fixtures.zones[zone])
        let found = rules.instants(atLocal: Int(try instant(local) / 1000))
        #expect(found == (try expected.map { Int(try instant($0) / 1000) }))
    }
}
