import ByteStore
public import Logging
import NIOCore
import NIOPosix
import Synchronization
import TQModel

/// A durable task queue: the same broker in a process of its own, or inside a server.
///
/// ``start()`` opens and recovers the store and listens; ``stop(graceMilliseconds:)`` drains and closes. A broker is
/// started once.
public final class Broker: Sendable {
    /// What the broker was told to be.
    public let settings: BrokerSettings
    private let logger: Logger
    private let state = Mutex(State())

    private struct State: Sendable {
        var running: Running?
        /// Closes the broker; the first who stops it starts this.
        var stopping: Task<Void, Never>?
        /// Until when leased tasks may take.
        var deadline = NIODeadline.distantFuture
    }

    private struct Running: Sendable {
        var lock: DirectoryLock
        var group: MultiThreadedEventLoopGroup
        var engine: Engine
        var listener: Listener
        var timers: [RepeatedTask]
    }

    /// Creates a broker that has not opened anything yet.
    public init(_ settings: BrokerSettings, logger: Logger) {
        self.settings = settings
        self.logger = logger
    }

    /// Opens the store, recovers what it holds, and listens.
    ///
    /// - Throws: ``StartError``, which names what is in the way and the way out.
    public func start() async throws(StartError) {
        let began = BrokerClock.now().monotonicMilliseconds
        let (lock, engine) = try openStore()
        logRecovery(engine, took: BrokerClock.now().monotonicMilliseconds - began)
        let group = MultiThreadedEventLoopGroup(numberOfThreads: max(1, settings.eventLoops))
        let listener: Listener
        do {
            listener = try await Listener(
                settings,
                connectionsMax: affordableConnections,
                engine: engine,
                group: group,
                logger: logger
            )
        } catch {
            engine.stop()
            try? await group.shutdownGracefully()
            throw StartError(listening: settings, error)
        }
        let running = Running(
            lock: lock,
            group: group,
            engine: engine,
            listener: listener,
            timers: startTimers(engine, group.next())
        )
        state.withLock { $0.running = running }
        logger.info(
            "broker ready",
            metadata: [
                "host": "\(settings.host)", "port": "\(listener.port)", "data_dir": "\(settings.dataDirectory)",
                "duration_ms": "\(BrokerClock.now().monotonicMilliseconds - began)",
                "wal_sync_interval_ms": "\(settings.syncIntervalMilliseconds)",
                "durability": "\(durability)",
            ]
        )
    }

    /// As many connections as were asked for, or as the system's limit of open files allows.
    private var affordableConnections: Int {
        let descriptors = DescriptorLimit.raise()
        let affordable = max(1, descriptors - DescriptorLimit.reserved)
        guard affordable < settings.connectionsMax else { return settings.connectionsMax }
        logger.warning(
            "the limit of open files allows fewer connections than broker.max_connections: raise it (ulimit -n)",
            metadata: [
                "connections": "\(affordable)", "max_connections": "\(settings.connectionsMax)",
                "open_files": "\(descriptors)",
            ]
        )
        return affordable
    }

    private func startTimers(_ engine: Engine, _ loop: any EventLoop) -> [RepeatedTask] {
        var timers = [
            loop.scheduleRepeatedTask(initialDelay: .zero, delay: .milliseconds(50)) { _ in engine.tick() },
            loop.scheduleRepeatedTask(initialDelay: .zero, delay: .seconds(1)) { _ in engine.watchDisk() },
        ]
        if settings.compactIntervalMilliseconds > 0 {
            let interval = TimeAmount.milliseconds(settings.compactIntervalMilliseconds)
            timers.append(
                loop.scheduleRepeatedTask(initialDelay: interval, delay: interval) { _ in engine.compact() }
            )
        }
        if settings.syncIntervalMilliseconds > 0 {
            let interval = TimeAmount.milliseconds(Int64(settings.syncIntervalMilliseconds))
            timers.append(
                loop.scheduleRepeatedTask(initialDelay: interval, delay: interval) { _ in engine.syncInterval() }
            )
        }
        return timers
    }

    /// What sessions inside this process talk to.
    var engine: Engine? { state.withLock { $0.running?.engine } }

    /// The port of the native protocol; `nil` before the start.
    public var port: Int? { state.withLock { $0.running?.listener.port } }

    private var durability: String {
        settings.syncIntervalMilliseconds == 0
            ? "a success reply means that it is on disk"
            : "a power cut may take \(settings.syncIntervalMilliseconds) ms of acknowledged work"
    }

    private func openStore() throws(StartError) -> (DirectoryLock, Engine) {
        do throws(StorageError) {
            let lock = try DirectoryLock(settings.dataDirectory)
            return (lock, Engine(settings, files: try openFiles(), logger: logger))
        } catch {
            throw StartError(error, settings)
        }
    }

    /// A full disk costs the reserve, not the start: workers may complete then, and results expire.
    private func openFiles() throws(StorageError) -> StoreFiles {
        do throws(StorageError) {
            return try StoreFiles(settings)
        } catch  where error.kind == .noSpace {
            ReserveFile(settings).giveUp()
        }
        return try StoreFiles(settings)
    }

    private func logRecovery(_ engine: Engine, took milliseconds: UInt64) {
        let counts = engine.counts
        logger.info(
            "store recovered",
            metadata: [
                "pending": "\(counts.pending)", "scheduled": "\(counts.scheduled)", "failed": "\(counts.failed)",
                "in_progress": "\(counts.inProgress)", "completed": "\(counts.completed)",
                "dead_letters": "\(counts.deadLetter)", "duration_ms": "\(milliseconds)",
            ]
        )
    }

    /// Drains: takes no new connections, submits and claims, waits for leased tasks, then closes.
    ///
    /// A second call shortens the wait of the first one; both return when the broker is closed.
    ///
    /// - Parameter graceMilliseconds: How long leased tasks may take; their leases survive in any case.
    public func stop(graceMilliseconds: Int64 = 0) async {
        let stopping = state.withLock { state -> Task<Void, Never>? in
            guard let running = state.running else { return nil }
            state.deadline = min(state.deadline, .now() + .milliseconds(graceMilliseconds))
            let stopping = state.stopping ?? Task { await close(running) }
            state.stopping = stopping
            return stopping
        }
        await stopping?.value
    }

    private func close(_ running: Running) async {
        await running.listener.stopAccepting()
        running.engine.drain()
        while NIODeadline.now() < state.withLock({ $0.deadline }), !running.engine.isQuiet {
            try? await Task.sleep(for: .milliseconds(20))
        }
        for timer in running.timers { timer.cancel() }
        await running.listener.closeConnections()
        running.engine.stop()
        state.withLock { $0.running = nil }
        try? await running.group.shutdownGracefully()
        logger.info("broker stopped")
    }
}

/// Why a broker did not start.
public struct StartError: Error, Sendable, CustomStringConvertible {
    /// What is in the way, and the way out.
    public let description: String

    init(_ error: StorageError, _ settings: BrokerSettings) {
        description = error.kind == .corruption ? error.description + Self.wayOut(settings) : error.description
    }

    /// What to do about a damaged store.
    private static func wayOut(_ settings: BrokerSettings) -> String {
        let directory = "--data-dir \(settings.dataDirectory)"
        return " Nothing was changed. 'tq-inspect verify \(directory)' shows what is affected. Restore a backup, or "
            + "take the loss: 'tq-inspect repair \(directory) --to NEW' tells what is gone, and with --accept-loss makes a "
            + "store that starts."
    }

    init(listening settings: BrokerSettings, _ error: any Error) {
        let address = "\(settings.host):\(settings.port)"
        if let error = error as? IOError, error.errnoCode == EADDRINUSE {
            let owner =
                settings.port == 6379 ? "Redis, whose usual port this is, or another tq-broker" : "another program"
            self.description =
                "Port \(settings.port) is in use on \(settings.host), probably by \(owner). "
                + "Stop it, or choose another port with --port (0 takes a free one)."
        } else if let error = error as? IOError, error.errnoCode == EACCES {
            self.description = "Port \(settings.port) may not be used by this user. Choose one above 1023 with --port."
        } else {
            self.description = "Cannot listen on \(address): \(error). Choose another address with --host and --port."
        }
    }
}
