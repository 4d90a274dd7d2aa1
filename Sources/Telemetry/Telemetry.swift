import Glibc
public import Logging

/// How the lines of a log look.
public enum LogFormat: Sendable {
    /// One JSON object a line, for machines.
    case json
    /// For people; coloured on a terminal unless `NO_COLOR` says otherwise.
    case text
}

/// Sends everything that is logged to standard error from now on; call it once, before the first logger is made.
public func bootstrapLogging(_ format: LogFormat, level: Logger.Level = .info) {
    let isColored = format == .text && isatty(STDERR_FILENO) == 1 && !hasNoColor()
    LoggingSystem.bootstrap(
        { _, provider in
            switch format {
            case .json:
                var handler = JSONLogHandler(level: level)
                handler.metadataProvider = provider
                return handler
            case .text:
                var handler = TextLogHandler(level: level, isColored: isColored)
                handler.metadataProvider = provider
                return handler
            }
        },
        metadataProvider: nil
    )
}

/// Whether the user wants no colours: `NO_COLOR` is set and not empty (no-color.org).
private func hasNoColor() -> Bool {
    guard let value = getenv("NO_COLOR") else { return false }
    return value.pointee != 0
}
