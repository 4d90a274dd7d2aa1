import ByteStore
import TQModel

@testable import QueueCore
@testable import Simulation
@testable import Storage
@testable import WireProtocol

extension FuzzTarget {
    /// Whatever clients send, in whatever order: every request is answered, and a restart finds what the core knew.
    static let broker = FuzzTarget(
        name: "broker",
        summary: "the requests of two connections to a broker in memory, with time, crashes and restarts between them",
        seeds: {
            let requests = try MessageSamples.requests.map { try frame($0) }
            let events = FuzzedBroker.Event.allCases.map { [0, 0, 0, 5, $0.rawValue, 0, 0, 3, 232] as [UInt8] }
            return [Array(requests.joined()), Array((requests + events + requests + events).joined())] + events
        },
        run: { bytes in
            var reader = FrameReader()
            bytes.withUnsafeBytes { reader.append($0) }
            let broker = FuzzedBroker()
            while let frame = (try? reader.next()) ?? nil { broker.take(frame) }
            broker.finish()
        }
    )
}

/// A broker of one thread with a store in memory.
private final class FuzzedBroker {
    /// Frames that no client can send stand for what else happens to a broker.
    enum Event: UInt8, CaseIterable {
        case timePasses = 0x70, wallClockIsSet, connectionChanges, connectionEnds, recordsAreCleaned, restart, diskIsLow
        case drain
    }

    private let store = InMemoryStorage()
    private var now = Now(monotonicMilliseconds: 5_000, wallMilliseconds: 1_700_000_000_000)
    private var process: BrokerProcess
    private var session: SessionID = 1
    private var nextRequest: UInt32 = 1
    private var unanswered: Set<UInt32> = []
    private var tasks: [TaskID] = []
    private var leases: [LeaseHandle] = []

    private static let identity = StoreIdentity(id: 1, key: StoreKey(high: 2, low: 3), createdWallMilliseconds: 4)

    init() {
        process = Self.start(store, now)
        perform(.openSession(1, SessionSettings()))
        perform(.openSession(2, SessionSettings(endsLeasesOnClose: true)))
    }

    private static func start(_ store: InMemoryStorage, _ now: Now) -> BrokerProcess {
        do {
            let recovered = try Recovery.recover(from: store)
            let index = recovered?.index ?? DurableIndex()
            let epoch = (recovered?.epoch ?? 0) + 1
            let log = CommitLog(store: store, position: recovered?.position ?? LogPosition())
            try log.begin(epoch: epoch, index: index, identity: recovered == nil ? identity : nil)
            let core = QueueCore(
                configuration: CoreConfiguration(queueDepthThreshold: 1000),
                index: index,
                epoch: epoch,
                storeKey: identity.key,
                now: now
            )
            return BrokerProcess(
                core: core,
                log: log,
                reader: StoreReader(store: store, cache: nil, storeKey: identity.key)
            )
        } catch {
            fatalError("What a broker stored is refused: \(error)")
        }
    }

    // MARK: What happens

    func take(_ frame: Frame) {
        if let event = Event(rawValue: frame.type) { return happen(event, amount: frame.requestID) }
        guard let (_, request) = try? Request.decode(frame) else { return }
        let number = nextRequest
        nextRequest += 1
        if case .addCredit = request {} else { unanswered.insert(number) }
        perform(.request(session, id: number, .anonymous, known(request)))
    }

    private func happen(_ event: Event, amount: UInt32) {
        switch event {
        case .timePasses:
            now.monotonicMilliseconds += UInt64(amount)
            now.wallMilliseconds &+= UInt64(amount)
            perform(.tick)
        case .wallClockIsSet:
            now.wallMilliseconds = UInt64(amount) << 10
            perform(.tick)
        case .connectionChanges: session = 3 - session
        case .connectionEnds:
            perform(.closeSession(session))
            perform(.openSession(session, SessionSettings(endsLeasesOnClose: amount % 2 == 0)))
            // Its claims and waits ended with it.
            unanswered = []
        case .recordsAreCleaned: perform(.clean)
        case .diskIsLow: perform(.disk(isLow: amount % 2 == 0))
        case .drain: perform(.drain)
        case .restart:
            checkRecovery()
            process = Self.start(store, now)
            unanswered = []
            perform(.openSession(1, SessionSettings()))
            perform(.openSession(2, SessionSettings(endsLeasesOnClose: true)))
        }
    }

    private func perform(_ command: Command) {
        process.perform(command, at: now)
        settle()
    }

    /// Writes what was decided and lets every answer leave that can.
    private func settle() {
        var steps = 0
        repeat {
            process.closeGroup()
            do throws(StorageError) {
                try process.write(sync: true)
                try process.sync()
            } catch {
                fatalError("What the core decided cannot be stored: \(error)")
            }
            process.runErrand(at: now)
            steps += 1
            expect(steps < 10_000, "The broker never comes to rest.")
        } while !process.errands.isEmpty || process.core.hasEffects || process.nextCommitStep != nil
        for sent in process.takeReplies() { receive(sent.reply, to: sent.answer.request) }
    }

    private func receive(_ reply: Reply, to request: UInt32) {
        var bytes: [UInt8] = []
        var reader = FrameReader()
        do throws(TQError) {
            try reply.encode(id: request, into: &bytes)
            bytes.withUnsafeBytes { reader.append($0) }
            guard let frame = try reader.next() else { fatalError("A reply is no frame: \(reply)") }
            expectEqual(try Reply.decode(frame).reply, reply, "A reply arrives as another one.")
        } catch {
            fatalError("A client cannot read a reply: \(error)\n\(reply)")
        }
        switch reply {
        case .delivery(_, let deliveries): return leases += deliveries.map(\.lease)
        case .claimed(let deliveries): leases += deliveries.map(\.lease)
        case .submitted(let results): tasks += results.compactMap { try? $0.get().id }
        default: break
        }
        unanswered.remove(request)
    }

    /// All requests but those that wait must have been answered, and the store must hold what the core knows.
    func finish() {
        // Every wait is over by then.
        now.monotonicMilliseconds += 2 * Limits.waitMillisecondsMax
        for _ in 0..<10 where !unanswered.isEmpty { perform(.tick) }
        expect(unanswered.isEmpty, "Requests \(unanswered.sorted()) were not answered.")
        checkRecovery()
    }

    private func checkRecovery() {
        do {
            guard let recovered = try Recovery.recover(from: store) else { fatalError("The store is empty.") }
            if recovered.index.canonicalText != process.core.index.canonicalText {
                let live = process.core.index.canonicalDump
                let found = recovered.index.canonicalDump
                let differences = live.filter { !found.contains($0) } + found.filter { !live.contains($0) }
                fatalError("Recovery finds something else: \(differences)")
            }
        } catch {
            fatalError("What a broker stored is refused: \(error)")
        }
        _ = StoreVerification.verify(store, mark: nil) { fatalError("What a broker stored is wrong: \($0)") }
    }

    // MARK: Ids that the bytes cannot guess

    /// Ids whose first half is zero stand for those that the broker gave, by number.
    private func known(_ request: Request) -> Request {
        switch request {
        case .complete(let items):
            .complete(
                items.map { item in
                    var item = item
                    item.lease = known(item.lease)
                    return item
                }
            )
        case .fail(let items):
            .fail(
                items.map {
                    Failure(
                        lease: known($0.lease),
                        error: $0.error,
                        isPermanent: $0.isPermanent,
                        retryAfterMilliseconds: $0.retryAfterMilliseconds
                    )
                }
            )
        case .release(let items):
            .release(items.map { Release(lease: known($0.lease), delayMilliseconds: $0.delayMilliseconds) })
        case .renew(let items):
            .renew(
                items.map {
                    Renewal(
                        lease: known($0.lease),
                        leaseMilliseconds: $0.leaseMilliseconds,
                        progress: $0.progress,
                        checkpoint: $0.checkpoint
                    )
                }
            )
        case .cancel(let ids): .cancel(ids.map(known))
        case .redrive(let items): .redrive(items.map { Redrive(task: known($0.task), payload: $0.payload) })
        case .purge(let ids): .purge(ids.map(known))
        case .status(let id): .status(known(id))
        case .result(let id, let wait): .result(known(id), waitMilliseconds: wait)
        case .deadLetters(let query):
            .deadLetters(DeadLetterQuery(queue: query.queue, after: query.after.map(known), count: query.count))
        default: request
        }
    }

    private func known(_ id: TaskID) -> TaskID {
        id.high == 0 && !tasks.isEmpty ? tasks[tasks.count - 1 - Int(id.low % UInt64(tasks.count))] : id
    }

    private func known(_ lease: LeaseHandle) -> LeaseHandle {
        guard lease.task.high == 0, !leases.isEmpty else { return lease }
        return leases[leases.count - 1 - Int(lease.task.low % UInt64(leases.count))]
    }
}
