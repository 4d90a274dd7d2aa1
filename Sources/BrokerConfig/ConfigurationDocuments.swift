extension ConfigurationSchema {
    /// The text of config/tq-broker.yaml: every key with its default and what it does.
    public static var exampleFile: String {
        let head = """
            # Every setting of tq-broker with its default. The file is optional, and so is every key in it.
            # A flag wins over an environment variable, that wins over this file: see docs/configuration.md.
            """
        let sections = ConfigurationKey.Section.allCases.map { section in
            let entries = keys.filter { $0.section == section }.map(\.exampleEntry)
            return "\n# \(section.summary)\n\(section.rawValue):\n" + entries.joined(separator: "\n")
        }
        return head + "\n" + sections.joined(separator: "\n") + "\n"
    }

    /// The tables of docs/configuration.md, one for each section.
    public static var referenceTables: String {
        let sections = ConfigurationKey.Section.allCases.map { section in
            let head = """
                ## \(section.rawValue)

                \(section.summary)

                | key | default | values | environment, flag | what it does |
                |---|---|---|---|---|
                """
            return ([head] + keys.filter { $0.section == section }.map(\.referenceRow)).joined(separator: "\n")
        }
        return sections.joined(separator: "\n\n")
    }
}

extension ConfigurationKey {
    fileprivate var exampleEntry: String {
        """
          # \(summary)
          # \(rangeText)\(readiness.note.map { "; \($0)" } ?? "")
          \(name): \(defaultText)
        """
    }

    fileprivate var referenceRow: String {
        let ways = [environmentName, flag].compactMap { $0 }.map { "`\($0)`" }.joined(separator: ", ")
        let note = readiness.note.map { " *\($0.capitalizedFirst).*" } ?? ""
        return "| `\(path)` | `\(defaultText)` | \(rangeText) | \(ways) | \(summary)\(note) |"
    }
}

extension ConfigurationKey.Readiness {
    fileprivate var note: String? {
        switch self {
        case .active: nil
        case .planned: "not in use yet"
        case .refused: "not in use yet, so the broker refuses another value"
        }
    }
}

extension ConfigurationKey.Section {
    fileprivate var summary: String {
        switch self {
        case .broker: "The native protocol's listener and what the queues allow."
        case .persistence: "Where and how safely tasks are kept."
        case .raft: "Replication between brokers."
        case .api: "The listeners of the other protocols."
        case .auth: "Who may connect."
        case .monitoring: "Logs and metrics."
        case .worker: "What workers do, and when the broker gives them up."
        }
    }
}

extension String {
    fileprivate var capitalizedFirst: String { prefix(1).uppercased() + dropFirst() }
}
