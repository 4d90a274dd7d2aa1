import Configuration

/// One source of values: what a provider of swift-configuration read from it.
struct ConfigurationLayer {
    private enum Origin {
        case flags
        case environment
        case file(String)
    }

    private let origin: Origin
    private let snapshot: any ConfigSnapshot

    /// The layers of an input, the strongest first, and what is wrong with their keys.
    static func all(of input: ConfigurationInput) -> (layers: [ConfigurationLayer], problems: [String]) {
        var layers = [flags(input.flags), environment(input.environment)]
        var problems = unknownFlags(input.flags) + unknownVariables(input.environment)
        if let path = input.filePath {
            do throws(ConfigurationError) {
                if let file = try ConfigurationFile.read(path) {
                    layers.append(ConfigurationLayer(origin: .file(path), snapshot: file.snapshot))
                    problems += file.unknownKeys
                }
            } catch {
                problems += error.problems
            }
        }
        return (layers, problems)
    }

    /// Flags hold text, so the provider for text decodes them, under the names of the environment.
    private static func flags(_ flags: [String: String]) -> ConfigurationLayer {
        let named = flags.compactMap { path, value in
            ConfigurationSchema.key(path).map { ($0.environmentName, value) }
        }
        return ConfigurationLayer(origin: .flags, snapshot: textSnapshot(Dictionary(named) { $1 }))
    }

    /// An empty variable counts as one that is not there: `TQ_BROKER_HOST= tq-broker` takes the default.
    private static func environment(_ environment: [String: String]) -> ConfigurationLayer {
        let values = environment.filter { !$0.value.isEmpty && !isServiceLink($0.key, value: $0.value) }
        return ConfigurationLayer(origin: .environment, snapshot: textSnapshot(values))
    }

    private static func textSnapshot(_ values: [String: String]) -> any ConfigSnapshot {
        EnvironmentVariablesProvider(environmentVariables: values).snapshot()
    }

    /// Whether this source says anything about the key.
    ///
    /// A value of the wrong type makes the lookup throw, but it is there.
    func has(_ key: ConfigurationKey) -> Bool {
        do {
            return try snapshot.value(forKey: absoluteKey(key), type: key.valueType).value != nil
        } catch {
            return true
        }
    }

    /// The key's source, as errors and `--print-config` name it.
    func source(of key: ConfigurationKey) -> ConfigurationSource {
        switch origin {
        case .flags: .flag(key.flag ?? "--set \(key.path)")
        case .environment: .environment(key.environmentName)
        case .file(let path): .file(path)
        }
    }

    /// The key's value as that type; `nil` when it is none.
    func content(of key: ConfigurationKey, as type: ConfigType) -> ConfigContent? {
        guard let found = try? snapshot.value(forKey: absoluteKey(key), type: type) else { return nil }
        return found.value?.content
    }

    /// The key's value as it was written, for error messages.
    func writtenText(of key: ConfigurationKey) -> String? {
        guard case .string(let text) = content(of: key, as: .string) else { return nil }
        return text
    }

    private func absoluteKey(_ key: ConfigurationKey) -> AbsoluteConfigKey {
        switch origin {
        case .flags, .environment: AbsoluteConfigKey(["tq", key.section.rawValue, key.name])
        case .file: AbsoluteConfigKey([key.section.rawValue, key.name])
        }
    }
}
