import HistoryChecker
import Synchronization
import TQClient
import TQModel

/// Work for a broker that is killed again and again, recorded as it goes.
///
/// The clients are the product's own: they connect again and send again by themselves, so that requests last over a
/// restart of the broker. What a request was and what became of it is in the history before anything follows from it.
final class Load: Sendable {
    /// The queues, in the order of their numbers from 1.
    static let queues: [Name] = ["crash-a", "crash-b", "crash-c"]
    /// Waiting tasks above which nothing is submitted.
    private static let backlogMax: UInt64 = 1500
    private static let submitters = 3
    private static let workers = 4
    /// Concurrent requests of each of them.
    private static let window = 3

    let gate = Gate()
    private let recorder: Recorder
    private let addresses: [BrokerAddress]
    private let seed: UInt64
    private let lastOperation = Atomic<UInt64>(0)
    private let isBacklogFull = Atomic(false)
    private let isDrainingFlag = Atomic(false)

    init(_ addresses: [BrokerAddress], recorder: Recorder, seed: UInt64) {
        self.addresses = addresses
        self.recorder = recorder
        self.seed = seed
    }

    /// Whether tasks are only ended: none is submitted, and none is kept, failed or given back.
    var isDraining: Bool { isDrainingFlag.load(ordering: .relaxed) }

    func drain() { isDrainingFlag.store(true, ordering: .relaxed) }

    /// Whether there is room for more tasks.
    var wantsTasks: Bool { !isDraining && !isBacklogFull.load(ordering: .relaxed) }

    /// Works until the process ends.
    func run() async {
        await withDiscardingTaskGroup { group in
            group.addTask { await self.watchBacklog(self.makeClient()) }
            var random = SplitMix64(seed: seed)
            for number in 1...UInt32(Self.submitters + Self.workers) {
                let client = RecordedClient(makeClient(), number: number, self, recorder)
                for _ in 0..<Self.window {
                    let seed = random.next()
                    group.addTask {
                        if number <= Self.submitters {
                            var submitter = Submitter(client, seed: seed)
                            await submitter.run()
                        } else {
                            var worker = UnreliableWorker(client, seed: seed)
                            await worker.run()
                        }
                    }
                }
            }
        }
    }

    func newOperation() -> OperationNumber { lastOperation.add(1, ordering: .relaxed).newValue }

    private func makeClient() -> TQClient {
        var options = ClientOptions()
        options.clientName = "tq-verify"
        options.connectionPatience = nil
        options.reconnectDelayMin = .milliseconds(5)
        options.reconnectDelayMax = .milliseconds(40)
        return TQClient(addresses: addresses, options: options)
    }

    private func watchBacklog(_ client: TQClient) async {
        while true {
            let counts = try? await client.statistics().counts
            if let counts { isBacklogFull.store(counts.waiting > Self.backlogMax, ordering: .relaxed) }
            await pause(milliseconds: 50)
        }
    }
}

/// Waits a while; shorter when the task is cancelled.
func pause(milliseconds: Int) async { try? await Task.sleep(for: .milliseconds(milliseconds)) }
