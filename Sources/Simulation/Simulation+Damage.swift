import ByteStore
import QueueCore
import Storage
import TQModel

extension Simulation {
    /// Flips a bit of a copy of the disk while nobody uses it, and lets a broker on that copy tell all it has.
    ///
    /// Damage may be refused at the start, reported when the bytes are read, or lie in bytes that nobody needs any more;
    /// what a broker serves is never wrong.
    mutating func probeDamage() throws(Broken) {
        guard let whole = try? broker.disk.copy(), let damaged = try? broker.disk.copy(), flipBit(of: damaged),
            let expected = try testimony(on: whole, isWhole: true),
            let found = try testimony(on: damaged, isWhole: false)
        else { return }
        guard found.index == expected.index else {
            throw Broken("I10", "Recovery did not notice a flipped bit, and found something else")
        }
        var isReported = !found.damaged.isEmpty
        for (place, reply) in expected.replies.enumerated() where found.replies[place] != reply {
            guard case .error(let error) = found.replies[place], error.code == .storageCorrupt else {
                throw Broken("I10", "A flipped bit made \(reply) of \(found.replies[place])")
            }
            isReported = true
        }
        for id in storedIDs where found.payloads[id] != expected.payloads[id] {
            let isGone = found.payloads[id] == nil && found.damaged.contains(id)
            // One that is damaged makes room for the next one of its key.
            let isInstead = expected.payloads[id] == nil && !found.damaged.isEmpty
            guard isGone || isInstead else {
                throw Broken("I10", "A flipped bit changed what is delivered of task \(id)")
            }
        }
        report.hits.count(.event(isReported ? .damageReported : .damageOfNoUse))
    }

    /// Flips one bit of all that are in the disk's rows; `false` when there is none.
    private mutating func flipBit(of disk: SimulatedDisk) -> Bool {
        var left = dice.below(max(1, Family.allCases.reduce(0) { $0 + Int(disk.statistics($1).memoryBytes) }) * 8)
        for family in Family.allCases {
            var place: [UInt8]?
            try? disk.scan(family, from: [], to: nil) { key, value throws(StorageError) in
                // A key's bytes are a few more chances of its value's first one.
                if left < (key.count + value.count) * 8 {
                    place = [UInt8](key)
                    left = max(0, left - key.count * 8)
                    return .stop
                }
                left -= (key.count + value.count) * 8
                return .continue
            }
            if let place { return disk.flipBit(left, in: family, key: place) }
        }
        return false
    }

    /// What a broker on that disk says of all that it has; `nil` when it refuses to start.
    private mutating func testimony(on disk: SimulatedDisk, isWhole: Bool) throws(Broken) -> Testimony? {
        var witness: BrokerProcess
        do {
            guard let process = try broker.witness(on: disk, at: now) else {
                if isWhole { return nil }
                throw Broken("I10", "A flipped bit made the store look empty")
            }
            witness = process
        } catch let error as Broken {
            throw error
        } catch {
            guard !isWhole, (error as? StorageError)?.kind == .corruption else {
                throw Broken("recovery", "The broker refuses to start: \(error)")
            }
            report.hits.count(.event(.damageRefused))
            return nil
        }
        var testimony = Testimony(index: witness.core.index.canonicalText)
        witness.perform(.openSession(1, SessionSettings()), at: now)
        for id in storedIDs {
            testimony.replies.append(try witness.reply(to: .status(id), at: now))
            testimony.replies.append(try witness.reply(to: .result(id, waitMilliseconds: 0), at: now))
        }
        let claim = ClaimSpec(queues: Cast.queues, count: 1000, leaseMilliseconds: 600_000)
        while case .claimed(let deliveries) = try witness.reply(to: .claim(claim), at: now) {
            for delivery in deliveries { testimony.payloads[delivery.lease.task] = delivery.payload }
            for case .deadLettered(let id, .payloadDamaged) in witness.takeNotices() { testimony.damaged.insert(id) }
            guard !deliveries.isEmpty || !witness.isSettled else { break }
        }
        return testimony
    }

    /// What a broker says of all that it has.
    private struct Testimony {
        var index: [UInt8]
        /// The status and the result of each task.
        var replies: [Reply] = []
        /// What it delivers of the tasks that are ready.
        var payloads: [TaskID: Bytes] = [:]
        /// Tasks that became dead letters because their payloads are damaged.
        var damaged: Set<TaskID> = []
    }
}

extension SimulatedBroker {
    /// A process on another disk, beside the broker's own history; `nil` when there is no store on it.
    fileprivate func witness(on disk: SimulatedDisk, at now: Now) throws -> BrokerProcess? {
        guard let recovered = try Recovery.recover(from: disk, mark: mark) else { return nil }
        let process = Self.process(
            settings,
            disk,
            recovered.index,
            recovered.position,
            recovered.epoch + 1,
            identity.key,
            now,
            []
        )
        try process.log.begin(epoch: recovered.epoch + 1, index: recovered.index)
        return process
    }
}

extension BrokerProcess {
    /// Asks as session 1, and does all that the broker has to do until it replies.
    fileprivate mutating func reply(to request: Request, at now: Now) throws(Broken) -> Reply {
        perform(.request(1, id: 1, .anonymous, request), at: now)
        for _ in 0..<10_000 {
            if let sent = takeReplies().first(where: { $0.answer.request == 1 }) { return sent.reply }
            do throws(StorageError) {
                switch nextCommitStep {
                case .close: closeGroup()
                case .write: try write(sync: true)
                case .sync: try sync()
                case nil: break
                }
            } catch {
                throw Broken("storage", "The store refuses a batch: \(error)")
            }
            runErrand(at: now)
        }
        throw Broken("I13", "\(request) is never answered")
    }
}
