import Broker
import Logging
import QueueCore
import TQClient
import TQModel
import TQWorker

/// A broker in this process that listens on a free port of loopback.
struct TestBroker {
    let broker: Broker
    let log: LogProbe
    let port: Int

    var address: String { "127.0.0.1:\(port)" }

    /// Starts a broker on a directory.
    static func start(
        _ directory: ScratchDirectory,
        port: Int = 0,
        _ configure: (inout BrokerSettings) -> Void = { _ in }
    ) async throws -> TestBroker {
        var settings = BrokerSettings(dataDirectory: "\(directory.path)/data", port: port, memtableBytes: 4 << 20)
        settings.core.version = "test"
        configure(&settings)
        let log = LogProbe()
        let broker = Broker(settings, logger: log.logger)
        try await broker.start()
        guard let port = broker.port else { throw TQError(.internalError, "the broker has no port") }
        return TestBroker(broker: broker, log: log, port: port)
    }

    /// What a broker says that cannot start there.
    static func refusal(
        _ directory: ScratchDirectory,
        _ configure: (inout BrokerSettings) -> Void = { _ in }
    ) async -> String {
        do {
            let broker = try await start(directory, configure)
            await broker.broker.stop()
            return "it started"
        } catch {
            return "\(error)"
        }
    }

    /// A client that comes back quickly.
    func client(_ configure: (inout ClientOptions) -> Void = { _ in }) async throws -> TQClient {
        var options = ClientOptions()
        options.reconnectDelayMin = .milliseconds(5)
        options.reconnectDelayMax = .milliseconds(50)
        configure(&options)
        return try await TQClient.connect(to: address, options: options)
    }

    func worker(_ configure: (inout WorkerOptions) -> Void = { _ in }) throws -> Worker {
        var options = WorkerOptions()
        options.client.reconnectDelayMin = .milliseconds(5)
        options.client.reconnectDelayMax = .milliseconds(50)
        configure(&options)
        return try Worker(brokers: address, options: options)
    }
}

/// A broker and a client for the length of a body.
func withBroker(
    _ configure: (inout BrokerSettings) -> Void = { _ in },
    _ body: (TestBroker, TQClient) async throws -> Void
) async throws {
    let directory = try ScratchDirectory()
    let broker = try await TestBroker.start(directory, configure)
    do {
        let client = try await broker.client()
        try await body(broker, client)
        await client.close()
    } catch {
        await broker.broker.stop()
        throw error
    }
    await broker.broker.stop()
}

extension TQClient {
    /// Claims one task of the default queue, waiting for it.
    func claimOne(wait: UInt64 = 60_000, lease: UInt32 = 0) async throws -> Delivery {
        let claim = ClaimSpec(queues: ["default"], waitMilliseconds: wait, leaseMilliseconds: lease)
        guard let delivery = try await self.claim(claim).first else { throw TQError(.timedOut, "no task came") }
        return delivery
    }
}

/// The code of the error that the body throws.
func errorCode(_ body: () async throws -> Void) async -> TQError.Code? {
    do {
        try await body()
        return nil
    } catch {
        return (error as? TQError)?.code
    }
}

func bytes(_ text: String) -> Bytes { Bytes(text.utf8) }
