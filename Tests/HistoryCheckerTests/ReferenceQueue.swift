import HistoryChecker
import TQModel

/// The smallest queue that keeps the promises: it decides in memory, syncs when a reply needs it, and can crash.
struct ReferenceQueue {
    static let leaseMilliseconds: UInt64 = 100
    static let retentionMilliseconds: UInt64 = 3_000

    let mutation: Mutation?
    var state = ReferenceState()
    /// What a power cut may leave: the synced state and every one written since.
    private var versions = [ReferenceState()]
    private var firstVersion = 0
    private var claimsDecided = 0

    init(mutation: Mutation?) {
        self.mutation = mutation
        start(at: 0)
    }

    func makes(_ mutation: Mutation) -> Bool { self.mutation == mutation }

    /// The number of the newest state.
    private var version: Int { firstVersion + versions.count - 1 }

    private mutating func write() { versions.append(state) }

    /// Makes everything up to that state durable.
    mutating func sync(through version: Int) {
        guard version > firstVersion else { return }
        versions.removeFirst(version - firstVersion)
        firstVersion = version
    }

    mutating func syncAll() { sync(through: version) }

    /// Decides a call; the reply must wait until the state with that number is synced.
    mutating func decide(_ call: Call, at now: Now) -> (outcome: Outcome, version: Int) {
        passTime(now)
        if case .claim(let queues) = call {
            let outcome = claim(queues, now)
            let needed = version
            write()
            return (outcome, makes(.claimOfUnsyncedTask) ? 0 : needed)
        }
        let outcome = apply(call, now)
        write()
        return (outcome, repliesBeforeSync(call) ? 0 : version)
    }

    private func repliesBeforeSync(_ call: Call) -> Bool {
        switch call {
        case .submit: makes(.submitAcknowledgedBeforeSync)
        case .complete: makes(.completionAcknowledgedBeforeSync)
        case .fail: makes(.failureAcknowledgedBeforeSync)
        case .cancel: makes(.cancelAcknowledgedBeforeSync)
        case .status, .result: makes(.readRevealsUnsynced)
        case .claim, .release, .renew, .redrive, .purge, .forget, .arrange: false
        }
    }

    private mutating func apply(_ call: Call, _ now: Now) -> Outcome {
        switch call {
        case .submit(let submit): self.submit(submit, now)
        case .claim: .unknown
        case .complete(let lease, let result): complete(lease, result, now)
        case .fail(let lease, let isPermanent, let pause): fail(lease, isPermanent: isPermanent, pause, now)
        case .release(let lease, let delay): release(lease, delay, now)
        case .renew(let lease, let milliseconds): renew(lease, milliseconds, now)
        case .cancel(let id): cancel(id, now)
        case .redrive(let id, let payload): redrive(id, payload)
        case .purge(let id): purge(id, now)
        case .forget(let id): forget(id)
        case .arrange(let id, let queue, let rank): arrange(id, queue, rank)
        case .status(let id), .result(let id): read(id)
        }
    }
}

extension ReferenceQueue {
    /// Stops, loses what that kind of stop loses, recovers and serves again.
    mutating func restart(_ stop: Event.Stop, at now: Now, _ random: inout SplitMix64) {
        if stop == .powerCut {
            state = versions.randomElement(using: &random) ?? state
            // What recovery read is synced before anything is served.
        }
        start(at: now.monotonicMilliseconds)
    }

    private mutating func start(at milliseconds: UInt64) {
        if makes(.tokensStartAgainAtRestart) { state.tokens = state.tokens / 2 } else { state.epoch += 1 }
        recoverWithMistakes()
        for case var task? in state.tasks where task.state == .inProgress {
            task.lapse = milliseconds + Self.leaseMilliseconds
            task.attemptEnd = max(task.attemptEnd, task.lapse)
            if makes(.cancelRequestForgottenAtRestart) { task.isCancelRequested = false }
            if makes(.leasesForgottenAtRestart) { task.state = .pending }
            state[task.id] = task
        }
        if makes(.countersForgottenAtRestart) { state.counters = state.counters.mapValues { _ in TaskCounts() } }
        if makes(.counterOffByOneAtRestart) {
            for queue in state.counters.keys { state.counters[queue]?.pending &+= 1 }
        }
        write()
        syncAll()
    }

    private mutating func recoverWithMistakes() {
        if makes(.keyForgottenAtRestart) { state.keys = [:] }
        if makes(.orderForgottenAtRestart) { isReversed.toggle() }
        if makes(.recoveryReleasesOneTask),
            let task = state.tasks.lazy.compactMap({ $0 }).first(where: { $0.state == .failed })
        {
            state[task.id]?.state = .pending
        }
        let newest = state.tasks.last??.id
        for case var task? in state.tasks {
            switch (mutation, task.state) {
            case (.attemptsForgottenAtRestart, _): task.attempts = 0
            case (.completedPendingAfterRestart, .completed): task.state = .pending
            case (.cancelledPendingAfterRestart, .cancelled): task.state = .pending
            case (.deadLetterPendingAfterRestart, .deadLetter): task.state = .pending
            case (.failedTaskStuckAfterRestart, .failed): task.isStuck = true
            case (.pendingTaskScheduledAtRestart, .pending): task.state = .scheduled
            case (.rankForgottenAtRestart, _): task.spec.rank = Priority.normal.rank
            case (.queueChangedAtRestart, .pending): task.spec.queue = 1
            case (.payloadDamagedAtRestart, .pending):
                task.spec.payload = Digest(rawValue: task.spec.payload.rawValue ^ 1 << 40)
            default: break
            }
            let isForgotten = makes(.taskForgottenAtRestart) && task.id == newest
            state[task.id] = isForgotten ? nil : task
        }
    }

    /// Whether equal ranks go last in, first out.
    var isReversed: Bool {
        get { state.keys[ReferenceState.Key(queue: .max, key: 0)] != nil }
        set { state.keys[ReferenceState.Key(queue: .max, key: 0)] = newValue ? TaskID(high: 0, low: 0) : nil }
    }
}

extension ReferenceQueue {
    /// Does what is due: leases lapse, tasks come back or start, ended ones expire.
    mutating func passTime(_ now: Now) {
        for case var task? in state.tasks {
            let before = task.state
            switch task.state {
            case .inProgress where now.monotonicMilliseconds >= lapse(of: task) && !makes(.lapseNeverNoticed):
                lapse(&task, now)
            case .failed where now.monotonicMilliseconds >= task.returns && !task.isStuck: task.state = .pending
            case .scheduled where now.wallMilliseconds >= task.spec.notBeforeWallMilliseconds: task.state = .pending
            case .completed, .cancelled, .deadLetter:
                let retention = makes(.taskExpiresTooEarly) ? 200 : Self.retentionMilliseconds
                if now.monotonicMilliseconds >= task.ended + retention { state[task.id] = nil }
            default: break
            }
            guard task.state != before else { continue }
            let isForgotten = makes(.taskForgottenWhenItsLeaseLapses) && before == .inProgress
            state[task.id] = isForgotten ? nil : task
        }
        write()
    }

    private func lapse(of task: ReferenceTask) -> UInt64 {
        makes(.leaseLapsesTooEarly) ? task.lapse - Self.leaseMilliseconds / 2 : task.lapse
    }

    private func lapse(_ task: inout ReferenceTask, _ now: Now) {
        task.token = nil
        task.ended = now.monotonicMilliseconds
        if task.isCancelRequested, !makes(.cancelRequestForgottenWhenItsLeaseLapses) {
            task.state = .cancelled
            return
        }
        if now.monotonicMilliseconds < task.attemptEnd { task.crashes += 1 }
        let isQuarantined = task.spec.crashesMax > 0 && task.crashes >= task.spec.crashesMax
        let isUsedUp = task.attempts > task.spec.retriesMax && !makes(.retriesWithoutEnd)
        task.state = isQuarantined || isUsedUp ? .deadLetter : .pending
    }

    private mutating func submit(_ submit: SubmitCall, _ now: Now) -> Outcome {
        let queue = makes(.keySharedByQueues) ? 0 : submit.queue
        let key = submit.key.map { ReferenceState.Key(queue: queue, key: $0) }
        if let key, let id = state.keys[key], !makes(.keyIgnored) {
            return .submitted(id, isDuplicate: !makes(.duplicateCalledNew))
        }
        if let held = meetHolder(submit) { return held }
        let isRefused = submit.payload.rawValue % 13 == 0
        if isRefused, !makes(.refusedSubmitStored) { return .refused(.queueFull) }
        let id = store(submit, now)
        if makes(.submitStoredTwice), submit.payload.rawValue % 5 == 0 { _ = store(submit, now) }
        if let key { state.keys[key] = id }
        return isRefused ? .refused(.queueFull) : .submitted(id, isDuplicate: false)
    }

    /// What a submit meets whose unique key is held; `nil` when it is free.
    private mutating func meetHolder(_ submit: SubmitCall) -> Outcome? {
        guard let unique = submit.unique, !makes(.uniqueKeyIgnored), let holder = holder(unique, submit.queue) else {
            return nil
        }
        guard unique.replaces else {
            return submit.payload.rawValue % 2 == 0
                ? .refused(.conflict) : .submitted(holder.id, isDuplicate: true)
        }
        guard holder.state.isWaiting || makes(.endedTaskReplaced) else { return .refused(.conflict) }
        guard !makes(.replacementKeepsThePayload) else { return .replaced(holder.id) }
        var task = holder
        task.spec.payload = submit.payload
        if task.state == .failed { task.state = .pending }
        state[task.id] = task
        return .replaced(task.id)
    }

    /// The first task that holds a key.
    func holder(_ unique: UniqueCall, _ queue: QueueNumber, otherThan id: TaskID? = nil) -> ReferenceTask? {
        state.tasks.lazy.compactMap { $0 }.first { task in
            guard let own = task.spec.unique, own.key == unique.key, task.spec.queue == queue, task.id != id else {
                return false
            }
            if makes(.uniqueKeyHeldAfterTheEnd) || makes(.endedTaskReplaced) { return true }
            switch own.scope {
            case .waiting: return task.state.isWaiting
            case .active where makes(.uniqueKeyFreeWhileRunning): return task.state.isWaiting
            case .active: return task.state.isWaiting || task.state == .inProgress
            case .unfinished: return !task.state.isFinal
            case .window: return true
            }
        }
    }

    private mutating func store(_ submit: SubmitCall, _ now: Now) -> TaskID {
        let place = UInt64(state.tasks.count)
        let id = TaskID(high: place, low: SplitMix64.mix(place))
        let isEarly = now.wallMilliseconds < submit.notBeforeWallMilliseconds && !makes(.startTimeIgnored)
        var task = ReferenceTask(id: id, spec: submit, state: isEarly ? .scheduled : .pending)
        if makes(.submitCompletesByItself), submit.payload.rawValue % 7 == 0 { task.state = .completed }
        state.tasks.append(nil)
        state[id] = task
        return id
    }

    private mutating func claim(_ queues: [QueueNumber], _ now: Now) -> Outcome {
        var waiting = state.tasks.compactMap { $0 }.filter { $0.state == .pending && queues.contains($0.spec.queue) }
        if makes(.lastInFirstOut) || isReversed { waiting.reverse() }
        // Sorting is stable: tasks of one rank stay in the order of their sequence.
        waiting.sort { makes(.priorityReversed) ? $1.spec.rank < $0.spec.rank : $0.spec.rank < $1.spec.rank }
        claimsDecided += 1
        var deliveries = waiting.prefix(1 + claimsDecided % 2).compactMap { deliver($0, now) }
        if makes(.payloadsSwapped), deliveries.count == 2 {
            (deliveries[0].payload, deliveries[1].payload) = (deliveries[1].payload, deliveries[0].payload)
        }
        return .delivered(deliveries)
    }

    private mutating func deliver(_ waiting: ReferenceTask, _ now: Now) -> Delivered? {
        var task = waiting
        state.tokens += 1
        let count = makes(.tokensFall) ? 1_000_000 - state.tokens : state.tokens
        let token = LeaseToken(rawValue: state.epoch << 40 | count)
        if !makes(.attemptNotCounted) { task.attempts += makes(.attemptCountedTwice) ? 2 : 1 }
        task.token = token
        let timeout = UInt64(task.spec.timeoutMilliseconds)
        let attempt = makes(.timeoutTooEarly) ? timeout / 4 : timeout + Defaults.timeoutGraceMilliseconds
        task.attemptEnd = makes(.timeoutIgnored) ? .max : now.monotonicMilliseconds + attempt
        task.lapse = min(now.monotonicMilliseconds + Self.leaseMilliseconds, task.attemptEnd)
        task.isCancelRequested = false
        task.state = makes(.leasedTaskStaysPending) ? .pending : .inProgress
        state[task.id] = task
        return Delivered(
            lease: LeaseHandle(task: task.id, token: token),
            attempt: task.attempts,
            leaseMilliseconds: UInt32(Self.leaseMilliseconds),
            payload: task.spec.payload
        )
    }
}
