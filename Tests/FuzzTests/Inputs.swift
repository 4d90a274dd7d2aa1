import Foundation

/// The inputs that are kept in the repository: a file of hexadecimal lines for each target, small and minimised, and a
/// file for each mistake that was found once.
enum Inputs {
    private static let directory = URL(filePath: #filePath).deletingLastPathComponent()

    /// What reached something new, one input in each line.
    static func corpus(of target: FuzzTarget) throws -> [[UInt8]] {
        let file = directory.appending(path: "Corpus/\(target.name).hex")
        guard let text = try? String(contentsOf: file, encoding: .utf8) else { return [] }
        return try text.split(separator: "\n").map { try bytes(ofHex: $0) }
    }

    /// What ended the process once, by the name of its file.
    static func regressions(of target: FuzzTarget) throws -> [(name: String, bytes: [UInt8])] {
        let path = directory.appending(path: "Regressions/\(target.name)").path
        let names = (try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []
        return try names.sorted().map { ($0, try read("\(path)/\($0)")) }
    }

    /// The lines of a corpus file: those that fit into `byteCountMax` bytes together, the shortest first.
    static func lines(ofDirectory path: String, byteCountMax: Int = 15_000) throws -> String {
        let inputs = try FileManager.default.contentsOfDirectory(atPath: path).map { try read("\(path)/\($0)") }
        var room = byteCountMax
        return inputs.sorted { ($0.count, hex($0)) < ($1.count, hex($1)) }
            .prefix { input in
                room -= input.count
                return room >= 0
            }
            .map { hex($0) + "\n" }.joined()
    }

    static func write(_ inputs: [[UInt8]], toDirectory path: String) throws {
        for (number, input) in inputs.enumerated() {
            try Data(input).write(to: URL(filePath: "\(path)/\(number)"))
        }
    }

    static func hex(_ bytes: [UInt8]) -> String {
        bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
    }

    static func bytes(ofHex digits: some StringProtocol) throws -> [UInt8] {
        let digits = Array(digits.utf8)
        return try stride(from: 0, to: digits.count, by: 2).map { place in
            let pair = String(decoding: digits[place..<min(place + 2, digits.count)], as: UTF8.self)
            guard pair.count == 2, let byte = UInt8(pair, radix: 16) else { throw NotHexadecimal(text: pair) }
            return byte
        }
    }

    /// Text of the repository, by its path there.
    static func text(_ path: String) throws -> String {
        try String(contentsOf: directory.appending(path: "../../\(path)"), encoding: .utf8)
    }

    private static func read(_ path: String) throws -> [UInt8] { [UInt8](try Data(contentsOf: URL(filePath: path))) }

    private struct NotHexadecimal: Error { let text: String }
}
