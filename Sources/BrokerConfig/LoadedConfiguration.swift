/// A configuration that passed every check, with where each value came from.
public struct LoadedConfiguration: Hashable, Sendable {
    /// The values.
    public let configuration: BrokerConfiguration
    /// The source of every key, by full name.
    public let sources: [String: ConfigurationSource]
    /// What the user should know although it is no error, one sentence each.
    public let warnings: [String]
    /// Whether other machines reach the broker while nothing checks who they are; show it in log and health.
    public let isInsecure: Bool

    /// Reads all sources and checks everything.
    ///
    /// - Throws: ``ConfigurationError`` with every problem found.
    public static func load(_ input: ConfigurationInput) throws(ConfigurationError) -> LoadedConfiguration {
        let (layers, keyProblems) = ConfigurationLayer.all(of: input)
        var problems = keyProblems
        var configuration = BrokerConfiguration()
        var sources: [String: ConfigurationSource] = [:]
        for key in ConfigurationSchema.keys {
            sources[key.path] = .default
            guard let layer = layers.first(where: { $0.has(key) }) else { continue }
            let source = layer.source(of: key)
            sources[key.path] = source
            if let problem = key.read(from: layer, into: &configuration) {
                problems.append("\(key.path) (\(source)) \(problem)")
            }
        }
        problems += configuration.contradictions
        problems += configuration.refusals(sources: sources)
        let isExposed = !isLoopback(configuration.broker.host)
        if isExposed, !input.isInsecure { problems.append(exposureProblem(configuration, sources)) }
        guard problems.isEmpty else { throw ConfigurationError(problems) }
        return LoadedConfiguration(
            configuration: configuration,
            sources: sources,
            warnings: configuration.warnings(isExposed: isExposed),
            isInsecure: isExposed
        )
    }

    /// What `--print-config` shows: one line for each key with its value, its source, and no secret.
    public var lines: [String] {
        let entries = ConfigurationSchema.keys.map { key in
            let isHidden = key.isSecret && key.text(in: configuration) != key.defaultText
            return "\(key.path): \(isHidden ? "***" : key.text(in: configuration))"
        }
        let width = entries.map(\.count).max() ?? 0
        return zip(entries, ConfigurationSchema.keys).map { entry, key in
            let source = sources[key.path] ?? .default
            return entry + String(repeating: " ", count: width - entry.count) + "  # \(source)"
        }
    }
}

extension BrokerConfiguration {
    /// Values that are fine one by one, but not together.
    fileprivate var contradictions: [String] {
        guard worker.maxInactivityMilliseconds <= worker.heartbeatIntervalMilliseconds else { return [] }
        return [
            """
            worker.max_inactivity_secs (\(worker.maxInactivityMilliseconds / 1000)) must be greater than \
            worker.heartbeat_interval_secs (\(worker.heartbeatIntervalMilliseconds / 1000)), else every worker is \
            taken for dead between two heartbeats
            """
        ]
    }

    /// Values that this version cannot keep to, where ignoring them would weaken what the user asked for.
    fileprivate func refusals(sources: [String: ConfigurationSource]) -> [String] {
        changedKeys(with: .refused).map { key in
            """
            \(key.path) (\(sources[key.path] ?? .default)) is set, but this version has no such protection yet and \
            does not start as if it had: remove the key
            """
        }
    }

    fileprivate func warnings(isExposed: Bool) -> [String] {
        var warnings = changedKeys(with: .planned).map { "\($0.path) is set, but nothing in this version uses it yet" }
        if isExposed {
            warnings.append("broker.host \(broker.host) lets every machine that reaches it do everything (--insecure)")
        }
        if persistence.walSyncIntervalMilliseconds > 0 {
            warnings.append(
                """
                persistence.wal_sync_interval_ms is \(persistence.walSyncIntervalMilliseconds): a power cut may take \
                that many milliseconds of acknowledged work
                """
            )
        }
        return warnings
    }

    private func changedKeys(with readiness: ConfigurationKey.Readiness) -> [ConfigurationKey] {
        ConfigurationSchema.keys.filter { $0.readiness == readiness && $0.text(in: self) != $0.defaultText }
    }
}

private func exposureProblem(
    _ configuration: BrokerConfiguration,
    _ sources: [String: ConfigurationSource]
) -> String {
    """
    broker.host (\(sources["broker.host"] ?? .default)) is \(configuration.broker.host), which other machines may \
    reach while nothing checks who they are: use 127.0.0.1, or give --insecure if a firewall stands in front
    """
}
