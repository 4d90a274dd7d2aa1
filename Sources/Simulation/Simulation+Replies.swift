import HistoryChecker
import QueueCore
import Storage
import TQModel

extension Simulation {
    /// Hands over the replies that have left the broker; some take longer, some are lost on the way.
    mutating func deliver() throws(Broken) {
        assignClaims()
        for answer in broker.process.undelivered { noteEndedLeases(of: answer) }
        let leaving = broker.process.takeReplies()
        for sent in leaving {
            try noteSkipped(sent)
            try taskPayloads.check(sent.reply, broker.process.core)
        }
        network.send(leaving)
        while !network.replies.isEmpty {
            guard isCalm || !dice.oneIn(6) else {
                report.hits.count(.fault(.delayedReply))
                break
            }
            let sent = network.reply(at: isCalm ? 0 : dice.below(network.replies.count))
            switch sent.reply {
            case .delivery(_, let deliveries): try take(deliveries, of: sent.answer)
            case .cancelRequested(let leases): try takeCancelRequest(leases)
            default: try take(sent)
            }
        }
        try countNotices()
    }

    private mutating func take(_ sent: BrokerProcess.SentReply) throws(Broken) {
        let key = AskedKey(session: sent.answer.session, request: sent.answer.request)
        guard let request = asked.removeValue(forKey: key) else { return }
        if !request.operations.isEmpty, isLost() { return lose(request, isCertain: false) }
        count(sent.reply)
        try checkDrain(request, sent.reply)
        switch sent.reply {
        case .submitted(let results): takeSubmitted(results, request)
        case .claimed(let deliveries):
            finish(request, .delivered(deliveries.map { take($0, request.client) }))
        case .outcomes(let outcomes): takeOutcomes(outcomes, request)
        case .completed(let entries): takeCompleted(entries, request)
        case .cancellations(let entries): takeCancellations(entries, request)
        case .status(let status):
            finish(request, .observed(Observation(state: status.state, attempts: status.attempts)))
        case .result(let result):
            let digest = result.state == .completed ? Digest(of: result.result, result.content) : nil
            finish(request, .observed(Observation(state: result.state, result: digest)))
        case .tasks(let page): takeTasks(page, request)
        case .error(let error): takeError(error, request, key)
        case .bulkOperations(let operations): try takeBulk(operations, asked: key.request)
        case .statistics, .queues, .workers, .workerOrder, .deadLetters, .compacted, .recurring, .ticks, .gates,
            .explanation, .health, .done, .delivery, .cancelRequested:
            break
        }
    }

    /// Takes a page for what it says of the tasks that were asked for by name in the history.
    private mutating func takeTasks(_ page: TaskPage, _ request: Asked) {
        guard case .tasks = request.request else { return }
        let tasks = Dictionary(page.tasks.map { ($0.id, $0) }) { first, _ in first }
        for (operation, call) in zip(request.operations, request.calls) {
            guard case .status(let id) = call else { continue }
            let seen = tasks[id].map { Outcome.observed(Observation(state: $0.state, attempts: $0.attempts)) }
            finish(operation, seen ?? .unknown, request.client)
        }
    }

    private mutating func finish(_ request: Asked, _ outcome: Outcome) {
        for operation in request.operations { finish(operation, outcome, request.client) }
    }

    private mutating func finish(_ operation: OperationNumber, _ outcome: Outcome, _ client: Int) {
        history.record(.returned(operation, outcome), client: clients[client].number, at: now)
    }

    private mutating func takeSubmitted(_ results: [Result<Submission, TQError>], _ request: Asked) {
        takeSubmitted(results, request.operations[...], request)
    }

    private mutating func takeSubmitted(
        _ results: [Result<Submission, TQError>],
        _ operations: ArraySlice<OperationNumber>,
        _ request: Asked
    ) {
        if case .submit(let specs) = request.request {
            for case (let spec, .success(let submission)) in zip(specs, results) where !submission.isDuplicate {
                taskPayloads.acknowledge(submission.id, Digest(ofPayload: spec))
            }
        }
        for (operation, result) in zip(operations, results) {
            switch result {
            case .success(let submission):
                let outcome =
                    submission.isReplacement
                    ? Outcome.replaced(submission.id)
                    : .submitted(submission.id, isDuplicate: submission.isDuplicate)
                finish(operation, outcome, request.client)
                if known.insert(submission.id).inserted { ids.append(submission.id) }
                if submission.isReplacement { report.hits.count(.event(.replaced)) }
                if submission.isDuplicate { report.hits.count(.event(.duplicateSubmit)) } else { acknowledge() }
            case .failure(let error):
                report.hits.count(.error(error.code))
                finish(operation, .refused(error.code), request.client)
            }
        }
    }

    private mutating func takeOutcomes(_ outcomes: [TQError?], _ request: Asked) {
        for (operation, error) in zip(request.operations, outcomes) {
            if let error {
                report.hits.count(.error(error.code))
                if error.code == .leaseLost { report.hits.count(.event(.staleToken)) }
                finish(operation, .refused(error.code), request.client)
            } else {
                finish(operation, .done, request.client)
                switch request.request {
                case .redrive(let items):
                    report.hits.count(.event(.redriven))
                    for item in items {
                        guard let payload = item.payload else { continue }
                        report.hits.count(.event(.redrivenEdited))
                        taskPayloads.acknowledge(item.task, Digest(of: payload, item.content))
                    }
                case .purge: report.hits.count(.event(.purged))
                default: break
                }
                if request.request.kind != .renew { acknowledge() }
            }
        }
    }

    /// Looks at the one completion of a request: its calls are the completion, its follow-ups and its cancels.
    private mutating func takeCompleted(_ entries: [Result<[Submission], TQError>], _ request: Asked) {
        switch entries.first {
        case .success(let submissions)?:
            takeOutcomes([nil], request)
            takeSubmitted(submissions.map { .success($0) }, request.operations.dropFirst(), request)
            // The reply does not say what became of the cancels.
            let cancels = request.operations.dropFirst(1 + submissions.count)
            for operation in cancels { finish(operation, .unknown, request.client) }
            if !submissions.isEmpty { report.hits.count(.event(.handedOver)) }
        case .failure(let error)?:
            takeOutcomes([error], request)
            // The error may be about another one of them.
            for operation in request.operations.dropFirst() {
                finish(operation, .refused(.connectionFailed), request.client)
            }
            if error.code != .leaseLost { report.hits.count(.event(.handOverRefused)) }
        case nil: break
        }
    }

    private mutating func takeCancellations(_ entries: [Result<Cancellation, TQError>], _ request: Asked) {
        for (operation, entry) in zip(request.operations, entries) {
            switch entry {
            case .success(let cancellation):
                finish(operation, cancellation == .cancelled ? .done : .cancelRequested, request.client)
                acknowledge()
            case .failure(let error):
                report.hits.count(.error(error.code))
                finish(operation, .refused(error.code), request.client)
            }
        }
    }

    /// Looks at what a worker is told unasked.
    private mutating func takeCancelRequest(_ leases: [LeaseHandle]) throws(Broken) {
        report.hits.count(.reply(.cancelRequested))
        for lease in leases where !cancelled.contains(lease.task) {
            throw Broken("I2", "A worker was told to stop task \(lease.task), which nobody cancelled")
        }
    }

    private mutating func acknowledge() {
        report.acknowledged += 1
        acknowledgedSinceCrash += 1
    }

    private mutating func takeError(_ error: TQError, _ request: Asked, _ key: AskedKey) {
        report.hits.count(.error(error.code))
        if case .openStream = request.request { dropStream(openedBy: key.request, request.client) }
        // A claim that was decided and whose payloads could not be read has begun an attempt.
        let isUnknown = error.code == .outcomeUnknown || error.code == .storageCorrupt
        if isUnknown { return lose(request, isCertain: false) }
        finish(request, .refused(error.code))
    }

    /// The stream that was asked for does not exist; another one may have its number by now.
    private mutating func dropStream(openedBy request: UInt32, _ client: Int) {
        guard let place = clients[client].streams.firstIndex(where: { $0.request == request }) else { return }
        refuse(clients[client].streams.remove(at: place).claims, client)
    }

    // MARK: Deliveries

    /// Ties what streams were given to the oldest claims that their credit stands for.
    mutating func assignClaims() {
        for given in broker.process.takeStreamed() {
            guard let client = clients.firstIndex(where: { $0.session == given.session }),
                let place = clients[client].streams.firstIndex(where: { $0.number == given.stream })
            else { continue }
            for token in given.tokens where !clients[client].streams[place].claims.isEmpty {
                clients[client].streamed[token] = clients[client].streams[place].claims.removeFirst()
            }
        }
    }

    private mutating func take(_ deliveries: [Delivery], of answer: Answer) throws(Broken) {
        guard let client = clients.firstIndex(where: { $0.session == answer.session }),
            case .delivery(_, let decided) = answer.reply
        else { return }
        report.hits.count(.reply(.delivery))
        let isLost = isLost()
        for delivery in deliveries {
            guard let claim = clients[client].streamed.removeValue(forKey: delivery.lease.token) else {
                throw Broken("credit", "A stream got task \(delivery.lease.task), for which it had no credit")
            }
            finish(claim, isLost ? .unknown : .delivered([take(delivery, client)]), client)
        }
        // A lease that ended before its delivery could leave has begun an attempt that nobody saw.
        for delivery in decided {
            guard let claim = clients[client].streamed.removeValue(forKey: delivery.lease.token) else { continue }
            try checkEnded(delivery.lease)
            finish(claim, .unknown, client)
            giveCreditBack(answer, client)
        }
    }

    /// What was taken for a stream and cannot be delivered took credit that the client would never give back.
    private mutating func giveCreditBack(_ answer: Answer, _ client: Int) {
        guard case .delivery(let stream, _) = answer.reply,
            let place = clients[client].streams.firstIndex(where: { $0.number == stream })
        else { return }
        addClaims(1, client, place)
        broker.process.perform(
            .request(answer.session, id: 0, .anonymous, .addCredit(stream: stream, count: 1)),
            at: now
        )
    }

    /// Whether a reply is lost on the way.
    private mutating func isLost() -> Bool {
        guard !isCalm, dice.oneIn(50) else { return false }
        report.hits.count(.fault(.lostReply))
        return true
    }

    private mutating func take(_ delivery: Delivery, _ client: Int) -> Delivered {
        leases.append((delivery.lease, client))
        if leases.count > 40 { leases.removeFirst(20) }
        return Delivered(
            lease: delivery.lease,
            attempt: delivery.attempt,
            leaseMilliseconds: delivery.leaseMilliseconds,
            payload: Digest(of: delivery.payload, delivery.content)
        )
    }

    /// Notes attempts whose leases ended before their claim's reply could leave: most likely nobody will see them, and the
    /// next attempt may be seen before that reply.
    private mutating func noteEndedLeases(of answer: Answer) {
        guard case .claimed(let decided) = answer.reply else { return }
        for delivery in decided where broker.process.core.payloadPlace(of: delivery.lease) == nil {
            noteUnseen(delivery, of: answer)
        }
    }

    private mutating func noteUnseen(_ delivery: Delivery, of answer: Answer) {
        let key = AskedKey(session: answer.session, request: answer.request)
        guard let client = asked[key]?.client, unseen.insert(delivery.lease).inserted else { return }
        let call = Call.claim(queues: [Cast.number(delivery.queue)])
        finish(history.invoke(call, client: clients[client].number, at: now), .unknown, client)
    }

    private mutating func noteSkipped(_ sent: BrokerProcess.SentReply) throws(Broken) {
        guard case .claimed(let decided) = sent.answer.reply, case .claimed(let delivered) = sent.reply else { return }
        let seen = Set(delivered.map(\.lease))
        for delivery in decided {
            if !seen.contains(delivery.lease) {
                try checkEnded(delivery.lease)
                noteUnseen(delivery, of: sent.answer)
            }
            unseen.remove(delivery.lease)
        }
    }

    /// A delivery may only be left out when its lease has ended.
    private mutating func checkEnded(_ lease: LeaseHandle) throws(Broken) {
        report.hits.count(.event(.lateReplyOfEndedLease))
        guard broker.process.core.payloadPlace(of: lease) == nil else {
            throw Broken("I13", "Task \(lease.task) was leased with token \(lease.token), but never delivered")
        }
    }

    // MARK: Notes

    /// Remembers what the core took, although not every client will hear of it.
    mutating func noteStored() {
        for (spec, submission) in broker.process.takeSubmissions() where !submission.isDuplicate {
            note(spec, submission.id)
            taskPayloads.decide(submission.id, Digest(ofPayload: spec), spec.tags)
            dependencies.note(spec, submission.id, TaskIDCipher(key: broker.identity.key))
        }
    }

    /// Goes on with what waits for stored bytes.
    mutating func runErrand() {
        broker.process.runErrand(at: now)
        noteStored()
        for edit in broker.process.takeEdits() {
            if let payload = edit.payload { taskPayloads.decide(edit.task, Digest(of: payload, edit.content)) }
        }
    }

    mutating func note(_ spec: TaskSpec, _ id: TaskID) {
        // A task that a power cut took may have had the same id; nobody heard of it.
        let task = StoredSpec(
            queue: spec.queue,
            rank: spec.rank,
            payload: Digest(ofPayload: spec),
            crashesMax: spec.crashesMax ?? Defaults.crashesMax,
            shortestWait: (spec.retryPolicy ?? .standard).shortestWait
        )
        if stored.updateValue(task, forKey: id) == nil { storedIDs.append(id) }
    }

    private mutating func countNotices() throws(Broken) {
        let notices = broker.process.takeNotices()
        for notice in notices {
            switch notice {
            case .leaseLapsed(let task, _, let crashes):
                report.hits.count(.event(.leaseLapsed))
                try checkCrashes(of: task, crashes, notices)
            case .attemptTimedOut: report.hits.count(.event(.attemptTimedOut))
            case .workerLost: report.hits.count(.event(.workerLost))
            case .deadLettered(let task, let reason):
                // One that nobody was told of is no client's business.
                if known.contains(task) { dead.append(task) }
                switch reason {
                case .retriesExhausted: report.hits.count(.event(.retriesExhausted))
                case .permanentFailure: report.hits.count(.event(.permanentFailure))
                case .quarantined: report.hits.count(.event(.quarantined))
                case .tooLate: report.hits.count(.event(.buriedLate))
                case .dependencyFailed: report.hits.count(.event(.buriedUnrun))
                case .payloadDamaged:
                    throw Broken("I10", "Task \(task) was called damaged, but nothing damages bytes here")
                }
            case .circuitTurned(let gate):
                switch gate.circuit?.state {
                case .open: report.hits.count(.event(.circuitOpened))
                case .halfOpen: report.hits.count(.event(.circuitTried))
                case .closed: report.hits.count(.event(.circuitClosed))
                case nil: throw Broken("I21", "The circuit of \(gate) has turned, and it has none")
                }
            case .pauseEnded: report.hits.count(.event(.pauseEnded))
            case .zoneUnusable, .bulkStarted, .bulkEnded, .gateChanged: break
            case .damagedRecord(let text):
                throw Broken("I10", "A record was called damaged, but nothing damages bytes here: \(text)")
            }
        }
    }

    private mutating func count(_ reply: Reply) {
        switch reply {
        case .submitted: report.hits.count(.reply(.submitted))
        case .claimed: report.hits.count(.reply(.claimed))
        case .delivery: report.hits.count(.reply(.delivery))
        case .outcomes: report.hits.count(.reply(.outcomes))
        case .completed: report.hits.count(.reply(.completed))
        case .cancellations: report.hits.count(.reply(.cancellations))
        case .cancelRequested: report.hits.count(.reply(.cancelRequested))
        case .status: report.hits.count(.reply(.status))
        case .result: report.hits.count(.reply(.result))
        case .tasks: report.hits.count(.reply(.tasks))
        case .statistics: report.hits.count(.reply(.statistics))
        case .queues: report.hits.count(.reply(.queues))
        case .workers: report.hits.count(.reply(.workers))
        case .workerOrder: report.hits.count(.reply(.workerOrder))
        case .deadLetters: report.hits.count(.reply(.deadLetters))
        case .bulkOperations: report.hits.count(.reply(.bulkOperations))
        case .gates: report.hits.count(.reply(.gates))
        case .explanation: report.hits.count(.reply(.explanation))
        case .compacted: report.hits.count(.reply(.compacted))
        case .recurring: report.hits.count(.reply(.recurring))
        case .ticks: report.hits.count(.reply(.ticks))
        case .health: report.hits.count(.reply(.health))
        case .done: report.hits.count(.reply(.done))
        case .error: break
        }
    }

    /// Looks at a committed group.
    mutating func take(_ effects: EffectBatch) throws(Broken) {
        try handOvers.check(effects)
        try noteTicks(effects)
        try noteBulk(effects)
        try checkExpiry(of: effects)
        try dependencies.check(effects)
        displaced += effects.outcomes.filter { $0.cancelReason == .displaced }.map(\.sequence)
        count(effects)
    }

    private mutating func count(_ effects: EffectBatch) {
        report.hits.count(.event(.segmentDied), by: effects.derived.deadSegments.count)
        report.hits.count(.event(.transitionsDied), by: effects.derived.deadTransitions.count)
        report.hits.count(.event(.locatorWritten), by: effects.derived.locators.count)
        report.hits.count(.event(.outcomesExpired), by: effects.expiredOutcomes.count)
        report.hits.count(.event(.outcomesRewritten), by: effects.rewrittenOutcomes.count { !$0.rows.isEmpty })
        report.hits.count(.event(.locatorRewritten), by: effects.rewrittenLocators.count)
        report.hits.count(.event(.keysExpired), by: effects.expiredKeys.count)
        report.hits.count(.event(.keyHeldByDeadLetter), by: effects.deadLetters.count { DeadHold($0) != nil })
        report.hits.count(.event(.tagDropped), by: effects.tags.reduce(0) { $0 + $1.dropped.count })
        let expired = effects.swept.count { if case .tags = $0.kind { true } else { false } }
        report.hits.count(.event(.tagsExpired), by: expired)
        let redriven = effects.redrivenDeadLetters.count
        let moved = effects.segments.reduce(0) { $0 + ($1.key.isMoved ? $1.taskCount : 0) }
        report.hits.count(.event(.survivorMoved), by: max(0, moved - redriven))
        report.hits.count(.event(.deadLetterExpired), by: effects.outcomes.count { $0.cancelReason == .expired })
        report.hits.count(.event(.cancelledLate), by: effects.outcomes.count { $0.cancelReason == .tooLate })
        let unrun = effects.outcomes.count { $0.cancelReason == .dependencyFailed }
        report.hits.count(.event(.cancelledUnrun), by: unrun)
        for transition in effects.transitions {
            if transition.operation == .cancel, transition.token.rawValue > 0 {
                report.hits.count(.event(.runningTaskCancelled))
            }
            if transition.operation == .settle, transition.state != .blocked {
                report.hits.count(.event(.dependenciesMet))
            }
            if transition.operation == .carry { report.hits.count(.event(.transitionCarried)) }
            if transition.operation == .stage, transition.token.rawValue == 0 { report.hits.count(.event(.taskDue)) }
        }
    }
}
