import TQModel

// Tasks that share something wait in lines of their own. What holds a line back is looked at when it would be served, and
// what frees it lets it stand again, so that nobody looks through a backlog.
extension DurableIndex {
    /// A pending task that can be claimed.
    struct Ready {
        var entry: ReadyLanes.Entry
        /// How many tasks of its group run when that is noisy, 0 otherwise: those of quiet ones go before it.
        var noise: UInt64
        /// Its group's turn among those of its priority.
        var turn: UInt64
        /// The rank that it has by its wait.
        var rank: Rank
        var queue: UInt32
        /// The type by which it was found; `nil` when it was found among all.
        var type: UInt32?
        /// Its line, when it shares something.
        var line: LinePlace?

        /// Whether it is claimed before another one: the more urgent one is, and among those of one priority in one queue the one of a
        /// quieter group, or whose turn it is.
        func precedes(_ other: Ready) -> Bool {
            if entry.lane == other.entry.lane, queue == other.queue {
                guard noise == other.noise else { return noise < other.noise }
                return TurnHead(turn: turn, entry: entry) < TurnHead(turn: other.turn, entry: other.entry)
            }
            return rank == other.rank ? entry.sequence < other.entry.sequence : rank < other.rank
        }
    }

    /// The first pending task of a queue, or of a type of it, that no key holds back.
    mutating func first(_ queue: UInt32, type: UInt32?) -> Ready? {
        let aging = queues[Int(queue)].aging
        guard aging != nil || !queues[Int(queue)].shared.isEmpty else {
            return queues[Int(queue)].first(type: type, tasks: tasks, queue: queue).map {
                Ready(entry: $0, noise: 0, turn: 0, rank: $0.rank, queue: queue, type: type)
            }
        }
        return withLines(of: queue) { lines, index in
            var best: Ready?
            var next = index.nextLane(lines, queue, type, from: 0)
            while let lane = next {
                // Those of later lanes have not waited long enough to be as urgent.
                if let best, lane > Int(best.rank.rawValue >> 24) + Int(aging?.most ?? 0) { break }
                if let found = index.first(&lines, queue, type, in: lane, aging), best.map(found.precedes) ?? true {
                    best = found
                }
                next = index.nextLane(lines, queue, type, from: lane + 1)
            }
            return best
        }
    }

    /// The first lane from one on in which tasks may be pending.
    private mutating func nextLane(_ lines: SharedLines, _ queue: UInt32, _ type: UInt32?, from lane: Int) -> Int? {
        let plain = queues[Int(queue)].nextLane(type: type, from: lane, tasks: tasks, queue: queue)
        let shared = lines.section(from: LineSection(lane: lane, type: 0), type: type)?.lane
        guard let plain, let shared else { return plain ?? shared }
        return min(plain, shared)
    }

    /// The task of one priority whose turn it is.
    private mutating func first(
        _ lines: inout SharedLines,
        _ queue: UInt32,
        _ type: UInt32?,
        in lane: Int,
        _ aging: PriorityAging?
    ) -> Ready? {
        func ready(_ head: TurnHead, noise: UInt64 = 0, _ type: UInt32?, _ line: LinePlace?) -> Ready {
            let entry = head.entry
            var rank = entry.rank
            if let aging {
                let created = tasks[entry.sequence].createdMilliseconds
                rank = aging.rank(rank, afterMilliseconds: wallMilliseconds - min(wallMilliseconds, created))
            }
            return Ready(
                entry: entry,
                noise: noise,
                turn: head.turn,
                rank: rank,
                queue: queue,
                type: type,
                line: line
            )
        }
        var best: Ready?
        if let plain = queues[Int(queue)].first(in: lane, type: type, tasks: tasks, queue: queue) {
            best = ready(TurnHead(turn: lines.turn(Self.noGroup, lane: UInt8(lane)), entry: plain), type, nil)
        }
        var next = lines.section(from: LineSection(lane: lane, type: type ?? 0), type: type)
        while let section = next, section.lane == lane {
            if let found = lines.first(section, queue: queue, &self) {
                let found = ready(found.head, noise: noise(of: found.place), section.type, found.place)
                if best.map(found.precedes) ?? true { best = found }
            }
            next = lines.section(from: section.successor, type: type)
        }
        return best
    }

    /// How many tasks of a line's group run when it is a noisy one in its queue, 0 otherwise.
    func noise(of place: LinePlace) -> UInt64 {
        guard place.group > 0, let rule = queues[Int(place.queue)].noisy else { return 0 }
        let running = sharings.keys[Int(place.group)].running
        return rule.applies(to: running, of: UInt64(leases.count)) ? running : 0
    }

    /// Takes out of the order what ``first(_:type:)`` has just returned.
    mutating func removeFirst(_ ready: Ready) {
        if ready.line == nil { queues[Int(ready.queue)].removeFirst(ready.entry, type: ready.type) }
        guard !queues[Int(ready.queue)].shared.isEmpty else { return }
        let sharing = sharings[ready.line == nil ? 0 : tasks[ready.entry.sequence].link]
        let group = sharings.keys[Int(sharing.group)]
        let weight = group.gate.map(\.weight) ?? 0
        withLines(of: ready.queue) { lines, index in
            lines.serve(
                group.gateKey.name,
                lane: UInt8(ready.entry.lane),
                at: ready.turn,
                weight: weight > 0 ? weight : sharing.sharing.weight
            )
            if let line = ready.line { lines.removeFirst(line, &index) }
        }
    }

    private static let noGroup = Name(bytes: [])

    /// The lines of a queue are taken out meanwhile, so that they can be asked beside everything else.
    private mutating func withLines<Result>(
        of queue: UInt32,
        _ body: (inout SharedLines, inout DurableIndex) -> Result
    ) -> Result {
        var lines = SharedLines()
        swap(&lines, &queues[Int(queue)].shared)
        defer { swap(&lines, &queues[Int(queue)].shared) }
        return body(&lines, &self)
    }

    /// Whether a task is pending, in that line and with that rank, and may be claimed as far as its serial key goes.
    func holds(_ entry: ReadyLanes.Entry, _ place: LinePlace) -> Bool {
        let slot = tasks[entry.sequence]
        guard slot.stateValue == TaskState.pending.rawValue, slot.link > 0, slot.queue == place.queue,
            slot.type == place.type, slot.rank == entry.rank
        else { return false }
        let sharing = sharings[slot.link]
        guard sharing.limit == place.key, sharing.group == place.group else { return false }
        return sharing.serial == 0 || sharings.keys[Int(sharing.serial)].standing == entry.sequence
    }

    // MARK: Gates

    /// Whether a key lets a task through; when only its rate does not, ticks look again.
    mutating func isOpen(key number: UInt32) -> Bool {
        guard number > 0, let gate = sharings.keys[Int(number)].gate else { return true }
        let key = sharings.keys[Int(number)]
        guard !gate.isPaused, gate.runningMax == 0 || key.running < UInt64(gate.runningMax) else { return false }
        let next = gates.nextMicroseconds(gate, of: key.gateKey)
        guard next > gates.nowMicroseconds else { return true }
        gates.wait(for: number, untilMicroseconds: next)
        return false
    }

    func isPaused(group number: UInt32) -> Bool { sharings.keys[Int(number)].gate?.isPaused ?? false }

    /// Lets what waits behind a key or a group stand again.
    mutating func reopen(key number: UInt32) {
        advanceSerial(number)
        for place in sharings.keys[Int(number)].lines {
            withLines(of: place.queue) { lines, index in lines.stand(place, &index) }
            announce(place.queue)
        }
    }

    /// Looks again at keys whose rates let the next task through.
    mutating func reopenPaced() {
        for number in gates.takeWaited() where number < sharings.keys.count { reopen(key: number) }
    }

    /// Finds the gates of keys and groups anew after one has changed.
    mutating func takeGate(_ key: GateKey) {
        for number in sharings.numbers(behind: key) {
            let gate = gates.row(of: sharings.keys[Int(number)].gateKey)
            sharings.update(number) { $0.gate = gate }
        }
    }

    // MARK: Changes of tasks

    /// The number of what a task shares that waits or runs.
    func sharing(of slot: TaskSlot) -> UInt32 {
        guard slot.isLive else { return 0 }
        return slot.state == .inProgress ? leases[slot.link].sharing : slot.link
    }

    /// Counts a task that begins to wait, and says the number of what it shares.
    mutating func retainSharing(_ options: TaskOptions?, queue: UInt32) -> UInt32 {
        guard let sharing = options?.sharing, !sharing.isNone else { return 0 }
        return sharings.retain(sharing, namespace: queueNames.namespace(queue), gates: gates)
    }

    /// Notes what a task shares whose row another one has taken; what it shared before is to be settled.
    mutating func share(_ slot: inout TaskSlot, _ row: TaskRow) {
        guard slot.isLive else { return }
        let sharing = retainSharing(row.options, queue: row.queue)
        guard slot.state == .inProgress else { return slot.link = sharing }
        // In a replay it runs until the transitions behind the rows say otherwise.
        sharings.countRunning(leases[slot.link].sharing, by: -1)
        sharings.countRunning(sharing, by: 1)
        leases.update(slot.link) { $0.sharing = sharing }
    }

    /// Lets those go on for whom a task has made room; nothing keeps what it shared if it was the last one.
    ///
    /// - Parameters:
    ///   - wasRunning: Whether it was running before.
    ///   - isOver: Whether it shares nothing any more.
    mutating func settle(_ number: UInt32, wasRunning: Bool, isOver: Bool) {
        let sharing = sharings[number]
        if !isRecovering {
            if wasRunning { for key in sharing.keys where sharings.keys[Int(key)].gate != nil { reopen(key: key) } }
            if sharing.serial > 0 { advanceSerial(sharing.serial) }
        }
        guard isOver else { return }
        for place in sharings.release(number) { queues[Int(place.queue)].shared.drop(place) }
    }

    /// Puts a pending task that shares something into its line, when it is its turn.
    mutating func pushShared(_ slot: TaskSlot, _ sequence: TaskSequence) {
        let serial = sharings[slot.link].serial
        guard serial > 0 else { return pushLine(slot, sequence) }
        // It may stand in another line, or with another rank.
        sharings.update(serial) { if $0.standing == sequence { $0.standing = nil } }
        join(sequence, serial)
        advanceSerial(serial)
    }

    private mutating func pushLine(_ slot: TaskSlot, _ sequence: TaskSequence) {
        let sharing = sharings[slot.link]
        let place = LinePlace(slot, sharing)
        let pending = queues[Int(slot.queue)].counts.pending
        withLines(of: slot.queue) { lines, index in
            lines.push(.init(rank: slot.rank, sequence: sequence), place, pending: pending, &index)
        }
        announce(slot.queue)
    }

    // MARK: Serial keys

    /// Lets a task wait for its turn among those of its serial key; it stays there until it is over, also while it runs or
    /// waits for its next attempt.
    mutating func join(_ sequence: TaskSequence, _ serial: UInt32) {
        guard sharings.keys[Int(serial)].joined.first != sequence else { return }
        sharings.update(serial) { $0.joined.push(sequence) }
    }

    /// Lets the first task of a serial key stand in its line, when none of that key runs.
    mutating func advanceSerial(_ number: UInt32) {
        let first = takeFirstJoined(number)
        let isNext = first.map { tasks[$0].state == .pending && sharings.keys[Int(number)].serialRunning == 0 } ?? false
        let next = isNext && isOpen(key: number) ? first : nil
        guard sharings.keys[Int(number)].standing != next else { return }
        sharings.update(number) { $0.standing = next }
        if let next { pushLine(tasks[next], next) }
    }

    /// The task of a serial key before which none may run.
    mutating func takeFirstJoined(_ number: UInt32) -> TaskSequence? {
        while let first = sharings.keys[Int(number)].joined.first {
            if isJoined(tasks[first], number) { return first }
            sharings.update(number) { $0.joined.removeFirst() }
        }
        return nil
    }

    /// The same for who only looks.
    func firstJoined(_ number: UInt32) -> TaskSequence? {
        var least: TaskSequence?
        sharings.keys[Int(number)].joined.forEach {
            if $0 < least ?? TaskSequence(.max), isJoined(tasks[$0], number) { least = $0 }
        }
        return least
    }

    /// How many tasks of its line go before one, and what makes the line its own; takes time in the length of the line.
    func countInLine(before entry: ReadyLanes.Entry, _ slot: TaskSlot, most: Int) -> (Int, GateScope?) {
        let sharing = sharings[slot.link]
        let number = sharing.group > 0 ? sharing.group : sharing.limit
        let key = sharings.keys[Int(number)].gateKey
        let scope: GateScope? = number == 0 ? nil : sharing.group > 0 ? .group(key.name) : .key(key.name)
        let place = LinePlace(slot, sharing)
        return (queues[Int(slot.queue)].shared.count(before: entry, place, most: most, self), scope)
    }

    /// Pending tasks of a queue that share something, found where they wait, in order of their sequences; for checks.
    func sharedPending(queue: UInt32) -> [TaskSequence] {
        var found = Set(queues[Int(queue)].shared.all(queue: queue, self))
        for number in sharings.keys.indices.dropFirst() {
            sharings.keys[number].joined.forEach {
                let slot = tasks[$0]
                guard slot.state == .pending, slot.queue == queue, isJoined(slot, UInt32(number)) else { return }
                found.insert($0)
            }
        }
        return found.sorted()
    }

    private func isJoined(_ slot: TaskSlot, _ serial: UInt32) -> Bool {
        switch slot.state {
        case .pending, .failed, .inProgress: slot.stateValue != 0 && sharings[sharing(of: slot)].serial == serial
        default: false
        }
    }
}

extension SharingTable {
    /// Notes a line of a key and a group.
    mutating func add(_ place: LinePlace) {
        for number in [place.key, place.group] where number > 0 { update(number) { $0.lines.append(place) } }
    }

    /// Notes that a line is gone.
    mutating func remove(_ place: LinePlace) {
        for number in [place.key, place.group] where number > 0 {
            update(number) { key in
                guard let found = key.lines.firstIndex(of: place) else { return }
                key.lines.swapAt(found, key.lines.count - 1)
                key.lines.removeLast()
            }
        }
    }
}
