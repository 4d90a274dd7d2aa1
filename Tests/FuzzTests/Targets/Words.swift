import TQClient
import TQModel
import Telemetry

@testable import CommandLineSupport

extension FuzzTarget {
    /// What people and peers write as text; the same text goes through every reader.
    static let words = FuzzTarget(
        name: "words",
        summary: "task ids, names, patterns, priorities, addresses, durations and times; and text on a terminal",
        seeds: {
            [
                "018bcfe5-6800-7000-9624-b94a76a091e8", "mail.*", "critical", "255", "a:1, [::1]:7000,b", "1h30m250ms",
                "2026-11-21T06:34:56.5+02:00", "\u{1b}[0m\u{202e}日本👩‍👩‍👧", "[]:1", "60",
            ].map { Array($0.utf8) }
        },
        run: { Words.check($0) }
    )
}

private enum Words {
    static func check(_ bytes: [UInt8]) {
        let text = String(decoding: bytes, as: UTF8.self)
        if let id = TaskID(text) { expectEqual(TaskID(id.description), id, "A task id is read as another one.") }
        if let priority = Priority(text) { expectEqual(priority.rank.priority, priority, "A priority changes.") }
        if let addresses = try? BrokerAddress.list(text) {
            let written = addresses.map(\.description).joined(separator: ",")
            expectEqual(try? BrokerAddress.list(written), addresses, "Addresses are read as others: \(written)")
        }
        if let duration = DurationArgument(argument: text) {
            expect(duration.milliseconds <= Limits.durationMillisecondsMax, "\(text) is longer than is allowed")
            expect(!duration.description.isEmpty, "\(text) is shown as nothing")
        }
        if let time = TimestampArgument(argument: text) {
            expect(!relativeTime(wallMilliseconds: time.wallMilliseconds, now: 1).isEmpty, "\(text) is no time")
        }
        check(Name(bytes: bytes[...]), bytes)
        check(text)
    }

    private static func check(_ name: Name, _ bytes: [UInt8]) {
        if name.isValid {
            expectEqual(Array(name.description.utf8), bytes, "A name is shown as another one.")
            expect(TypePattern(bytes: bytes[...]).matches(bytes[...]), "\(name) does not match itself")
        }
        let pattern = TypePattern(bytes: bytes[...])
        if pattern.isValid {
            expect(pattern.matches(bytes.dropLast()[...]) || name.isValid, "\(pattern) matches nothing")
        }
    }

    private static func check(_ text: String) {
        expectEqual(text.printable.printable, text.printable, "What is printable is made printable again.")
        for width in [1, 7] {
            expect(text.truncated(toWidth: width).displayWidth <= width, "\(text) is cut to more than \(width) columns")
        }
        var json = ""
        json.appendJSONString(text)
        expect(!json.contains("\n") && !json.contains("\0"), "\(json) is no line of JSON")
    }
}
