import BrokerConfig

extension FuzzTarget {
    /// The three sources of a broker's settings, with a zero byte between them.
    static let configuration = FuzzTarget(
        name: "configuration",
        summary: "flags, environment and YAML file: what cannot be read is named, what can is shown",
        seeds: {
            let file = try Inputs.text("config/tq-broker.yaml").split(separator: "\n").filter { !$0.contains("#") }
            let text = file.joined(separator: "\n")
            return [
                "broker.port=1\0TQ_BROKER_HOST=::1\0broker: {port: 2}\n", "\0\0" + text.prefix(600),
                "\0\0" + text.suffix(600), "raft.peers=a,b\0TQ_API_REST_PORT=x\0auth:\n  api_keys: [a, b]\n",
            ].map { Array($0.utf8) }
        },
        run: { bytes in
            let parts = bytes.split(separator: 0, maxSplits: 2, omittingEmptySubsequences: false)
            let lines = parts.prefix(2).map { String(decoding: $0, as: UTF8.self).split(separator: "\n") }
            var environment: [String: String] = [:]
            for line in lines.dropFirst().first ?? [] {
                let sides = line.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
                environment[String(sides[0])] = sides.count == 2 ? String(sides[1]) : ""
            }
            ScratchFile.with(parts.count == 3 ? Array(parts[2]) : []) { path in
                var input = ConfigurationInput(environment: environment, filePath: path, isInsecure: true)
                for line in lines.first ?? [] { try? input.set(String(line)) }
                do throws(ConfigurationError) {
                    expect(!(try LoadedConfiguration.load(input)).lines.isEmpty, "nothing is shown")
                } catch {
                    expect(!error.problems.isEmpty && !error.description.isEmpty, "an error without words")
                }
            }
        }
    )
}
