import ByteStore
public import QueueCore
public import TQModel

/// Puts stored bytes into replies that lack them.
public struct AnswerCompletion: Sendable {
    private let reader: StoreReader

    /// Creates a completion that reads through this reader.
    public init(_ reader: StoreReader) { self.reader = reader }

    /// What became of an answer.
    public enum Outcome: Sendable {
        /// The whole reply, and the leases of deliveries whose payload is damaged and which are therefore left out.
        case reply(Reply, damaged: [LeaseHandle])
        /// The task came back meanwhile, so that nothing is stored where it was: the core must be asked again.
        case askAgain(Command)
    }

    /// What the core knows at the moment, for answers that have become old while they waited.
    public struct Present {
        /// Where a leased task's payload is; `nil` when the lease has ended.
        let place: (LeaseHandle) -> PayloadPlace?
        /// Whether a task that had ended is elsewhere by now.
        let isElsewhere: (TaskID, Ended) -> Bool

        /// Creates what is asked through these two.
        public init(
            place: @escaping (LeaseHandle) -> PayloadPlace?,
            isElsewhere: @escaping (TaskID, Ended) -> Bool
        ) {
            self.place = place
            self.isElsewhere = isElsewhere
        }
    }

    /// Reads what an answer lacks.
    public func outcome(of answer: Answer, _ present: Present) -> Outcome {
        do throws(StorageError) {
            switch answer.missing {
            case .nothing, .compaction: return .reply(answer.reply, damaged: [])
            case .payloads(let places): return deliveries(answer.reply, places, present)
            case .ended(let id, let sequence, let ended, let asResult):
                guard var task = try reader.endedTask(id, sequence, ended) else {
                    guard present.isElsewhere(id, ended) else { return .reply(answer.reply, damaged: []) }
                    let request: Request = asResult ? .result(id, waitMilliseconds: 0) : .status(id)
                    return .askAgain(.request(answer.session, id: answer.request, .anonymous, request))
                }
                if asResult { return .reply(.result(task.asResult), damaged: []) }
                try reader.addDetails(
                    to: &task.status,
                    of: sequence,
                    hasHistory: task.status.attempts > 0,
                    isTagged: task.isTagged
                )
                return .reply(.status(task.status), damaged: [])
            case .details(let sequence, let hasHistory, let isTagged):
                guard case .status(var status) = answer.reply else { return .reply(answer.reply, damaged: []) }
                try reader.addDetails(to: &status, of: sequence, hasHistory: hasHistory, isTagged: isTagged)
                return .reply(.status(status), damaged: [])
            case .tasks(let query, let selection, let position, let tagged):
                guard case .tasks(let page) = answer.reply else { return .reply(answer.reply, damaged: []) }
                let whole = try reader.list(page, query, selection, from: position, tagged: tagged)
                return .reply(.tasks(whole), damaged: [])
            case .taggedTasks(let query, let selection, let tasks, let next):
                guard case .tasks(let page) = answer.reply else { return .reply(answer.reply, damaged: []) }
                return .reply(.tasks(try reader.list(page, query, selection, of: tasks, next: next)), damaged: [])
            case .deadLetters(let query, let after):
                return .reply(.deadLetters(try reader.deadLetters(query, after: after)), damaged: [])
            }
        } catch {
            // A store that is closed for a rebuild is not damaged.
            let code: TQError.Code = error.kind == .corruption ? .storageCorrupt : .readOnly
            return .reply(.error(TQError(code, error.description)), damaged: [])
        }
    }

    /// The whole reply, when everything that it lacks is in memory.
    public func cachedReply(to answer: Answer) -> Reply? {
        switch (answer.missing, answer.reply) {
        case (.nothing, let reply): return reply
        case (.payloads(let places), .claimed(let deliveries)):
            return cached(deliveries, places).map { .claimed($0) }
        case (.payloads(let places), .delivery(let stream, let deliveries)):
            return cached(deliveries, places).map { .delivery(stream: stream, $0) }
        default: return nil
        }
    }

    private func cached(_ deliveries: [Delivery], _ places: [PayloadPlace]) -> [Delivery]? {
        var whole = deliveries
        for index in whole.indices {
            guard let payload = reader.cachedPayload(places[index]) else { return nil }
            whole[index].payload = payload
        }
        return whole
    }

    private func deliveries(
        _ reply: Reply,
        _ places: [PayloadPlace],
        _ present: Present
    ) -> Outcome {
        var whole: [Delivery] = []
        var damaged: [LeaseHandle] = []
        let deliveries: [Delivery] =
            switch reply {
            case .claimed(let deliveries), .delivery(_, let deliveries): deliveries
            default: []
            }
        whole.reserveCapacity(deliveries.count)
        for (delivery, claimed) in zip(deliveries, places) {
            guard let sequence = reader.sequence(of: delivery.lease.task) else { continue }
            do throws(StorageError) {
                // A lease that has ended meanwhile leaves nothing to deliver.
                guard let payload = try payload(claimed, of: sequence, now: { present.place(delivery.lease) }) else {
                    continue
                }
                var delivery = delivery
                delivery.payload = payload
                whole.append(delivery)
            } catch {
                // What cannot be read now comes back when its lease lapses.
                if error.kind == .corruption { damaged.append(delivery.lease) }
            }
        }
        if case .delivery(let stream, _) = reply { return .reply(.delivery(stream: stream, whole), damaged: damaged) }
        return .reply(.claimed(whole), damaged: damaged)
    }

    /// A payload at the place that the claim named, or else where it was moved to.
    private func payload(
        _ claimed: PayloadPlace,
        of sequence: TaskSequence,
        now place: () -> PayloadPlace?
    ) throws(StorageError) -> Bytes? {
        var claimed = claimed
        while true {
            if let payload = try reader.payload(claimed, of: sequence) { return payload }
            guard let present = place(), present != claimed else { return nil }
            claimed = present
        }
    }
}
