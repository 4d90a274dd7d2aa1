import TQModel

extension Event {
    /// Appends the event as one line: fields with tabs between them, a newline at the end.
    ///
    /// Several processes may append to one file that is opened for appending when each line is one write; the order of
    /// lines is then the order of events. The fields: monotonic and wall milliseconds, client, what happened, the rest.
    public func appendLine(to bytes: inout [UInt8]) {
        var line = LineWriter(appendingTo: bytes)
        bytes = []
        line.number(time.monotonicMilliseconds)
        line.number(time.wallMilliseconds)
        line.number(client)
        write(to: &line)
        line.end()
        bytes = line.bytes
    }

    private func write(to line: inout LineWriter) {
        switch kind {
        case .invoked(let number, let call):
            line.word("invoked")
            line.number(number)
            call.write(to: &line)
        case .returned(let number, let outcome):
            line.word("returned")
            line.number(number)
            outcome.write(to: &line)
        case .stopped(let stop):
            line.word("stopped")
            line.word(stop.name)
        case .serving: line.word("serving")
        case .clock: line.word("clock")
        case .sessionEnded: line.word("sessionEnded")
        case .orderBegan: line.word("orderBegan")
        case .orderEnded: line.word("orderEnded")
        case .drained: line.word("drained")
        case .dumpBegan(let mustEqualPrevious):
            line.word("dumpBegan")
            line.flag(mustEqualPrevious)
        case .dumped(let task):
            line.word("dumped")
            task.write(to: &line)
        case .counted(let queue, let counts):
            line.word("counted")
            line.number(queue)
            for state in TaskState.allCases { line.number(counts[state]) }
        case .dumpEnded: line.word("dumpEnded")
        }
    }
}

extension Event.Stop {
    var name: String {
        switch self {
        case .clean: "clean"
        case .kill: "kill"
        case .powerCut: "powerCut"
        }
    }
}

extension Call {
    fileprivate func write(to line: inout LineWriter) {
        switch self {
        case .submit(let submit): submit.write(to: &line)
        case .claim(let queues):
            line.word("claim")
            for queue in queues { line.number(queue) }
        case .complete(let lease, let result):
            line.word("complete")
            line.lease(lease)
            line.number(result.rawValue)
        case .fail(let lease, let isPermanent, let retryAfterMilliseconds):
            line.word("fail")
            line.lease(lease)
            line.flag(isPermanent)
            line.number(retryAfterMilliseconds)
        case .release(let lease, let delayMilliseconds):
            line.word("release")
            line.lease(lease)
            line.number(delayMilliseconds)
        case .renew(let lease, let leaseMilliseconds):
            line.word("renew")
            line.lease(lease)
            line.number(leaseMilliseconds)
        case .cancel(let id): line.task("cancel", id)
        case .redrive(let id, let payload):
            line.task("redrive", id)
            line.number(payload?.rawValue)
        case .purge(let id): line.task("purge", id)
        case .forget(let id): line.task("forget", id)
        case .arrange(let id, let queue, let rank):
            line.task("arrange", id)
            line.number(queue)
            line.number(rank.rawValue)
        case .status(let id): line.task("status", id)
        case .result(let id): line.task("result", id)
        }
    }
}

extension LineWriter {
    fileprivate mutating func task(_ word: String, _ id: TaskID) {
        self.word(word)
        self.word(id.description)
    }
}

extension SubmitCall {
    fileprivate func write(to line: inout LineWriter) {
        line.word("submit")
        line.number(queue)
        line.number(key)
        line.number(rank.rawValue)
        line.number(payload.rawValue)
        line.number(notBeforeWallMilliseconds)
        line.number(retriesMax)
        line.number(retriesMin)
        line.number(crashesMax)
        line.number(timeoutMilliseconds)
        line.word(lateness.rawValue)
        line.number(startByWallMilliseconds)
        line.number(startBySpanMilliseconds)
        line.number(unique?.key)
        line.word(unique?.scope.rawValue ?? "-")
        line.flag(unique?.replaces ?? false)
        line.flag(takesTurns)
        line.flag(hasDependencies)
    }
}

extension Outcome {
    fileprivate func write(to line: inout LineWriter) {
        switch self {
        case .submitted(let id, let isDuplicate):
            line.task("submitted", id)
            line.flag(isDuplicate)
        case .replaced(let id): line.task("replaced", id)
        case .delivered(let deliveries):
            line.word("delivered")
            for delivery in deliveries {
                line.lease(delivery.lease)
                line.number(delivery.attempt)
                line.number(delivery.leaseMilliseconds)
                line.number(delivery.payload.rawValue)
            }
        case .done: line.word("done")
        case .cancelRequested: line.word("cancelRequested")
        case .observed(let observation):
            line.word("observed")
            line.word(observation.state.name)
            line.number(observation.attempts)
            line.number(observation.result?.rawValue)
        case .refused(let code):
            line.word("refused")
            line.number(code.rawValue)
        case .unknown: line.word("unknown")
        }
    }
}

extension StoredTask {
    fileprivate func write(to line: inout LineWriter) {
        line.word(id.description)
        line.number(queue)
        line.number(rank.rawValue)
        line.word(state.name)
        line.number(attempts)
        line.number(token?.rawValue)
        line.number(payload?.rawValue)
        line.number(result?.rawValue)
    }
}
