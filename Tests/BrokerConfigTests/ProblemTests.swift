import BrokerConfig
import Testing

@Suite("Mistakes in the configuration")
struct ProblemTests {
    private func problems(_ input: ConfigurationInput) -> [String] {
        do {
            _ = try LoadedConfiguration.load(input)
            return []
        } catch {
            return error.problems
        }
    }

    private func problems(file: String) throws -> [String] {
        try withFile(file) { path in
            problems(ConfigurationInput(filePath: path)).map { $0.replacing(path, with: "config.yaml") }
        }
    }

    @Test("an unknown key is named with its file and the nearest key")
    func unknownKey() throws {
        let found = try problems(file: "broker:\n  prot: 6379\n")
        #expect(found == ["unknown key 'broker.prot' in config.yaml; did you mean 'broker.port'?"])
    }

    @Test(
        "the suggestion finds typing mistakes, wrong sections and nested keys",
        arguments: [
            ("borker: {port: 1}", "'broker.port'"),
            ("broker: {data_dir: /d}", "'persistence.data_dir'"),
            ("monitoring: {loglevel: info}", "'monitoring.log_level'"),
            ("port: 6379", "'broker.port'"),
            ("persistence: {wal_sync_interval: 5}", "'persistence.wal_sync_interval_ms'"),
        ]
    )
    func suggestions(file: String, suggested: String) throws {
        let found = try problems(file: file)
        #expect(found.count == 1)
        #expect(found.first?.hasSuffix("did you mean \(suggested)?") == true, "\(found)")
    }

    @Test("an unknown variable is named with the nearest one")
    func unknownVariable() {
        #expect(
            problems(ConfigurationInput(environment: ["TQ_BROKER_PROT": "1"]))
                == ["unknown variable TQ_BROKER_PROT; did you mean TQ_BROKER_PORT?"]
        )
        #expect(
            problems(ConfigurationInput(environment: ["TQ_BORKER_PORT": "1"]))
                == ["unknown variable TQ_BORKER_PORT; did you mean TQ_BROKER_PORT?"]
        )
        #expect(
            problems(ConfigurationInput(environment: ["TQ_RAFT_SOMETHING": "1"]))
                == ["unknown variable TQ_RAFT_SOMETHING"]
        )
    }

    @Test("an unknown key of --set is an error, and so is an argument without a value")
    func unknownFlag() throws {
        var input = ConfigurationInput()
        try input.set("broker.prot=1")
        #expect(problems(input) == ["unknown key 'broker.prot' in --set; did you mean 'broker.port'?"])
        #expect(throws: ConfigurationError.self) { try input.set("broker.port") }
    }

    @Test("a value out of range or of the wrong kind is named with key, source and range")
    func values() throws {
        #expect(
            problems(ConfigurationInput(environment: ["TQ_BROKER_PORT": "70000"]))
                == ["broker.port (TQ_BROKER_PORT) is 70000, must be a whole number from 0 to 65535"]
        )
        #expect(
            try problems(file: "broker: {port: abc, max_connections: [1], host: }")
                == [
                    "broker.host (config.yaml) is empty, must be a text",
                    "broker.port (config.yaml) is 'abc', must be a whole number from 0 to 65535",
                    "broker.max_connections (config.yaml) is of another kind, must be a whole number from 1 to 1000000",
                ]
        )
        #expect(try problems(file: "monitoring: {log_level: loud}").count == 1)
        #expect(try problems(file: "persistence: {auto_compact: perhaps}").count == 1)
        #expect(try problems(file: "raft: {peers: one}").count == 1)
    }

    @Test("every number is refused just outside its range, with the range in the message")
    func ranges() throws {
        var count = 0
        for key in ConfigurationSchema.keys where Int(key.defaultText) != nil {
            for value in [-1, Int.max] {
                let found = problems(ConfigurationInput(environment: [key.environmentName: "\(value)"]))
                #expect(
                    found == [
                        "\(key.path) (\(key.environmentName)) is \(value), must be a whole number from \(key.rangeText)"
                    ]
                )
                count += 1
            }
        }
        #expect(count > 30)
    }

    @Test("all mistakes are reported at once")
    func all() {
        let found = problems(
            ConfigurationInput(environment: ["TQ_BROKER_PORT": "x", "TQ_WORKER_CONCURRENCY": "0", "TQ_RAFT_X": "1"])
        )
        #expect(found.count == 3)
    }

    @Test("a key that this version cannot keep to is refused where ignoring it would be less safe")
    func refused() throws {
        for setting in [
            "auth: {enabled: true}", "auth: {api_keys: [secret-1]}", "api: {enable_tls: true}", "raft: {enabled: true}",
        ] {
            let found = try problems(file: setting)
            #expect(found.count == 1)
            #expect(found.first?.contains("no such protection yet") == true)
            #expect(found.first?.contains("secret-1") == false)
        }
    }

    @Test("a key that is not in use yet is taken with one warning")
    func planned() throws {
        let loaded = try withFile("api: {rest_port: 8081}\nraft: {node_id: node1}\n") {
            try LoadedConfiguration.load(ConfigurationInput(filePath: $0))
        }
        #expect(loaded.warnings == ["api.rest_port is set, but nothing in this version uses it yet"])
    }

    @Test(
        "an address that other machines may reach needs --insecure",
        arguments: ["0.0.0.0", "::", "192.168.1.5", "example.com", "127.0.0.1.example.com", "::ffff:10.0.0.1"]
    )
    func exposure(host: String) throws {
        var input = ConfigurationInput(environment: ["TQ_BROKER_HOST": host])
        let found = problems(input)
        #expect(found.count == 1)
        #expect(found.first?.contains("--insecure") == true)
        input.isInsecure = true
        let loaded = try LoadedConfiguration.load(input)
        #expect(loaded.isInsecure)
        #expect(loaded.warnings.count == 1)
    }

    @Test(
        "a loopback address needs no permission",
        arguments: ["127.0.0.1", "127.8.8.8", "::1", "localhost", "::ffff:127.0.0.1"]
    )
    func loopback(host: String) throws {
        let loaded = try LoadedConfiguration.load(
            ConfigurationInput(environment: ["TQ_BROKER_HOST": host], isInsecure: true)
        )
        #expect(!loaded.isInsecure)
    }

    @Test("a heartbeat interval that kills every worker is refused")
    func contradiction() {
        let found = problems(ConfigurationInput(environment: ["TQ_WORKER_MAX_INACTIVITY_SECS": "15"]))
        #expect(found.count == 1)
    }

    @Test(
        "a file that is no configuration is refused with its name",
        arguments: [
            "just words", "- a\n- b\n", "broker: {port: 1", "\u{0}\u{1}", "broker: [1, {a: b}]",
            "broker:\n  port: 1\n  port: 2\n",
        ]
    )
    func malformed(content: String) throws {
        let found = try problems(file: content)
        #expect(!found.isEmpty)
        #expect(found.allSatisfy { $0.contains("config.yaml") })
    }

    @Test("a file that is missing or a directory is refused with its name")
    func unreadable() {
        #expect(
            problems(ConfigurationInput(filePath: "/no/such.yaml")) == [
                "cannot read /no/such.yaml: No such file or directory"
            ]
        )
        #expect(problems(ConfigurationInput(filePath: "/")) == ["cannot read /: Is a directory"])
    }
}
