import Foundation
import Recurrence
import TQModel

/// Files that Tests/Fixtures/recurrences.py wrote, and the zones in them.
enum Fixtures {
    /// The zones that are part of the repository, by name.
    static let zones: [String: ZoneRules] = {
        let rows = (try? Fixtures.rows(of: "zones.txt")) ?? []
        let zones = rows.compactMap { row in
            (try? ZoneRules(file: bytes(ofHex: row[1]), of: ZoneName(row[0].utf8))).map { (String(row[0]), $0) }
        }
        return Dictionary(uniqueKeysWithValues: zones)
    }()

    /// The bytes of a zone's file in the repository.
    static func file(of zone: String) throws -> [UInt8] {
        try rows(of: "zones.txt").first { $0[0] == zone }.map { bytes(ofHex: $0[1]) } ?? []
    }

    /// The words of each line.
    static func rows(of name: String) throws -> [[Substring]] {
        let directory = URL(filePath: #filePath).deletingLastPathComponent()
        return try String(contentsOf: directory.appending(path: "../Fixtures/\(name)"), encoding: .utf8)
            .split(separator: "\n").map { $0.split(separator: " ") }
    }

    private static func bytes(ofHex digits: Substring) -> [UInt8] {
        let digits = Array(digits.utf8)
        return stride(from: 0, to: digits.count, by: 2).compactMap {
            UInt8(String(decoding: digits[$0..<min($0 + 2, digits.count)], as: UTF8.self), radix: 16)
        }
    }
}

/// FNV-1a over words of 64 bits, in hexadecimal digits.
func hash(_ words: some Sequence<UInt64>) -> String {
    let hash = words.reduce(0xcbf2_9ce4_8422_2325 as UInt64) { ($0 ^ $1) &* 0x100_0000_01b3 }
    let digits = String(hash, radix: 16)
    return String(repeating: "0", count: 16 - digits.count) + digits
}

/// Whatever a text is a recurrence of.
func recurrence(_ text: String) throws -> Recurrence { try Recurrence(text.utf8) }

/// The milliseconds of an instant in the form of RFC 3339.
func instant(_ text: String) throws -> UInt64 {
    guard case .once(let instant) = try recurrence("at:\(text)").rule else { throw NoInstant(text: text) }
    return instant
}

private struct NoInstant: Error { let text: String }
