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
    let isColored = format == .text && wantsColor(descriptor: STDERR_FILENO)
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

/// Whether coloured text suits what is written to a descriptor: a terminal, unless `NO_COLOR` is set (no-color.org).
public func wantsColor(descriptor: Int32) -> Bool {
    let isRefused = getenv("NO_COLOR").map { $0.pointee != 0 } ?? false
    return isatty(descriptor) == 1 && !isRefused
}
