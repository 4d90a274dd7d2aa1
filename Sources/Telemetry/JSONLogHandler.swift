public import Logging

/// Writes one JSON object a line: `timestamp`, `level`, `message`, then the metadata in order of name.
///
/// Metadata stands beside the message, not below a key of its own; a dictionary in it becomes `name.inner`. Numbers and
/// truth values stay what they are, so that `duration_ms` can be compared without parsing.
public struct JSONLogHandler: LogHandler {
    /// The least severe level that is written.
    public var logLevel: Logger.Level
    /// Metadata of every line of this logger.
    public var metadata: Logger.Metadata = [:]
    /// Asked at each line for more metadata.
    public var metadataProvider: Logger.MetadataProvider?
    private let output: LogOutput

    /// Creates a handler that writes to standard error, or to another output.
    public init(level: Logger.Level = .info, output: LogOutput = .standardError) {
        self.logLevel = level
        self.output = output
    }

    /// One value of the metadata that every line of this logger has.
    public subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    /// Writes one line.
    public func log(event: LogEvent) {
        let fields = fields(of: event, metadata: metadata, provider: metadataProvider)
        output.write(Self.line(level: event.level, message: "\(event.message)", fields, at: wallMillisecondsNow()))
    }

    static func line(
        level: Logger.Level,
        message: String,
        _ fields: [(name: String, value: Logger.Metadata.Value)],
        at wallMilliseconds: Int64
    ) -> [UInt8] {
        var text = "{\"timestamp\":\"\(rfc3339(wallMilliseconds: wallMilliseconds))\",\"level\":\"\(level.rawValue)\""
        text += ",\"message\":"
        text.appendJSONString(message)
        for (name, value) in fields {
            text += ","
            text.appendJSONString(reservedNames.contains(name) ? "metadata.\(name)" : name)
            text += ":"
            append(value, to: &text)
        }
        text += "}\n"
        return Array(text.utf8)
    }

    private static let reservedNames: Set<String> = ["timestamp", "level", "message"]

    private static func append(_ value: Logger.Metadata.Value, to text: inout String) {
        switch value {
        case .string(let string): text.appendJSONString(string)
        case .stringConvertible(let value): append(value, to: &text)
        case .array(let values):
            text += "["
            for (position, value) in values.enumerated() {
                if position > 0 { text += "," }
                append(value, to: &text)
            }
            text += "]"
        case .dictionary(let values):
            text += "{"
            for (position, entry) in values.sorted(by: { $0.key < $1.key }).enumerated() {
                if position > 0 { text += "," }
                text.appendJSONString(entry.key)
                text += ":"
                append(entry.value, to: &text)
            }
            text += "}"
        }
    }

    private static func append(_ value: any CustomStringConvertible & Sendable, to text: inout String) {
        switch value {
        case let number as any BinaryInteger: text += "\(number)"
        case let number as Double where number.isFinite: text += "\(number)"
        case let number as Float where number.isFinite: text += "\(number)"
        case let flag as Bool: text += "\(flag)"
        default: text.appendJSONString(value.description)
        }
    }
}
