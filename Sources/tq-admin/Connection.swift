import ArgumentParser
import CommandLineSupport
import Compression
import TQClient
import TQModel

/// The options of every command that talks to a broker.
struct ConnectionOptions: ParsableArguments {
    @OptionGroup var broker: BrokerOptions
    @OptionGroup var logging: LoggingOptions

    /// Runs the body with a connection, and closes it.
    ///
    /// - Parameters:
    ///   - submitPatience: How long a refusal for now is tried again; a person wants to hear of it at once.
    ///   - compression: Whether payloads are compressed.
    ///   - dictionaries: What results may be compressed with.
    ///   - connectionPatience: How long a broker may take to appear; `nil` for not at all.
    func withClient(
        submitPatience: Duration = .zero,
        compression: PayloadCompression = .none,
        dictionaries: [CompressionDictionary] = [],
        connectionPatience: Duration? = nil,
        _ body: (TQClient) async throws -> Void
    ) async throws {
        logging.bootstrap()
        var options = ClientOptions()
        options.clientName = "tq-admin/\(tqVersion)"
        options.submitPatience = submitPatience
        options.compression = compression
        options.dictionaries = dictionaries
        let client: TQClient
        if let connectionPatience {
            options.connectionPatience = connectionPatience
            client = TQClient(addresses: try BrokerAddress.list(broker.addresses), options: options)
        } else {
            client = try await TQClient.connect(to: broker.addresses, options: options)
        }
        do {
            try await body(client)
        } catch {
            await client.close()
            throw error
        }
        await client.close()
    }
}

/// The id of a task on the command line.
struct TaskIDArgument: ExpressibleByArgument {
    let id: TaskID

    init?(argument: String) {
        guard let id = TaskID(argument) else { return nil }
        self.id = id
    }
}

/// The priority of a task on the command line: 0 to 255 or a name.
struct PriorityArgument: ExpressibleByArgument {
    let priority: Priority

    init?(argument: String) {
        guard let priority = Priority(argument) else { return nil }
        self.priority = priority
    }

    static let allValueStrings = ["low", "normal", "high"]
}
