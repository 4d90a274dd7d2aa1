import TQModel

// Tasks pass gates on their way to workers: those of everything, of their queue, of their type, and of their keys and group. A gate that is
// closed hides nothing and moves nothing: claims pass over what is behind it, and whatever opens it lets those who wait look
// again.
extension QueueCore {
    mutating func change(_ change: GateChange, _ asker: Asker) {
        do throws(TQError) {
            let row = try changed(change, asker.principal.namespace)
            record(row)
            let status = status(row)
            notices.append(.gateChanged(status))
            reply(.gates([status]), to: asker)
        } catch {
            reply(error, to: asker)
        }
    }

    private mutating func changed(_ change: GateChange, _ namespace: UInt32) throws(TQError) -> GateRow {
        try checkDuration(change.pauseMilliseconds, "pause", longest: Self.delayMillisecondsMax)
        try checkFitness(change)
        let key = try key(of: change.scope, namespace)
        var row = index.gates.rows[key] ?? GateRow(key: key)
        if let isPaused = change.isPaused {
            let since = row.isPaused ? row.pausedSinceWallMilliseconds : max(1, now.wallMilliseconds)
            row.pausedSinceWallMilliseconds = isPaused ? since : 0
            let isEndless = !isPaused || change.pauseMilliseconds == 0
            row.pausedUntilStoreMilliseconds = isEndless ? 0 : clock.milliseconds + change.pauseMilliseconds
        }
        row.runningMax = change.runningMax ?? row.runningMax
        row.rate = change.rate ?? row.rate
        row.weight = change.weight ?? row.weight
        try self.change(&row.circuit, change)
        return row
    }

    /// Lets no task of a limit key begin for so long, or for longer when it is paused already.
    mutating func pauseKey(of lease: Lease, for milliseconds: UInt64) {
        let number = index.sharings[lease.sharing].limit
        guard number > 0 else { return }
        let key = index.sharings.keys[Int(number)].gateKey
        // It is the key's own, and gone when the pause is over: what holds for all keys that begin so holds again then.
        var row = index.gates.rows[key] ?? GateRow(key: key)
        let until = clock.milliseconds + milliseconds
        let isLonger = !row.isPaused || (1..<until).contains(row.pausedUntilStoreMilliseconds)
        guard isLonger, index.gates.rows[key] != nil || index.gates.rows.count < Limits.gatesMax else { return }
        if !row.isPaused { row.pausedSinceWallMilliseconds = max(1, now.wallMilliseconds) }
        row.pausedUntilStoreMilliseconds = until
        record(row)
        notices.append(.gateChanged(status(row)))
    }

    /// Refuses what a gate of that kind has not.
    private func checkFitness(_ change: GateChange) throws(TQError) {
        let hasLimit = change.runningMax ?? 0 > 0 || change.rate?.isUnlimited == false
        if hasLimit, [.everything, .group].contains(change.scope.kind) {
            let scope = change.scope == .everything ? "everything" : "a group"
            throw TQError(.invalidArgument, "A limit is not for \(scope). Name a queue, a type or a key.")
        }
        guard let weight = change.weight, weight > 0 else { return }
        guard change.scope.kind == .group else {
            throw TQError(.invalidArgument, "A weight is not for \(change.scope). Name a group.")
        }
        guard weight <= Sharing.weightMax else {
            throw TQError(.invalidArgument, "A group has a weight of 1 to \(Sharing.weightMax), not \(weight).")
        }
    }

    private mutating func key(of scope: GateScope, _ namespace: UInt32) throws(TQError) -> GateKey {
        switch scope {
        case .everything: GateKey(.everything, namespace)
        case .queue(let name): GateKey(.queue, try number(of: name, .queue, namespace))
        case .type(let name): GateKey(.type, try number(of: name, .type, namespace))
        case .key(let name):
            try kept(GateKey(.key, namespace, name), "key")
        case .group(let name):
            try kept(GateKey(.group, namespace, name), "group")
        }
    }

    /// The gate of a key, of all keys that begin so, or of a group, with a name of its own.
    private func kept(_ key: GateKey, _ word: String) throws(TQError) -> GateKey {
        if !key.isPattern || !TypePattern(bytes: key.name.bytes).isValid { try check(key.name, word) }
        guard index.gates.rows[key] != nil || index.gates.rows.count < Limits.gatesMax else {
            throw TQError(
                .limitExceeded,
                "The broker keeps \(index.gates.rows.count) gates, its limit. Use one for all keys that begin so, or open some."
            )
        }
        return GateKey(key.kind, key.number, Name(bytes: Bytes(Array(key.name.bytes))))
    }

    /// Keeps a gate as it is from now on; those behind it are served when it is open.
    mutating func record(_ row: GateRow) {
        guard index.gates.rows[row.key] ?? GateRow(key: row.key) != row else { return }
        index.apply(row)
        batch.gates.append(row)
        index.announce(behind: row.key)
    }

    /// Lets those who wait look again behind gates that have a rate.
    mutating func servePaced() {
        guard !index.gates.isEmpty else { return }
        for key in index.gates.paced { index.announce(behind: key) }
        index.reopenPaced()
    }

    /// Opens gates whose pauses are over.
    mutating func endPauses() {
        for row in index.gates.sorted where row.isOver(at: clock.milliseconds) {
            var open = row
            (open.pausedSinceWallMilliseconds, open.pausedUntilStoreMilliseconds) = (0, 0)
            record(open)
            notices.append(.pauseEnded(status(open)))
        }
    }

    func gateStatuses(_ namespace: UInt32) -> [GateStatus] {
        index.gates.sorted.filter { self.namespace($0.key) == namespace }.map { status($0) }
    }

    private func namespace(_ key: GateKey) -> UInt32 {
        switch key.kind {
        case .everything: key.number
        case .queue: index.queueNames.namespace(key.number)
        case .type: index.typeNames.namespace(key.number)
        case .key, .group: key.number
        }
    }

    func status(_ row: GateRow) -> GateStatus {
        GateStatus(
            scope: scope(row.key),
            pausedSinceWallMilliseconds: row.pausedSinceWallMilliseconds,
            pausedUntilWallMilliseconds: untilWallMilliseconds(row),
            runningMax: row.runningMax,
            running: index.running(row.key),
            rate: row.rate.isUnlimited ? nil : row.rate,
            weight: row.weight,
            circuit: circuitStatus(row)
        )
    }

    func scope(_ key: GateKey) -> GateScope {
        switch key.kind {
        case .everything: .everything
        case .queue: .queue(index.queueNames.name(key.number))
        case .type: .type(index.typeNames.name(key.number))
        case .key: .key(key.name)
        case .group: .group(key.name)
        }
    }

    /// About when a pause ends; 0 when somebody must end it.
    func untilWallMilliseconds(_ row: GateRow) -> UInt64 {
        guard row.pausedUntilStoreMilliseconds > 0 else { return 0 }
        let left = row.pausedUntilStoreMilliseconds - min(row.pausedUntilStoreMilliseconds, clock.milliseconds)
        return wallMilliseconds(after: left)
    }

    /// The wall clock's time after a while.
    func wallMilliseconds(after milliseconds: UInt64) -> UInt64 {
        let (until, isOverflow) = now.wallMilliseconds.addingReportingOverflow(milliseconds)
        return isOverflow ? .max : until
    }
}

extension GateRow {
    /// Whether its pause is over at a store time.
    fileprivate func isOver(at storeMilliseconds: UInt64) -> Bool {
        pausedUntilStoreMilliseconds > 0 && pausedUntilStoreMilliseconds <= storeMilliseconds
    }
}
