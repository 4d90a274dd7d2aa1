import HistoryChecker
import QueueCore
import TQModel

extension Simulation {
    /// Some client does something.
    mutating func askSomething() {
        let client = dice.below(clients.count)
        guard clients[client].session != nil else { return connect(client) }
        switch dice.below(100) {
        case ..<26: submit(client)
        case ..<40: claim(client)
        case ..<48: stream(client)
        case ..<64: complete(client)
        case ..<72: fail(client)
        case ..<76: release(client)
        case ..<80: renew(client)
        case ..<84:
            cancel(client)
        case ..<87:
            redrive(client)
        case ..<89:
            askForTask(client) {
                .status($0)
            } call: {
                .status($0)
            }
        case ..<90: askForResult(client)
        case ..<91: putPolicy(client)
        case ..<92: askForGate(client)
        case ..<94: askAsWorker(client)
        case ..<97: askForRecurring(client)
        case ..<98: if dice.oneIn(2) { askForList(client) } else { askForBulk(client) }
        case ..<99: ask(client, dice.pick([.statistics, .queues, .workers, .health, .ping, .compact, page]) ?? .ping)
        default: disconnect(client)
        }
    }

    private var page: Request { .deadLetters(DeadLetterQuery(count: 10)) }

    /// Sends a request, after the history has it; it arrives at once or later.
    ///
    /// - Parameter worker: Whom the broker hears of by it.
    mutating func ask(_ client: Int, _ request: Request, calls: [Call] = [], worker: Name? = nil) {
        guard let session = clients[client].session else { return }
        let number = clients[client].number
        let operations = calls.map { history.invoke($0, client: number, at: now) }
        let key = AskedKey(session: session, request: nextRequest)
        nextRequest += 1
        asked[key] = Asked(client: client, request: request, calls: calls, operations: operations)
        network.send(
            .request(session, id: key.request, .anonymous, request),
            request.kind,
            of: session,
            worker: worker
        )
        if isCalm || !dice.oneIn(4) { arrive(allOf: session) } else { report.hits.count(.fault(.delayedRequest)) }
    }

    // MARK: Connections

    mutating func connect(_ client: Int) {
        clients[client].session = nextSession
        clients[client].endsLeases = dice.oneIn(3)
        nextSession += 1
        let settings = SessionSettings(endsLeasesOnClose: clients[client].endsLeases)
        network.send(.openSession(nextSession - 1, settings), .openSession, of: nextSession - 1)
        if isCalm || !dice.oneIn(4) { arrive(allOf: nextSession - 1) }
    }

    /// A client closes its connection, or the network does and the broker notices it later.
    private mutating func disconnect(_ client: Int) {
        guard let session = clients[client].session else { return }
        let isCut = dice.oneIn(2)
        var lost: Set<UInt32> = []
        if isCut {
            report.hits.count(.fault(.cutConnection))
            lost = network.cut(session, keeping: dice.below(4))
            if !lost.isEmpty { report.hits.count(.fault(.lostRequest)) }
        } else {
            arrive(allOf: session)
        }
        // While the broker reads what it needs to end the session it may still decide what the session has asked for.
        abandon(client) { lost.contains($0) }
        if clients[client].endsLeases {
            report.hits.count(.event(.leaseEndedWithSession))
            history.record(.sessionEnded, client: clients[client].number, at: now)
        }
        network.send(.closeSession(session), .closeSession, of: session)
        if !isCut { arrive(allOf: session) }
    }

    /// Ends what a client waits for at the moment at which the broker, too, ends it: what is not decided never will be.
    mutating func abandon(_ client: Int) {
        guard let session = clients[client].session else { return }
        assignClaims()
        var decided = Set(broker.process.undelivered.lazy.filter { $0.session == session }.map(\.request))
        for (holder, request) in broker.process.undecided where holder == session { decided.insert(request) }
        for sent in network.replies where sent.answer.session == session { decided.insert(sent.answer.request) }
        for stream in clients[client].streams { refuse(stream.claims, client) }
        clients[client].streams = []
        abandon(client) { !decided.contains($0) }
    }

    /// Ends what a client waits for: a request that is certainly lost changed nothing, any other may have, or will.
    private mutating func abandon(_ client: Int, isLost: (UInt32) -> Bool) {
        guard let session = clients[client].session else { return }
        assignClaims()
        for key in asked.keys.filter({ $0.session == session }).sorted() {
            guard let ended = asked.removeValue(forKey: key) else { continue }
            lose(ended, isCertain: isLost(key.request))
        }
        let claims = clients[client].streams.flatMap(\.claims) + clients[client].streamed.values.sorted()
        for claim in claims { history.record(.returned(claim, .unknown), at: now) }
        clients[client].streams = []
        clients[client].streamed = [:]
        clients[client].session = nil
    }

    // MARK: Arrivals

    /// The oldest of what is on the way over some connection reaches the broker.
    mutating func arriveSomething() {
        guard let parcel = dice.pick(network.parcels) else { return }
        arrive(nextOf: parcel.session)
    }

    /// All that is on the way reaches the broker.
    mutating func arriveAll() {
        while let parcel = network.parcels.first { arrive(nextOf: parcel.session) }
    }

    mutating func arrive(allOf session: SessionID) {
        while arrive(nextOf: session) {}
    }

    @discardableResult
    private mutating func arrive(nextOf session: SessionID) -> Bool {
        guard let (parcel, isOvertaken) = network.arrival(of: session) else { return false }
        if isOvertaken { report.hits.count(.fault(.overtakenRequest)) }
        if case .request(_, let id, _, let request) = parcel.command {
            let isDraining = broker.process.core.isDraining
            asked[AskedKey(session: session, request: id)]?.arrival = (now.monotonicMilliseconds, isDraining)
            if !clients.contains(where: { $0.session == session }) { report.hits.count(.fault(.lateRequest)) }
            if case .closeStream(let number) = request { endStream(number, of: session) }
        }
        perform(parcel.command, parcel.kind)
        noteStored()
        if let worker = parcel.worker { hear(worker) }
        return true
    }

    /// Takes back the credit that no delivery on the way has used, at the moment at which the broker does.
    private mutating func endStream(_ number: UInt32, of session: SessionID) {
        assignClaims()
        guard let client = clients.firstIndex(where: { $0.session == session }),
            let place = clients[client].streams.firstIndex(where: { $0.number == number })
        else { return }
        refuse(clients[client].streams.remove(at: place).claims, client)
    }

    /// Ends the claims of a stream that nothing was decided for.
    mutating func refuse(_ claims: [OperationNumber], _ client: Int) {
        for claim in claims {
            history.record(.returned(claim, .refused(.connectionFailed)), client: clients[client].number, at: now)
        }
    }

    /// The reply will not come.
    mutating func lose(_ request: Asked, isCertain: Bool) {
        for operation in request.operations {
            history.record(.returned(operation, isCertain ? .refused(.connectionFailed) : .unknown), at: now)
        }
        if case .submit(let specs) = request.request { repeats += specs.filter { !$0.idempotencyKey.isEmpty } }
    }

    // MARK: Tasks

    private mutating func submit(_ client: Int) {
        let count = dice.oneIn(6) ? 9 + dice.below(6) : 1 + dice.below(3)
        // Now and then one that waits is replaced again and again in one group.
        let last = Cast.uniqueScopes.count - 1
        let number = dice.oneIn(40) ? (dice.oneIn(2) ? last : dice.below(last)) : nil
        let specs = (0..<count).map { _ in number.map { replacement($0) } ?? nextSpec() }
        ask(client, .submit(specs), calls: specs.map { .submit(call(of: $0)) })
    }

    private mutating func nextSpec() -> TaskSpec {
        if dice.oneIn(3), !repeats.isEmpty {
            report.hits.count(.event(.repeatedSubmit))
            return repeats.remove(at: dice.below(repeats.count))
        }
        if dice.oneIn(24), let earlier = dice.pickRecent(keyed) { return earlier }
        payloads += 1
        if dice.oneIn(5) { return uniqueSpec() }
        var spec = TaskSpec(
            queue: dice.pick(Cast.queues) ?? "a",
            type: dice.pick(Cast.types) ?? "sum",
            payload: payload(),
            content: content(),
            rank: (dice.pick([Priority(50), .normal, .normal, .high]) ?? .normal).rank
        )
        if dice.oneIn(6) { spec.start = .at(wallMilliseconds: now.wallMilliseconds + UInt64(dice.below(20_000))) }
        if dice.oneIn(2) { spec.retriesMax = UInt16(dice.below(3)) }
        if dice.oneIn(2) { spec.crashesMax = UInt16(dice.below(3)) }
        if dice.oneIn(2) { spec.leaseMilliseconds = UInt32(500 + dice.below(8_000)) }
        if dice.oneIn(6) {
            // Behind its start, which is at most 20 s away.
            let latest = TaskSpec.Start.at(wallMilliseconds: now.wallMilliseconds + UInt64(1 + dice.below(40_000)))
            let span = TaskSpec.Start.after(milliseconds: UInt64(1 + dice.below(40_000)))
            spec.startBy = TaskSpec.StartBy(dice.oneIn(4) ? span : latest, buriesLate: dice.oneIn(2))
        }
        if dice.oneIn(3) { spec.timeoutMilliseconds = UInt32(500 + dice.below(12_000)) }
        if dice.oneIn(2) { spec.retentionMilliseconds = Self.shortestKeptMilliseconds }
        if dice.oneIn(3) { spec.deadLetterRetentionMilliseconds = Self.shortestKeptMilliseconds }
        spec.retryPolicy = dice.pick(Cast.retryPolicies) ?? nil
        if dice.oneIn(60) { spec.type = "no name" }
        spec.tags = someTags()
        if report.hasSharing, dice.oneIn(2) { spec.sharing = someSharing() }
        if report.hasSharing, dice.oneIn(4) { spec.dependencies = someDependencies() }
        guard dice.oneIn(4) else { return spec }
        // Some keys come again with another content, or in another queue, where they are other keys.
        let isReused = dice.oneIn(12)
        let key = isReused ? keyed.last?.idempotencyKey : nil
        spec.idempotencyKey = key ?? Bytes("key \(payloads)".utf8)
        spec.idempotencyWindowMilliseconds = Self.shortestKeptMilliseconds * UInt64(1 + dice.below(2))
        if isReused, dice.oneIn(2), let queue = keyed.last?.queue { spec.queue = queue }
        keyed.append(spec)
        return spec
    }

    /// Keys and groups of which there are few, so that many tasks wait for each other.
    private mutating func someSharing() -> Sharing {
        let limitKey = dice.oneIn(2) ? dice.pick(Cast.keys) : nil
        let serialKey = dice.oneIn(3) ? dice.pick(Cast.keys) : nil
        let group = dice.oneIn(2) ? dice.pick(Cast.groups) : nil
        return Sharing(limitKey: limitKey, serialKey: serialKey, group: group, weight: UInt16(1 + dice.below(3)))
    }

    /// Tags of which some tasks carry the same, and one that no other task has.
    private mutating func someTags() -> [TaskTag] {
        guard dice.oneIn(3) else { return [] }
        let tags = Cast.tags.filter { _ in dice.oneIn(2) } + (dice.oneIn(4) ? [TaskTag("task:\(payloads)")] : [])
        return dice.oneIn(60) ? tags + ["no tag"] : tags
    }

    /// A submit with a unique key; those with one key differ in nothing but their payloads and their tags.
    private mutating func uniqueSpec() -> TaskSpec { uniqueSpec(dice.below(Cast.uniqueScopes.count - 1)) }

    mutating func replacement(_ number: Int) -> TaskSpec {
        payloads += 1
        var spec = uniqueSpec(number)
        spec.uniqueKey?.onConflict = .replace
        return spec
    }

    private mutating func uniqueSpec(_ number: Int) -> TaskSpec {
        var spec = TaskSpec(
            queue: Cast.queues[number % Cast.queues.count],
            type: Cast.types[0],
            payload: payload(),
            content: content()
        )
        spec.retriesMax = 1
        spec.retentionMilliseconds = Self.shortestKeptMilliseconds
        if number == Cast.uniqueScopes.count - 1 { spec.rank = Priority(0).rank }
        spec.tags = someTags()
        // Its key, because all that have the same unique key are alike but for this.
        if report.hasSharing, dice.oneIn(3) { spec.sharing = someSharing() }
        if report.hasSharing, dice.oneIn(4) { spec.dependencies = someDependencies() }
        spec.uniqueKey = UniqueKey(
            Bytes("unique \(number)".utf8),
            scope: Cast.uniqueScopes[number],
            onConflict: dice.pick(UniqueKey.OnConflict.allCases) ?? .existing
        )
        return spec
    }

    /// What somebody says of bytes; nobody here looks into them.
    private mutating func content() -> Content {
        guard dice.oneIn(2) else { return .unspecified }
        return Content(type: dice.pick(Cast.contentTypes), encoding: dice.oneIn(2) ? .zstd : .identity)
    }

    /// Bytes that no other task has; now and then so many that a group needs several segments.
    private mutating func payload() -> Bytes {
        let filler = dice.oneIn(150) ? 40_000 : dice.below(30)
        return Bytes("payload \(payloads) ".utf8) + Bytes(repeating: UInt8(truncatingIfNeeded: payloads), count: filler)
    }

    func call(of spec: TaskSpec) -> SubmitCall {
        var start: UInt64 = 0
        if case .at(let wall) = spec.start { start = wall }
        var (latest, span): (UInt64, UInt64) = (0, 0)
        switch spec.startBy?.time {
        case .at(let wall): latest = wall
        case .after(let milliseconds): span = milliseconds
        case .now, nil: break
        }
        return SubmitCall(
            queue: Cast.number(spec.queue),
            key: spec.idempotencyKey.isEmpty ? nil : Digest(of: spec.idempotencyKey).rawValue,
            rank: spec.rank,
            payload: Digest(ofPayload: spec),
            notBeforeWallMilliseconds: start,
            retriesMax: spec.retriesMax ?? Defaults.retriesMax,
            retriesMin: retriesMin(of: spec),
            crashesMax: spec.crashesMax ?? Defaults.crashesMax,
            timeoutMilliseconds: nonZero(spec.timeoutMilliseconds) ?? Defaults.timeoutMilliseconds,
            lateness: spec.startBy.map { $0.buriesLate ? .buried : .cancelled } ?? .none,
            startByWallMilliseconds: latest,
            startBySpanMilliseconds: span,
            unique: spec.uniqueKey.map(call),
            takesTurns: report.hasSharing && (!spec.sharing.isNone || spec.uniqueKey != nil),
            hasDependencies: report.hasSharing && (spec.dependencies != nil || spec.uniqueKey != nil)
        )
    }

    private func call(of unique: UniqueKey) -> UniqueCall {
        let scope: UniqueCall.Scope =
            switch unique.scope {
            case .waiting: .waiting
            case .active: .active
            case .unfinished: .unfinished
            case .window: .window
            }
        return UniqueCall(key: Digest(of: unique.key).rawValue, scope: scope, replaces: unique.onConflict == .replace)
    }

    // MARK: Claims

    private mutating func claimSpec(_ client: Int) -> ClaimSpec {
        let first = dice.below(3)
        let queues = dice.oneIn(2) ? Cast.queues : [Cast.queues[first]]
        return ClaimSpec(
            queues: queues,
            types: dice.pick(Cast.patterns) ?? [],
            count: UInt32(1 + dice.below(4)),
            waitMilliseconds: dice.oneIn(2) ? 0 : UInt64(dice.below(5_000)),
            worker: clients[client].worker,
            leaseMilliseconds: dice.oneIn(4) ? UInt32(500 + dice.below(40_000)) : 0
        )
    }

    /// Whether a client's worker is being deregistered: what it claims meanwhile may be taken back.
    private func isLeaving(_ client: Int) -> Bool {
        guard let worker = clients[client].worker else { return false }
        return asked.values.contains { $0.request == .deregisterWorker(worker) }
    }

    private mutating func claim(_ client: Int) {
        guard !isLeaving(client) else { return }
        let spec = claimSpec(client)
        ask(client, .claim(spec), calls: [.claim(queues: spec.queues.map(Cast.number))], worker: spec.worker)
    }

    private mutating func stream(_ client: Int) {
        guard !isLeaving(client) else { return }
        let number = UInt32(dice.below(2))
        let place = clients[client].streams.firstIndex { $0.number == number }
        guard let place else { return openStream(client, number) }
        guard !clients[client].streams[place].isClosing else { return }
        guard !dice.oneIn(8) else {
            clients[client].streams[place].isClosing = true
            return ask(client, .closeStream(stream: number))
        }
        let count = 1 + dice.below(3)
        addClaims(count, client, place)
        let worker = clients[client].streams[place].worker
        ask(client, .addCredit(stream: number, count: UInt32(count)), worker: worker)
    }

    private mutating func openStream(_ client: Int, _ number: UInt32) {
        var spec = claimSpec(client)
        spec.queues = Cast.queues
        clients[client].streams.append(
            Client.Stream(number: number, request: nextRequest, worker: spec.worker, types: spec.types)
        )
        addClaims(Int(spec.count), client, clients[client].streams.count - 1)
        ask(client, .openStream(stream: number, spec), worker: spec.worker)
    }

    mutating func addClaims(_ count: Int, _ client: Int, _ place: Int) {
        for _ in 0..<count {
            let call = Call.claim(queues: Cast.queues.map(Cast.number))
            let claim = history.invoke(call, client: clients[client].number, at: now)
            clients[client].streams[place].claims.append(claim)
        }
    }

    // MARK: Leases

    private mutating func pickLease() -> LeaseHandle? { dice.pickRecent(leases)?.lease }

    private mutating func complete(_ client: Int) {
        guard let lease = pickLease() else { return }
        let result = Bytes("result of \(lease.token) \(dice.below(2))".utf8)
        var completion = Completion(lease: lease, result: result, content: content())
        if dice.oneIn(6) {
            completion.followUps = (0..<1 + dice.below(3)).map { _ in nextSpec() }
            if dice.oneIn(3), let id = dice.pickRecent(ids) {
                cancelled.insert(id)
                completion.cancels = [id]
            }
        }
        handOvers.note(completion)
        ask(
            client,
            .complete([completion]),
            calls: [.complete(lease, result: Digest(of: result, completion.content))]
                + completion.followUps.map { .submit(call(of: $0)) } + completion.cancels.map { .cancel($0) }
        )
    }

    private mutating func fail(_ client: Int) {
        guard let lease = pickLease() else { return }
        let failure = Failure(
            lease: lease,
            error: Bytes("error of \(lease.token)".utf8),
            isPermanent: dice.oneIn(6),
            retryAfterMilliseconds: dice.oneIn(3) ? UInt64(dice.below(3)) * 2_000 : nil
        )
        let call = Call.fail(
            lease,
            isPermanent: failure.isPermanent,
            // The checker does not know the task's own policy, whose waits are at least that long.
            retryAfterMilliseconds: failure.retryAfterMilliseconds ?? stored[lease.task]?.shortestWait
        )
        ask(client, .fail([failure]), calls: [call])
    }

    private mutating func release(_ client: Int) {
        guard let lease = pickLease() else { return }
        let delay = dice.oneIn(2) ? 0 : UInt64(dice.below(5_000))
        ask(
            client,
            .release([Release(lease: lease, delayMilliseconds: delay)]),
            calls: [.release(lease, delayMilliseconds: delay)]
        )
    }

    private mutating func renew(_ client: Int) {
        guard let lease = pickLease() else { return }
        let duration = dice.oneIn(2) ? 0 : UInt32(500 + dice.below(10_000))
        ask(
            client,
            .renew([
                Renewal(
                    lease: lease,
                    leaseMilliseconds: duration,
                    progress: dice.oneIn(3)
                        ? TaskProgress(percent: UInt8(dice.below(101)), message: Bytes("on".utf8)) : nil,
                    checkpoint: dice.oneIn(4) ? Bytes(repeating: UInt8(dice.below(256)), count: dice.below(30)) : nil
                )
            ]),
            calls: [.renew(lease, leaseMilliseconds: duration)]
        )
    }

    // MARK: Looking, stopping, living

    private mutating func askForTask(_ client: Int, _ request: (TaskID) -> Request, call: (TaskID) -> Call) {
        guard let id = dice.pickRecent(dice.oneIn(3) ? dead : ids) else { return }
        ask(client, request(id), calls: [call(id)])
    }

    private mutating func cancel(_ client: Int) {
        guard let id = dice.oneIn(2) ? pickLease()?.task : dice.pickRecent(dice.oneIn(3) ? dead : ids) else { return }
        cancelled.insert(id)
        ask(client, .cancel([id]), calls: [.cancel(id)])
    }

    /// Asks for a page of tasks, of which the history knows that it looks at some.
    private mutating func askForList(_ client: Int) {
        var filter = TaskFilter()
        if dice.oneIn(2) { filter.queue = dice.pick(Cast.queues) }
        if dice.oneIn(2) { filter.states = Set(TaskState.allCases.filter { _ in dice.oneIn(2) }) }
        if dice.oneIn(3) { filter.tag = dice.pick(Cast.tags) }
        let query = TaskQuery(filter: filter, isNewestFirst: !dice.oneIn(4), count: UInt32(1 + dice.below(50)))
        ask(client, .tasks(query), calls: ids.suffix(8).map { .status($0) })
    }

    private mutating func redrive(_ client: Int) {
        guard let id = dice.pickRecent(dice.oneIn(3) ? dead : ids) else { return }
        switch dice.below(5) {
        case 0: ask(client, .purge([id]), calls: [.purge(id)])
        case 1...2:
            let payload = Bytes("edited \(dice.below(1 << 30))".utf8)
            let edit = Redrive(task: id, payload: payload, content: content())
            let call = Call.redrive(id, payload: Digest(of: payload, edit.content))
            ask(client, .redrive([edit]), calls: [call])
        default: ask(client, .redrive([Redrive(task: id)]), calls: [.redrive(id, payload: nil)])
        }
    }

    private mutating func askForResult(_ client: Int) {
        guard let id = dice.pickRecent(ids) else { return }
        let wait = dice.oneIn(2) ? 0 : UInt64(dice.below(5_000))
        ask(client, .result(id, waitMilliseconds: wait), calls: [.result(id)])
    }

    private mutating func askAsWorker(_ client: Int) {
        let worker = clients[client].worker ?? "w3"
        switch dice.below(6) {
        case 0:
            for other in clients.indices where clients[other].worker == worker {
                if let session = clients[other].session { arrive(allOf: session) }
                giveUp(other)
            }
            ask(client, .deregisterWorker(worker))
            if let session = clients[client].session { arrive(allOf: session) }
        case 1: ask(client, .registerWorker(WorkerSpec(name: worker, concurrency: 4)), worker: worker)
        case 2: ask(client, .orderWorker(worker, dice.pick(WorkerOrder.allCases) ?? .work))
        default: ask(client, .heartbeat(WorkerSpec(name: worker, running: UInt32(dice.below(4)))), worker: worker)
        }
    }
}

extension Request {
    /// The row of the table.
    var kind: CommandKind {
        switch self {
        case .submit: .submit
        case .claim: .claim
        case .openStream: .openStream
        case .addCredit: .addCredit
        case .closeStream: .closeStream
        case .complete: .complete
        case .fail: .fail
        case .release: .release
        case .renew: .renew
        case .cancel: .cancel
        case .status: .status
        case .result: .result
        case .tasks: .tasks
        case .registerWorker: .registerWorker
        case .heartbeat: .heartbeat
        case .deregisterWorker: .deregisterWorker
        case .orderWorker: .orderWorker
        case .statistics: .statistics
        case .queues: .queues
        case .workers: .workers
        case .deadLetters: .deadLetters
        case .redrive: .redrive
        case .purge: .purge
        case .startBulk: .startBulk
        case .bulkOperations: .bulkOperations
        case .stopBulk: .stopBulk
        case .compact: .compact
        case .putRecurring: .putRecurring
        case .removeRecurring: .removeRecurring
        case .pauseRecurring: .pauseRecurring
        case .runRecurring: .runRecurring
        case .recurring: .recurring
        case .upcomingTicks: .upcomingTicks
        case .putQueuePolicy: .putQueuePolicy
        case .changeGate: .changeGate
        case .gates: .gates
        case .explain: .explain
        case .explainQueue: .explainQueue
        case .health: .health
        case .ping: .ping
        }
    }
}
