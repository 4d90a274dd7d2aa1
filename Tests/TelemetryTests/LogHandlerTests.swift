import Foundation
import Logging
import Synchronization
import Testing

@testable import Telemetry

/// Collects the lines of a log.
private final class Lines: Sendable {
    private let collected = Mutex<[[UInt8]]>([])

    var output: LogOutput { LogOutput { line in self.collected.withLock { $0.append(line) } } }
    var all: [String] { collected.withLock { $0.map { String(decoding: $0, as: UTF8.self) } } }

    func objects() throws -> [NSDictionary] {
        try collected.withLock { $0 }.map { line in
            try #require(try JSONSerialization.jsonObject(with: Data(line)) as? NSDictionary)
        }
    }
}

@Suite("JSON log lines")
struct JSONLogHandlerTests {
    private let lines = Lines()

    private func logger(level: Logger.Level = .info) -> Logger {
        var logger = Logger(label: "test") { _ in JSONLogHandler(level: level, output: lines.output) }
        logger.logLevel = level
        return logger
    }

    @Test("a line is one JSON object with time, level, message and the metadata beside them")
    func fields() throws {
        logger().warning(
            "task done",
            metadata: ["task_id": "0190", "duration_ms": "\(12)", "attempt": .stringConvertible(2)]
        )
        let line = try #require(lines.all.first)
        #expect(line.hasSuffix("}\n"))
        #expect(line.filter { $0 == "\n" }.count == 1)
        let object = try #require(try lines.objects().first)
        #expect(object["level"] as? String == "warning")
        #expect(object["message"] as? String == "task done")
        #expect(object["task_id"] as? String == "0190")
        #expect(object["attempt"] as? Int == 2)
        let time = try #require(object["timestamp"] as? String)
        #expect(time.wholeMatch(of: /\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z/) != nil)
    }

    @Test("numbers and truth values are not quoted, and what JSON has no number for is")
    func types() {
        logger().info(
            "m",
            metadata: [
                "a": .stringConvertible(12.5), "b": .stringConvertible(true), "c": .stringConvertible(UInt64.max),
                "d": .stringConvertible(Double.nan), "e": .array(["x", .stringConvertible(1)]),
                "f": .stringConvertible(1e300),
            ]
        )
        let end = #""message":"m","a":12.5,"b":true,"c":18446744073709551615,"d":"nan","e":["x",1],"f":1e+300}"# + "\n"
        #expect(lines.all.first?.hasSuffix(end) == true, "\(lines.all)")
    }

    @Test("dictionaries are flattened, and metadata cannot replace time, level or message")
    func names() throws {
        logger().info("m", metadata: ["lease": ["id": "1", "of": ["queue": "q"]], "level": "high", "message": "no"])
        let object = try #require(try lines.objects().first)
        #expect(object["lease.id"] as? String == "1")
        #expect(object["lease.of.queue"] as? String == "q")
        #expect(object["metadata.level"] as? String == "high")
        #expect(object["metadata.message"] as? String == "no")
        #expect(object["level"] as? String == "info")
        #expect(object["message"] as? String == "m")
    }

    @Test("any text survives the way through a JSON parser, on one line")
    func escaping() throws {
        let seed = UInt64.random(in: 0...UInt64.max)
        var generator = Generator(state: seed)
        let scalars = (0..<0x300).compactMap(Unicode.Scalar.init) + ["\u{2028}", "\u{1F600}", "\u{10FFFF}"]
        var texts = [String(String.UnicodeScalarView(scalars.prefix(0x100)))]
        for _ in 0..<200 {
            texts.append(
                String(String.UnicodeScalarView((0..<20).compactMap { _ in scalars.randomElement(using: &generator) }))
            )
        }
        for text in texts { logger().info("\(text)", metadata: ["k\(text)": "\(text)"]) }
        let objects = try lines.objects()
        for (text, object) in zip(texts, objects) {
            #expect(
                (object["message"] as? String)?.unicodeScalars.elementsEqual(text.unicodeScalars) == true,
                "seed \(seed)"
            )
        }
        #expect(lines.all.allSatisfy { line in line.utf8.filter { $0 == 10 }.count == 1 })
    }

    @Test("levels below the logger's are not written")
    func levels() {
        logger(level: .warning).info("hidden")
        logger(level: .warning).error("shown")
        #expect(lines.all.count == 1)
    }

    @Test("the event's metadata wins over the logger's, that over the provider's")
    func precedence() throws {
        var handler = JSONLogHandler(output: lines.output)
        handler.metadataProvider = .init { ["a": "provider", "b": "provider", "c": "provider"] }
        var logger = Logger(label: "test", factory: { _ in handler })
        logger[metadataKey: "b"] = "logger"
        logger[metadataKey: "c"] = "logger"
        logger.info("m", metadata: ["c": "event"])
        let object = try #require(try lines.objects().first)
        #expect(["a", "b", "c"].map { object[$0] as? String } == ["provider", "logger", "event"])
    }

    @Test(
        "times are RFC 3339 in UTC with milliseconds",
        arguments: [
            (0, "1970-01-01T00:00:00.000Z"), (951_782_400_001, "2000-02-29T00:00:00.001Z"),
            (1_795_235_696_789, "2026-11-21T04:34:56.789Z"), (-1, "1969-12-31T23:59:59.999Z"),
            (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
        ]
    )
    func times(milliseconds: Int, text: String) {
        #expect(rfc3339(wallMilliseconds: Int64(milliseconds)) == text)
    }
}

@Suite("Log lines for people")
struct TextLogHandlerTests {
    private let lines = Lines()

    @Test("a line shows time, level, message and metadata")
    func plain() throws {
        let logger = Logger(label: "test") { _ in TextLogHandler(isColored: false, output: lines.output) }
        logger.info("broker ready", metadata: ["port": .stringConvertible(6379), "reason": "two words"])
        let line = try #require(lines.all.first)
        #expect(line.dropFirst(12) == " INFO     broker ready port=6379 reason=\"two words\"\n")
    }

    @Test("control characters neither break the line nor steer the terminal")
    func control() throws {
        let logger = Logger(label: "test") { _ in TextLogHandler(isColored: false, output: lines.output) }
        logger.info("a\nb\u{1b}[2J\u{202e}", metadata: ["k\n": "\u{7}"])
        let line = try #require(lines.all.first)
        #expect(line.unicodeScalars.filter { $0.value < 0x20 } == ["\n"])
        #expect(!line.unicodeScalars.contains("\u{202e}"))
    }

    @Test("colours are used only where asked for")
    func colors() throws {
        let logger = Logger(label: "test") { _ in TextLogHandler(isColored: true, output: lines.output) }
        logger.error("m")
        #expect(lines.all.first?.contains("\u{1b}[31mERROR") == true)
    }
}

/// A seeded generator (xorshift64*), so that a failure can be repeated.
private struct Generator: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        if state == 0 { state = 1 }
        state ^= state >> 12
        state ^= state << 25
        state ^= state >> 27
        return state &* 0x2545_f491_4f6c_dd1d
    }
}
