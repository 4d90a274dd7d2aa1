import Recurrence
import TQModel

extension QueueCore {
    /// Tasks that ticks submit in one turn of the clock; the others have theirs with the next.
    private static let ticksPerTurn = 1_000
    /// Zones' files read in one turn.
    private static let zonesPerTurn = 64
    /// Ticks that are left out are counted up to here, each time.
    private static let skippedMax = 1_000

    // MARK: Requests

    /// The zone whose file a request needs.
    func zoneRead(_ request: Request) -> Fetch? {
        let text: Bytes
        switch request {
        case .putRecurring(let spec): text = spec.recurrence
        case .upcomingTicks(let recurrence): text = recurrence
        default: return nil
        }
        guard let zone = try? Recurrence(text).zone else { return nil }
        return session.ticks.needsFile(zone, monotonicMilliseconds: now.monotonicMilliseconds) ? .zone(zone) : nil
    }

    mutating func answerRecurring(_ request: Request, _ asker: Asker, _ fetched: [Fetch: Fetched]) {
        take(zones: fetched)
        do throws(TQError) {
            switch request {
            case .putRecurring(let spec):
                reply(.recurring(RecurringPage(tasks: [try put(spec, asker.principal)])), to: asker)
            case .removeRecurring(let name):
                try remove(try recurring(name, asker.principal))
                reply(.done, to: asker)
            case .pauseRecurring(let name, let isPaused):
                let number = try recurring(name, asker.principal)
                pause(number, isPaused)
                reply(.recurring(RecurringPage(tasks: [status(of: number)].compactMap { $0 })), to: asker)
            case .runRecurring(let name):
                let number = try recurring(name, asker.principal)
                try checkAdmittance(whileDraining: false)
                let id = submit(number, tick: 0)
                if let state = index.recurring[number]?.state { record(state) }
                reply(.submitted(id.map { [.success(Submission(id: $0))] } ?? []), to: asker)
            case .recurring(let after, let count): list(after: after, count, asker)
            case .upcomingTicks(let text): reply(.ticks(try upcoming(text)), to: asker)
            default: reply(.done, to: asker)
            }
        } catch {
            reply(error, to: asker)
        }
        session.ticks.forgetUnusedZones()
    }

    private func recurring(_ name: Name, _ principal: Principal) throws(TQError) -> UInt32 {
        if let number = index.recurringNumbers[.init(namespace: principal.namespace, name: name)] { return number }
        throw TQError(.recurringNotFound, "There is no recurring task '\(name)'. See the list of them.")
    }

    private mutating func put(_ spec: RecurringSpec, _ principal: Principal) throws(TQError) -> RecurringStatus {
        let recurrence = try recurrence(spec.recurrence)
        let rules = try rules(of: recurrence.zone, in: spec.recurrence)
        try check(spec)
        try checkAdmittance(whileDraining: false)
        let name = DurableIndex.ScopedName(namespace: principal.namespace, name: spec.name)
        let known = index.recurringNumbers[name].flatMap { index.recurring[$0] }
        guard known != nil || index.recurring.count < Limits.recurringMax, index.nextRecurring < .max else {
            throw TQError(
                .limitExceeded,
                "The broker knows \(index.recurring.count) recurring tasks, its limit. Remove some."
            )
        }
        guard recurrence.next(after: now.wallMilliseconds, in: rules) != nil else {
            throw TQError(
                .invalidArgument,
                "The recurrence '\(recurrence)' is never due any more. Give an instant that is still to come."
            )
        }
        let row = try row(spec, recurrence, known?.row.number ?? index.nextRecurring, principal, known?.row)
        index.apply(row)
        batch.recurring.append(row)
        var state =
            known?.state ?? RecurringState(number: row.number, throughWallMilliseconds: now.wallMilliseconds)
        // Who puts the same again, as a deployment does, loses no tick and gets none twice.
        if known?.row.recurrence != row.recurrence { state.passOver(now.wallMilliseconds) }
        record(state)
        if !state.isPaused { session.ticks.undate(row.number, recurrence.zone) }
        findTicks()
        return status(of: row.number) ?? RecurringStatus(name: spec.name, recurrence: [], queue: "", type: "")
    }

    private mutating func row(
        _ spec: RecurringSpec,
        _ recurrence: Recurrence,
        _ number: UInt32,
        _ principal: Principal,
        _ known: RecurringRow?
    ) throws(TQError) -> RecurringRow {
        let queue = try self.number(of: spec.task.queue, .queue, principal.namespace)
        let type = try self.number(of: spec.task.type, .type, principal.namespace)
        let content = try stored(spec.task.content)
        var options = try options(of: spec.task, principal.namespace)
        options.startBy = StartTime.none
        options.buriesLate = false
        var startBy: UInt64 = 0
        if case .after(let milliseconds)? = spec.task.startBy?.time { startBy = milliseconds }
        return RecurringRow(
            number: number,
            namespace: principal.namespace,
            name: known?.name ?? Name(bytes: Bytes(Array(spec.name.bytes))),
            recurrence: Bytes(recurrence.description.utf8),
            createdMilliseconds: known?.createdMilliseconds ?? now.wallMilliseconds,
            catchUpMax: spec.catchUpMax,
            overlap: spec.overlap,
            startByMilliseconds: startBy,
            buriesLate: spec.task.startBy?.buriesLate ?? false,
            task: TaskRow(
                sequence: TaskSequence(0),
                createdMilliseconds: 0,
                queue: queue,
                type: type,
                rank: spec.task.rank,
                bodyByteCount: UInt32(spec.task.payload.count),
                content: content,
                options: options.isEmpty ? nil : options
            ),
            payload: Bytes(Array(spec.task.payload)),
            tags: spec.task.tags.map { TaskTag(bytes: Bytes(Array($0.bytes))) }
        )
    }

    private mutating func remove(_ number: UInt32) throws(TQError) {
        index.apply(removedRecurring: number)
        batch.removedRecurring.append(number)
        session.ticks.forget(number)
    }

    private mutating func pause(_ number: UInt32, _ isPaused: Bool) {
        guard let task = index.recurring[number], task.state.isPaused != isPaused else { return }
        var state = task.state
        state.isPaused = isPaused
        if !isPaused { state.passOver(now.wallMilliseconds) }
        record(state)
        if isPaused { session.ticks.forget(number) } else { session.ticks.undate(number, task.recurrence.zone) }
        findTicks()
    }

    private mutating func record(_ state: RecurringState) {
        index.apply(state)
        batch.recurringStates.append(state)
    }

    // MARK: Checks

    /// Reads a recurrence that somebody asks for.
    private func recurrence(_ text: Bytes) throws(TQError) -> Recurrence {
        let recurrence = try Recurrence(text)
        if case .every(let milliseconds, _) = recurrence.rule, milliseconds < Limits.recurringIntervalMillisecondsMin {
            throw TQError(
                .invalidArgument,
                "An interval of \(milliseconds) ms is too short: the least is \(Limits.recurringIntervalMillisecondsMin) ms."
            )
        }
        return recurrence
    }

    private func rules(of zone: ZoneName, in text: Bytes) throws(TQError) -> ZoneRules {
        if let rules = session.ticks.rules(of: zone) { return rules }
        // Who writes seconds, or a year, has the rest of his line read as a zone.
        let hint = text.starts(with: "cron:".utf8) ? " A cron line has five fields; the zone stands behind them." : ""
        let problem = session.ticks.zones[zone]?.problem ?? ""
        throw TQError(.invalidArgument, "The time zone '\(zone)' cannot be used: \(problem)\(hint)")
    }

    private func check(_ spec: RecurringSpec) throws(TQError) {
        guard spec.name.isValid else {
            throw TQError(
                .invalidArgument,
                "'\(spec.name)' is no name of a recurring task: use 1 to \(Limits.nameBytesMax) bytes of UTF-8 without "
                    + "blanks, control characters and '*'."
            )
        }
        guard spec.catchUpMax <= Limits.catchUpMax else {
            throw TQError(
                .invalidArgument,
                "A recurring task makes up for at most \(Limits.catchUpMax) missed ticks, not \(spec.catchUpMax)."
            )
        }
        guard spec.task.payload.count <= Limits.recurringPayloadBytesMax else {
            throw TQError(
                .payloadTooLarge,
                "The payload of recurring task '\(spec.name)' has \(spec.task.payload.count) bytes, the limit is "
                    + "\(Limits.recurringPayloadBytesMax). Store it elsewhere and submit its address."
            )
        }
        try checkBounds(spec.task)
        let absent: [(String, Bool)] = [
            ("start time or delay", spec.task.start == .now), ("idempotency key", spec.task.idempotencyKey.isEmpty),
            ("unique key", spec.task.uniqueKey == nil), ("dependency", spec.task.dependencies == nil),
        ]
        if let (what, _) = absent.first(where: { !$0.1 }) {
            throw TQError(
                .invalidArgument,
                "The task of recurring task '\(spec.name)' has no \(what) of its own: its ticks say when it runs, and "
                    + "'overlap' what becomes of two. Leave it out."
            )
        }
        if let startBy = spec.task.startBy, case .at = startBy.time {
            throw TQError(
                .invalidArgument,
                "The latest start of recurring task '\(spec.name)' is a time. Give a span: it counts from each tick."
            )
        }
    }

    // MARK: Looking

    private mutating func list(after: Name?, _ count: UInt32, _ asker: Asker) {
        guard (1...Limits.recurringPageMax).contains(count) else {
            let error = TQError(
                .invalidArgument,
                "A page has 1 to \(Limits.recurringPageMax) recurring tasks, not \(count)."
            )
            return reply(error, to: asker)
        }
        let names = index.recurringNumbers.keys.filter { $0.namespace == asker.principal.namespace }
            .map(\.name).filter { name in after.map { $0.bytes.lexicographicallyPrecedes(name.bytes) } ?? true }
            .sorted { $0.bytes.lexicographicallyPrecedes($1.bytes) }
        let tasks = names.prefix(Int(count)).compactMap { name in
            index.recurringNumbers[.init(namespace: asker.principal.namespace, name: name)].flatMap { status(of: $0) }
        }
        reply(.recurring(RecurringPage(tasks: tasks, hasMore: names.count > Int(count))), to: asker)
    }

    private func status(of number: UInt32) -> RecurringStatus? {
        guard let task = index.recurring[number] else { return nil }
        var status = RecurringStatus(
            name: task.row.name,
            recurrence: task.row.recurrence,
            queue: index.queueNames.name(task.row.task.queue),
            type: index.typeNames.name(task.row.task.type),
            catchUpMax: task.row.catchUpMax,
            overlap: task.row.overlap,
            isPaused: task.state.isPaused,
            lastTickWallMilliseconds: task.state.lastTickWallMilliseconds,
            submitted: task.state.submitted,
            skipped: task.state.skipped
        )
        if task.state.lastSequence.rawValue > 0 {
            status.lastTask = cipher.id(
                of: task.state.lastSequence,
                createdMilliseconds: task.state.lastCreatedMilliseconds
            )
        }
        if task.state.isPaused { return status }
        if let rules = session.ticks.rules(of: task.recurrence.zone) {
            status.upcoming = task.recurrence.upcoming(
                after: task.state.throughWallMilliseconds,
                count: Limits.upcomingMax,
                in: rules
            )
        } else {
            status.problem = Bytes((session.ticks.zones[task.recurrence.zone]?.problem ?? "").utf8)
        }
        return status
    }

    private func upcoming(_ text: Bytes) throws(TQError) -> [UInt64] {
        let recurrence = try recurrence(text)
        let rules = try rules(of: recurrence.zone, in: text)
        return recurrence.upcoming(after: now.wallMilliseconds, count: Limits.upcomingMax, in: rules)
    }

    /// The tick that a task is for; without a name when its recurring task is gone.
    func tick(_ tick: TaskTick, _ slot: TaskSlot) -> Tick {
        let row = index.recurring[tick.recurring]?.row
        // Numbers are given again; who was put later did not submit it.
        let isOwn = row.map { $0.createdMilliseconds & 0xffff_ffff_ffff <= slot.createdMilliseconds } ?? false
        return Tick(recurring: isOwn ? row?.name ?? "" : "", wallMilliseconds: tick.wallMilliseconds)
    }

    // MARK: Time

    /// Lets every recurring task find its next tick; after a restart nothing is known of it.
    mutating func beginTicks() {
        for (number, task) in index.recurring where !task.state.isPaused {
            session.ticks.undate(number, task.recurrence.zone)
        }
    }

    var zoneReads: [Fetch] {
        session.ticks.outdatedZones(monotonicMilliseconds: now.monotonicMilliseconds)
            .prefix(Self.zonesPerTurn).map { .zone($0) }
    }

    /// Keeps what the files of zones say; recurring tasks in a zone that has changed find their ticks anew.
    private mutating func take(zones fetched: [Fetch: Fetched]) {
        for case (.zone(let zone), let found) in fetched {
            var known = session.ticks.zones[zone] ?? TickTimes.Zone()
            let before = known.rules
            known.readMilliseconds = now.monotonicMilliseconds
            switch found {
            case .zone(let rules): (known.rules, known.problem) = (rules, "")
            case .damaged(let problem): known.problem = problem
            default: known.problem = "There is no such file in the broker's database of time zones."
            }
            if !known.problem.isEmpty, known.rules == nil, session.ticks.zones[zone]?.problem.isEmpty == true {
                notices.append(.zoneUnusable(zone, known.problem))
            }
            session.ticks.zones[zone] = known
            guard known.rules != before else { continue }
            for (number, task) in index.recurring where task.recurrence.zone == zone && !task.state.isPaused {
                session.ticks.undate(number, zone)
            }
        }
    }

    /// Finds the next ticks of recurring tasks of which they are not known.
    private mutating func findTicks() {
        for number in session.ticks.undated.sorted() {
            guard let task = index.recurring[number], let rules = session.ticks.rules(of: task.recurrence.zone) else {
                continue
            }
            session.ticks.set(number, next: task.recurrence.next(after: task.state.throughWallMilliseconds, in: rules))
        }
    }

    /// Submits the tasks of ticks that are due.
    mutating func fireTicks(_ fetched: [Fetch: Fetched]) {
        take(zones: fetched)
        if !session.ticks.undated.isEmpty { findTicks() }
        // Ticks are no client's submits: a full queue takes them. Otherwise they are made up for later.
        guard !isDraining, !isDiskLow else { return }
        var room = Self.ticksPerTurn
        while room > 0, let due = session.ticks.takeDue(wallMilliseconds: now.wallMilliseconds) {
            room -= fire(due.number, due.wallMilliseconds)
        }
    }

    /// Submits what one recurring task has due, and says how much work that was.
    private mutating func fire(_ number: UInt32, _ due: UInt64) -> Int {
        guard let task = index.recurring[number], !task.state.isPaused,
            let rules = session.ticks.rules(of: task.recurrence.zone)
        else { return 1 }
        let turn = turn(of: task, from: due, rules)
        index.recurring[number]?.state.throughWallMilliseconds = turn.last
        index.recurring[number]?.state.lastTickWallMilliseconds = turn.last
        index.recurring[number]?.state.skipped += UInt64(turn.count - turn.ticks.count)
        for tick in turn.ticks {
            if isHeldBack(number) {
                index.recurring[number]?.state.skipped += 1
            } else {
                _ = submit(number, tick: tick)
            }
        }
        if let state = index.recurring[number]?.state { record(state) }
        session.ticks.set(number, next: task.recurrence.next(after: turn.last, in: rules))
        return turn.ticks.count + turn.count / 10 + 1
    }

    /// What has come due of a recurring task since its last tick.
    private struct Turn {
        /// The ticks to submit for, ascending.
        var ticks: [UInt64]
        /// The last one that has passed.
        var last: UInt64
        /// How many have passed.
        var count: Int
    }

    private func turn(of task: RecurringTask, from due: UInt64, _ rules: ZoneRules) -> Turn {
        let (recurrence, wall) = (task.recurrence, now.wallMilliseconds)
        var turn = Turn(ticks: [due], last: due, count: 1)
        if let next = recurrence.next(after: due, in: rules), next <= wall {
            let through = task.state.throughWallMilliseconds
            let countMax = Int(max(1, task.row.catchUpMax))
            turn.ticks = recurrence.latestTicks(after: through, through: wall, countMax: countMax, in: rules)
            turn.last = turn.ticks.last ?? due
            let count = recurrence.tickCount(after: through, through: wall, countMax: Self.skippedMax, in: rules)
            turn.count = max(count, turn.ticks.count)
        }
        let isMissed = wall - min(turn.last, wall) > Defaults.tickGraceMilliseconds
        if task.row.catchUpMax == 0, isMissed { turn.ticks = [] }
        return turn
    }

    /// Whether a tick is left out because the task of the one before has not ended; or makes room for it.
    private mutating func isHeldBack(_ number: UInt32) -> Bool {
        guard let task = index.recurring[number], task.row.overlap != .allow else { return false }
        let slot = index.tasks[task.state.lastSequence]
        guard slot.isLive, slot.createdMilliseconds == task.state.lastCreatedMilliseconds else { return false }
        if task.row.overlap == .skip { return true }
        _ = cancel(id(of: task.state.lastSequence, slot))
        return false
    }

    /// Submits the task of a recurring one.
    ///
    /// - Parameter tick: The instant that it is for; 0 when somebody asked for it.
    private mutating func submit(_ number: UInt32, tick: UInt64) -> TaskID? {
        guard let task = index.recurring[number] else { return nil }
        var options = task.row.task.options ?? TaskOptions()
        options.tick = TaskTick(recurring: number, wallMilliseconds: tick)
        if task.row.startByMilliseconds > 0 {
            options.startBy = start(after: task.row.startByMilliseconds)
            options.buriesLate = task.row.buriesLate
        }
        var row = task.row.task
        row.sequence = TaskSequence(index.nextSequence)
        row.createdMilliseconds = now.wallMilliseconds & 0xffff_ffff_ffff
        row.options = options
        store(row, payload: task.row.payload)
        tag(row.sequence, task.row.tags)
        totals.submitted += 1
        index.recurring[number]?.state.submitted += 1
        // One that somebody asked for stands in no tick's way.
        if tick > 0 {
            index.recurring[number]?.state.lastSequence = row.sequence
            index.recurring[number]?.state.lastCreatedMilliseconds = row.createdMilliseconds
        }
        return cipher.id(of: row.sequence, createdMilliseconds: row.createdMilliseconds)
    }
}

extension RecurringState {
    /// Leaves out the ticks up to an instant; one that was due before a clock was set back does not come again.
    fileprivate mutating func passOver(_ wallMilliseconds: UInt64) {
        throughWallMilliseconds = max(throughWallMilliseconds, wallMilliseconds)
    }
}
