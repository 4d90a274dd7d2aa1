public import Logging

/// Writes lines for people: the time of day, the level, the message, then the metadata as `name=value`.
public struct TextLogHandler: LogHandler {
    /// The least severe level that is written.
    public var logLevel: Logger.Level
    /// Metadata of every line of this logger.
    public var metadata: Logger.Metadata = [:]
    /// Asked at each line for more metadata.
    public var metadataProvider: Logger.MetadataProvider?
    private let isColored: Bool
    private let output: LogOutput

    /// Creates a handler that writes to standard error, or to another output.
    public init(level: Logger.Level = .info, isColored: Bool, output: LogOutput = .standardError) {
        self.logLevel = level
        self.isColored = isColored
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
        let line = line(level: event.level, message: "\(event.message)", fields, at: wallMillisecondsNow())
        output.write(Array(line.utf8))
    }

    func line(
        level: Logger.Level,
        message: String,
        _ fields: [(name: String, value: Logger.Metadata.Value)],
        at wallMilliseconds: Int64
    ) -> String {
        let time = rfc3339(wallMilliseconds: wallMilliseconds).dropFirst("2026-11-21T".count).dropLast()
        let word = level.rawValue.uppercased()
        let label = word + String(repeating: " ", count: "CRITICAL".count - word.count)
        let details = fields.map { "\(painted("\($0.name.printable)=", .dim))\(shown($0.value))" }
        return ([painted(String(time), .dim), painted(label, color(of: level)), message.printable] + details)
            .joined(separator: " ") + "\n"
    }

    private func shown(_ value: Logger.Metadata.Value) -> String {
        let text = "\(value)".printable
        return text.isEmpty || text.contains(where: \.isWhitespace) ? "\"\(text)\"" : text
    }

    private enum Color: String {
        case dim = "2"
        case red = "31"
        case yellow = "33"
        case green = "32"
        case cyan = "36"
    }

    private func color(of level: Logger.Level) -> Color {
        switch level {
        case .trace, .debug: .cyan
        case .info, .notice: .green
        case .warning: .yellow
        case .error, .critical: .red
        }
    }

    private func painted(_ text: String, _ color: Color) -> String {
        isColored ? "\u{1b}[\(color.rawValue)m\(text)\u{1b}[0m" : text
    }
}
