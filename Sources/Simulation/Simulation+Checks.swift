import ByteStore
import HistoryChecker
import QueueCore
import Storage
import TQModel

extension Simulation {
    /// The client that looks at the broker from outside when nothing else happens.
    static let observer = 4

    /// Claims while nothing else happens: tasks must come in order.
    mutating func checkOrder() throws(Broken) {
        // Behind a gate tasks keep their order, but others may go before them.
        guard !isReadOnly(), try settle(), broker.process.gates.isEmpty else { return }
        // Among several queues one in which another task has its turn may come later.
        let isShared = !broker.process.core.index.sharedTasks.isEmpty
        let queues = dice.oneIn(2) && !isShared ? Cast.queues : [Cast.queues[0]]
        // Where priorities rise with the wait another check looks.
        let index = broker.process.core.index
        let rising = index.queuePolicies.filter { $0.policy.aging != nil }.map { index.name(.queue, $0.queue) }
        guard queues.allSatisfy({ !rising.contains($0) }) else { return }
        history.record(.orderBegan, at: now)
        for _ in 0..<2 + dice.below(4) {
            let claim = ClaimSpec(queues: queues, count: UInt32(1 + dice.below(3)))
            guard try reply(to: .claim(claim), calls: [.claim(queues: queues.map(Cast.number))]) != nil else { break }
        }
        history.record(.orderEnded, at: now)
        report.hits.count(.event(.orderChecked))
    }

    /// Asks the broker for everything that it has, and compares its counters with that.
    mutating func recount() throws(Broken) {
        try expireWhatIsDue()
        guard !isReadOnly(), try settle() else { return }
        if dice.oneIn(2) { try checkCap() }
        if dice.oneIn(4) { try checkOutcomeCap() }
        guard !isReadOnly() else { return }
        try checkRest()
        try checkExplanations()
        try dump(mustEqualPrevious: false)
        if dice.oneIn(3), !isReadOnly() {
            try verifyStore("while nothing is under way")
            report.hits.count(.event(.storeVerified))
        }
        if dice.oneIn(4), !isReadOnly() {
            // A crash in which nothing is under way must change nothing.
            endConnections()
            history.record(.stopped(.powerCut), at: now)
            broker.powerCut(keepingUnsynced: 0)
            broker.healDisk()
            _ = try broker.start(at: now)
            isDiskLow = false
            history.record(.serving, at: now)
            try dump(mustEqualPrevious: true)
        }
        if dice.oneIn(2), !isReadOnly() { try checkBulk() }
        report.hits.count(.event(.storeRecounted))
    }

    /// An outcome whose time has come is found no more, but counted until a tick has removed it.
    mutating func expireWhatIsDue() throws(Broken) {
        var newest: UInt64
        repeat {
            newest = broker.process.core.newestGroup
            tick()
            guard !isReadOnly(), try settle() else { return }
        } while broker.process.core.newestGroup != newest
    }

    private mutating func dump(mustEqualPrevious: Bool) throws(Broken) {
        var rows: [StoredTask] = []
        var tasks: [TaskStatus] = []
        for id in storedIDs {
            guard let (row, status) = try row(id) else { continue }
            rows.append(row)
            tasks.append(status)
        }
        for _ in 0..<3 where !isReadOnly() { try checkList(of: tasks) }
        guard case .queues(let queues)? = try reply(to: .queues),
            case .statistics(let statistics)? = try reply(to: .statistics)
        else { return }
        history.record(.dumpBegan(mustEqualPrevious: mustEqualPrevious), at: now)
        for row in rows { history.record(.dumped(row), at: now) }
        for queue in queues { history.record(.counted(queue: Cast.number(queue.name), queue.counts), at: now) }
        history.record(.counted(queue: nil, statistics.counts), at: now)
        history.record(.dumpEnded, at: now)
    }

    private mutating func row(_ id: TaskID) throws(Broken) -> (StoredTask, TaskStatus)? {
        guard let spec = stored[id], case .status(let status)? = try reply(to: .status(id)) else { return nil }
        try taskPayloads.check(status)
        try checkTags(ofTick: status)
        var row = StoredTask(
            id: id,
            queue: Cast.number(status.queue),
            rank: status.priority.rank,
            state: status.state,
            attempts: status.attempts,
            payload: spec.payload
        )
        if status.state == .completed, case .result(let result)? = try reply(to: .result(id, waitMilliseconds: 0)) {
            row.result = Digest(of: result.result, result.content)
        }
        return (row, status)
    }

    /// Asks and waits for the reply; `nil` when the disk failed on the way.
    mutating func reply(to request: Request, calls: [Call] = []) throws(Broken) -> Reply? {
        if clients[Self.observer].session == nil { connect(Self.observer) }
        let wasCalm = isCalm
        isCalm = true
        defer { isCalm = wasCalm }
        let number = nextRequest
        ask(Self.observer, request, calls: calls)
        var found: Reply?
        var steps = 0
        while found == nil, !isReadOnly() {
            for sent in broker.process.peekReplies where sent.answer.request == number { found = sent.reply }
            try deliver()
            if found != nil { break }
            if let step = broker.process.nextCommitStep { try commit(step) }
            runErrand()
            steps += 1
            guard steps < 1_000 else { throw Broken("I13", "\(request) is never answered") }
        }
        return found
    }

    /// Compares the replica with the core at a moment at which no group is open.
    mutating func compareReplay() throws(Broken) {
        guard broker.settings.isFollowed, !isReadOnly(), try settle() else { return }
        try broker.compareFollower()
        report.hits.count(.event(.replayCompared))
    }

    // MARK: The end

    /// Workers do all that is left; then nothing may be.
    mutating func finish() throws(Broken) {
        broker.healDisk()
        while isReadOnly() { try rebuildInTime() }
        isCalm = true
        arriveAll()
        for client in clients.indices {
            guard let session = clients[client].session else { continue }
            abandon(client)
            history.record(.sessionEnded, client: clients[client].number, at: now)
            perform(.closeSession(session), .closeSession)
        }
        perform(.disk(isLow: false), .disk)
        try removeRecurring()
        try openGates()
        _ = try finishBulk()
        history.record(.clock, at: now)
        // Start times were set by a clock that may have been ahead.
        now.wallMilliseconds = latestWallMilliseconds + 60_000
        history.record(.clock, at: now)
        // All types by their names find the same tasks as a claim that names none.
        let types = dice.oneIn(2) ? [] : Cast.types.map { TypePattern(bytes: $0.bytes) }
        var idleRounds = 0
        var rounds = 0
        // Long enough for the longest backoff of the retries that a task has, which no clock can shorten.
        while idleRounds < 24 {
            rounds += 1
            guard rounds < 1_000 else { throw Broken("I13", "There is always something left to claim") }
            var isIdle = try !doAll(types)
            if isIdle, idleRounds == 20 { isIdle = try !cancelBlocked() }
            idleRounds = isIdle ? idleRounds + 1 : 0
            wait(5_000)
            tick()
            _ = try settle()
        }
        history.record(.drained, at: now)
        try dump(mustEqualPrevious: false)
        try compareReplay()
        history.finish()
        try history.check()
        try checkBaseline()
        report.hits.count(.event(.drained))
    }

    /// Lets the time pass after which nothing is kept but dead letters: then the disk must hold nothing else.
    private mutating func checkBaseline() throws(Broken) {
        for _ in 0..<40 {
            wait(60_000)
            tick()
            perform(.clean, .clean)
            _ = try settle()
        }
        try checkNoneExpires()
        let deadLetters = broker.process.core.index.counts.deadLetter
        for family in Family.allCases {
            let rows = broker.disk.statistics(family).estimatedRows
            let rowsMax: UInt64 =
                switch family {
                // Header, identity, epoch.
                case .default: 3
                case .deadLetter: deadLetters
                // Names, policies, content types and counters, of which there is a fixed number, bulk operations, histories, rows of
                // lists, and tags.
                case .index:
                    UInt64(broker.process.core.index.bulkInOrder.count)
                        + UInt64(16 + Cast.retryPolicies.count - 1 + Cast.contentTypes.count + Cast.queues.count * 2)
                        + deadLetters * (UInt64(Limits.historyMax) + 2 + 1 + UInt64(Limits.tagsMax))
                case .pending, .payload, .inProgress, .completed: 0
                }
            guard rows <= rowsMax else {
                throw Broken("I14", "\(family.name) has \(rows) rows when only \(deadLetters) dead letters are left")
            }
        }
        try verifyStore("when only dead letters are left")
        let entries = broker.process.core.index.taskEntryCount
        guard entries == 0 else {
            throw Broken("I14", "The broker remembers \(entries) things of tasks when only dead letters are left")
        }
        report.hits.count(.event(.baselineReached))
    }

    /// Compares what the store says of itself, as 'tq-inspect verify' does.
    private func verifyStore(_ moment: String) throws(Broken) {
        var problem: StoreVerification.Problem?
        _ = StoreVerification.verify(broker.disk, mark: nil) { problem = problem ?? $0 }
        if let problem { throw Broken("I14", "\(problem.place): \(problem.message), \(moment)") }
    }

    /// Claims and completes what there is, and says whether there was something.
    private mutating func doAll(_ types: [TypePattern]) throws(Broken) -> Bool {
        let claim = ClaimSpec(queues: Cast.queues, types: types, count: 20)
        let calls = [Call.claim(queues: Cast.queues.map(Cast.number))]
        guard case .claimed(let deliveries)? = try reply(to: .claim(claim), calls: calls), !deliveries.isEmpty
        else { return false }
        for delivery in deliveries {
            let completion = Completion(lease: delivery.lease)
            _ = try reply(to: .complete([completion]), calls: [.complete(delivery.lease, result: Digest(of: []))])
        }
        return true
    }
}
