import TQModel

/// One key of the configuration: a row of ``ConfigurationSchema``.
public struct ConfigurationKey: Sendable {
    /// The section that the key belongs to.
    public let section: Section
    /// The name inside the section, as it stands in the YAML file.
    public let name: String
    /// Which values the key takes, and which property they set.
    let field: Field
    /// What the key does, in one sentence for people.
    public let summary: String
    /// What a value other than the default leads to in this version.
    public let readiness: Readiness
    /// Whether the value must not be shown.
    public let isSecret: Bool
    /// The command-line flag that sets the key, with its dashes; `nil` for those that only `--set` reaches.
    public let flag: String?

    init(
        _ section: Section,
        _ name: String,
        _ field: Field,
        _ summary: String,
        readiness: Readiness = .active,
        isSecret: Bool = false,
        flag: String? = nil
    ) {
        self.section = section
        self.name = name
        self.field = field
        self.summary = summary
        self.readiness = readiness
        self.isSecret = isSecret
        self.flag = flag
    }

    /// The full name, such as `broker.port`.
    public var path: String { "\(section.rawValue).\(name)" }

    /// The environment variable that sets the key, such as `TQ_BROKER_PORT`.
    public var environmentName: String { "TQ_\(section.rawValue)_\(name)".uppercased() }

    /// The sections of the configuration, in the order of the file.
    public enum Section: String, Sendable, CaseIterable {
        /// The native protocol's listener and what the queues allow.
        case broker
        /// Where and how safely tasks are kept.
        case persistence
        /// Replication between brokers.
        case raft
        /// The listeners of the other protocols.
        case api
        /// Who may connect.
        case auth
        /// Logs and metrics.
        case monitoring
        /// What workers do, and when the broker gives them up.
        case worker
    }

    /// What a value other than the default leads to.
    public enum Readiness: Sendable {
        /// It is obeyed.
        case active
        /// It is checked and kept, and a warning says that nothing obeys it yet.
        case planned
        /// It is refused: to ignore it would be less safe than what was asked for.
        case refused
    }
}

extension ConfigurationKey {
    typealias Property<Value> = any WritableKeyPath<BrokerConfiguration, Value> & Sendable

    /// The kind of a key's values with the property that they set.
    enum Field: Sendable {
        /// A whole number; the range is in the key's own unit, the property in the program's.
        case integer(Property<Int>, ClosedRange<Int>, Unit)
        case boolean(Property<Bool>)
        /// A text that must not be empty.
        case text(Property<String>)
        /// One of a few words.
        case choice(Property<String>, [String])
        /// The path of a file, or nothing.
        case path(Property<String?>)
        /// A YAML list, or words between commas in the environment and on the command line.
        case list(Property<[String]>)
    }

    /// What a number of a key counts; the raw value is how many of the program's units one of them is.
    enum Unit: Int, Sendable {
        case one = 1
        case seconds = 1000
        case days = 86_400_000
        case mebibytes = 1_048_576
    }

    /// The key's value in a configuration, in the key's own unit and as the YAML file would write it.
    public func text(in configuration: BrokerConfiguration) -> String {
        switch field {
        case .integer(let property, _, let unit): "\(configuration[keyPath: property] / unit.rawValue)"
        case .boolean(let property): "\(configuration[keyPath: property])"
        case .text(let property), .choice(let property, _): quoted(configuration[keyPath: property])
        case .path(let property): configuration[keyPath: property].map(quoted) ?? "null"
        case .list(let property): "[\(configuration[keyPath: property].map(quoted).joined(separator: ", "))]"
        }
    }

    /// The default, as the YAML file would write it.
    public var defaultText: String { text(in: BrokerConfiguration()) }

    /// Which values are taken, in words, such as `0 to 65535`.
    public var rangeText: String {
        switch field {
        case .integer(_, let range, .one): "\(range.lowerBound) to \(range.upperBound)"
        case .integer(_, let range, let unit): "\(range.lowerBound) to \(range.upperBound) \(unit.plural)"
        case .boolean: "true or false"
        case .text: "text"
        case .choice(_, let words): words.joined(separator: ", ")
        case .path: "path or null"
        case .list: "list of texts"
        }
    }
}

extension ConfigurationKey.Unit {
    var plural: String {
        switch self {
        case .one: ""
        case .seconds: "seconds"
        case .days: "days"
        case .mebibytes: "MiB"
        }
    }
}

/// A text as a YAML scalar: plain where no reader can misread it, else in double quotes.
private func quoted(_ text: String) -> String {
    let isPlain =
        text.unicodeScalars.allSatisfy { $0.properties.isAlphabetic || "0123456789./_-".unicodeScalars.contains($0) }
        && !text.isEmpty && text.first != "-"
        && !["null", "true", "false", "yes", "no", "on", "off"].contains(text.lowercased())
    if isPlain { return text }
    let escaped = text.unicodeScalars.map { scalar in
        switch scalar {
        case "\"": "\\\""
        case "\\": "\\\\"
        case "\n": "\\n"
        default: scalar.value < 0x20 ? "\\x" + hex(UInt8(scalar.value)) : String(scalar)
        }
    }
    return "\"\(escaped.joined())\""
}

private func hex(_ byte: UInt8) -> String {
    let digits = String(byte, radix: 16)
    return digits.count < 2 ? "0" + digits : digits
}
