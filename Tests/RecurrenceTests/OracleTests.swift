import Foundation
import Recurrence
import TQModel
import Testing

/// What other programs found: see Tests/Fixtures/recurrences.py.
@Suite("Recurrences as croniter and zoneinfo see them")
struct OracleTests {
    /// One cron line with what is expected of it in each zone.
    struct Case: Sendable, CustomTestStringConvertible {
        let start: UInt64
        let end: UInt64
        let line: String
        var rows: [Row] = []

        struct Row: Sendable {
            let zone: String
            let count: Int
            let hash: String
            let first: [UInt64]
        }

        var testDescription: String { line }
    }

    private static let cases: [Case] = {
        var cases: [Case] = []
        for row in (try? Fixtures.rows(of: "recurrences.txt")) ?? [] {
            if row[0] == "line" {
                let line = row[3...].joined(separator: " ")
                cases.append(Case(start: UInt64(row[1]) ?? 0, end: UInt64(row[2]) ?? 0, line: line))
            } else {
                let first = row.count > 3 ? row[3].split(separator: ",").compactMap { UInt64($0) } : []
                let expected = Case.Row(
                    zone: String(row[0]),
                    count: Int(row[1]) ?? -1,
                    hash: String(row[2]),
                    first: first
                )
                cases[cases.count - 1].rows.append(expected)
            }
        }
        return cases
    }()

    @Test("The fixture has at least 200 lines in at least 6 zones")
    func size() {
        #expect(Self.cases.count >= 200)
        #expect(Self.cases.allSatisfy { $0.rows.count >= 6 })
        #expect(Set(Self.cases.flatMap(\.rows).map(\.zone)) == Set(Fixtures.zones.keys))
    }

    @Test("A cron line is due when croniter, zoneinfo and Debian's rule say so, in every zone")
    func ticks() throws {
        for expected in Self.cases {
            for row in expected.rows {
                let rules = try #require(Fixtures.zones[row.zone])
                let recurrence = try recurrence("cron:\(expected.line) \(row.zone)")
                let ticks = recurrence.ticks(
                    after: expected.start * 1000 - 1,
                    through: expected.end * 1000 - 1,
                    countMax: .max,
                    in: rules
                ).map { $0 / 1000 }
                #expect(Array(ticks.prefix(row.first.count)) == row.first, "\(expected.line) \(row.zone)")
                #expect(ticks.count == row.count && hash(ticks) == row.hash, "\(expected.line) \(row.zone)")
            }
        }
    }

    /// The same instants that the script drew.
    private static let seconds: [Int] = {
        var random = SplitMix64(seed: 1900)
        return (0..<300).map { _ in Int(random.next() % 9_467_000_000) - 2_208_988_800 }
    }()

    private static func offsets(_ rules: ZoneRules) -> String {
        hash(seconds.map { UInt64(bitPattern: Int64(rules.offset(at: $0))) })
    }

    private static func expectedOffsets() throws -> [[String]] {
        try Fixtures.rows(of: "zone-offsets.txt").map { $0.map(String.init) }
    }

    @Test("The zones of the repository have the offsets of zoneinfo from 1900 to 2200")
    func offsetsOfFixtures() throws {
        let rows = try Self.expectedOffsets()
        for (name, rules) in Fixtures.zones {
            let file = hash(try Fixtures.file(of: name).map { UInt64($0) })
            let row = try #require(rows.first { $0[0] == name && $0[1] == file })
            #expect(Self.offsets(rules) == row[2], "\(name)")
        }
    }

    /// Another edition of the database has other files; those that are the same must have the same offsets.
    @Test("The zones of this machine have the offsets of zoneinfo from 1900 to 2200")
    func offsetsOfMachine() throws {
        let directory = URL(filePath: "/usr/share/zoneinfo")
        for row in try Self.expectedOffsets() {
            guard let file = try? Data(contentsOf: directory.appending(path: row[0])) else { continue }
            let rules = try ZoneRules(file: [UInt8](file), of: ZoneName(row[0].utf8))
            guard hash(file.map { UInt64($0) }) == row[1] else { continue }
            #expect(Self.offsets(rules) == row[2], "\(row[0])")
        }
    }
}
