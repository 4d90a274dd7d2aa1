/// What a configuration is made from: flags over environment over file over defaults.
public struct ConfigurationInput: Sendable {
    /// Values from the command line, by full key, such as `broker.port`.
    public private(set) var flags: [String: String] = [:]
    /// The environment; only variables that begin with `TQ_` are looked at.
    public var environment: [String: String]
    /// The YAML file; `nil` for none.
    public var filePath: String?
    /// Whether an address that other machines reach is wanted although there are no keys.
    public var isInsecure: Bool

    /// Creates the input of a command without flags.
    public init(environment: [String: String] = [:], filePath: String? = nil, isInsecure: Bool = false) {
        self.environment = environment
        self.filePath = filePath
        self.isInsecure = isInsecure
    }

    /// Takes the value of a flag; `nil`, a flag that was not given, changes nothing.
    public mutating func setFlag(_ path: String, _ value: (some LosslessStringConvertible)?) {
        if let value { flags[path] = value.description }
    }

    /// Takes the argument of `--set`, such as `broker.max_connections=10`.
    public mutating func set(_ assignment: String) throws(ConfigurationError) {
        guard let equals = assignment.firstIndex(of: "=") else {
            throw ConfigurationError(["--set \(assignment): write it as section.key=value"])
        }
        flags[String(assignment[..<equals])] = String(assignment[assignment.index(after: equals)...])
    }
}

/// Where the value of a key came from.
public enum ConfigurationSource: Hashable, Sendable, CustomStringConvertible {
    /// Nobody set it.
    case `default`
    /// The file at that path.
    case file(String)
    /// The environment variable of that name.
    case environment(String)
    /// The flag of that name.
    case flag(String)

    /// The source as a person would name it.
    public var description: String {
        switch self {
        case .default: "default"
        case .file(let path): path
        case .environment(let name): name
        case .flag(let name): name
        }
    }
}

/// Everything that is wrong with a configuration, not only the first thing.
public struct ConfigurationError: Error, Hashable, Sendable, CustomStringConvertible {
    /// One sentence each: the key, where it was set, the value, and the way out.
    public let problems: [String]

    init(_ problems: [String]) { self.problems = problems }

    /// One problem a line.
    public var description: String { problems.joined(separator: "\n") }
}
