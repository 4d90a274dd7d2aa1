import HistoryChecker
import QueueCore
import Recurrence
import Storage
import TQModel

/// What recurring tasks have submitted: each tick is due once, and none is passed over without being counted.
struct Ticks {
    private var rows: [UInt32: RecurringRow] = [:]
    private var states: [UInt32: RecurringState] = [:]
    /// The instants for which a task was submitted.
    private var fired: [UInt32: Set<UInt64>] = [:]

    /// The most ticks that one turn counts.
    private static let countMax = 1_000

    /// The template of a recurring task.
    func row(_ number: UInt32) -> RecurringRow? { rows[number] }

    /// Compares a group with those before it.
    ///
    /// - Returns: The tasks that recurring ones have submitted; moved and replaced ones came before.
    mutating func check(_ effects: EffectBatch) throws(Broken) -> [TickTask] {
        var fresh: [TickTask] = []
        for row in effects.recurring {
            if rows[row.number]?.createdMilliseconds != row.createdMilliseconds { forget(row.number) }
            rows[row.number] = row
        }
        for task in effects.tasks {
            guard let tick = task.options?.tick, seen.insert(task.sequence).inserted else { continue }
            fresh.append((task.sequence, task.createdMilliseconds, tick))
            guard tick.wallMilliseconds > 0 else { continue }
            guard fired[tick.recurring, default: []].insert(tick.wallMilliseconds).inserted else {
                throw Broken("I15", "Tick \(tick.wallMilliseconds) of recurring task \(tick.recurring) has two tasks")
            }
        }
        // Of one that was put in this group it is not known which ticks came before.
        let put = Set(effects.recurring.map(\.number))
        for state in effects.recurringStates {
            if let before = states[state.number], state.throughWallMilliseconds < before.throughWallMilliseconds {
                throw Broken("I15", "Ticks of recurring task \(state.number) that are over may come again")
            }
            if !put.contains(state.number) { try check(state) }
            states[state.number] = state
        }
        return fresh
    }

    /// Forgets what a group removes, when all else in it was looked at.
    mutating func forgetRemoved(_ effects: EffectBatch) {
        for number in effects.removedRecurring { forget(number) }
    }

    typealias TickTask = (sequence: TaskSequence, createdMilliseconds: UInt64, tick: TaskTick)

    /// Tasks whose ticks are counted; moved and replaced ones come again.
    private var seen: Set<TaskSequence> = []

    private func check(_ state: RecurringState) throws(Broken) {
        guard let before = states[state.number], let row = rows[state.number],
            before.lastTickWallMilliseconds != state.lastTickWallMilliseconds
        else { return }
        guard let recurrence = try? Recurrence(row.recurrence) else {
            throw Broken("I15", "The recurrence of \(row.name) cannot be read")
        }
        let (start, end) = (before.throughWallMilliseconds, state.throughWallMilliseconds)
        let passed = recurrence.tickCount(after: start, through: end, countMax: Self.countMax, in: .utc)
        let counted = state.submitted - before.submitted + state.skipped - before.skipped
        let isTick = recurrence.latestTicks(after: start, through: end, countMax: 1, in: .utc) == [end]
        guard isTick, counted == UInt64(passed) else {
            throw Broken("I15", "Of \(passed) ticks of \(row.name) from \(start) to \(end), \(counted) are counted")
        }
    }

    private mutating func forget(_ number: UInt32) {
        rows[number] = nil
        states[number] = nil
        fired[number] = nil
    }

    /// Takes what is left after a crash: the ticks of groups that are lost come again.
    ///
    /// - Returns: Tasks of a group that nobody could tell whether it was written.
    mutating func restart(from index: DurableIndex) -> [TickTask] {
        let found = index.recurringTasks
        for number in Array(rows.keys) where !found.contains(where: { $0.row.number == number }) { forget(number) }
        for (row, state) in found {
            rows[row.number] = row
            states[row.number] = state
            fired[row.number] = fired[row.number]?.filter { $0 <= state.throughWallMilliseconds }
        }
        seen = seen.filter { $0.rawValue < index.nextSequence }
        let fresh = index.tickTasks.filter { seen.insert($0.sequence).inserted }
        for (_, _, tick) in fresh where tick.wallMilliseconds > 0 {
            fired[tick.recurring, default: []].insert(tick.wallMilliseconds)
        }
        return fresh
    }
}

extension Simulation {
    /// Names, recurrences, templates and ways of recurring tasks; those of one name never change but for the recurrence.
    private static let recurring: [(name: Name, recurrences: [String], queue: Name, overlap: RecurringSpec.Overlap)] = [
        ("r0", ["every:1s", "every:3s"], "a", .allow),
        ("r1", ["cron:* * * * *", "cron:*/2 * * * * Test/Zone"], "b", .skip),
        ("r2", ["every:7s", "daily:12:00"], "c", .replace),
        ("r3", ["cron:30 4 1 * * Test/Zone", "cron:* * * * * No/Zone"], "a", .allow),
    ]

    private static let tickTags: [TaskTag] = ["tick", "urgent"]

    /// What the payloads of all recurring tasks are said to be.
    private static let recurringContent = Content(type: Cast.contentTypes[1], encoding: .zstd)

    /// The task of a tick carries the tags of its recurring task.
    func checkTags(ofTick status: TaskStatus) throws(Broken) {
        guard status.tick != nil, status.tags != Self.tickTags else { return }
        throw Broken("I10", "Task \(status.id) of a tick has the tags \(status.tags), not those of its recurring task")
    }

    mutating func askForRecurring(_ client: Int) {
        let (name, recurrences, queue, overlap) = Self.recurring[dice.below(Self.recurring.count)]
        let task = TaskSpec(
            queue: queue,
            type: Cast.types[1],
            payload: Bytes("tick of \(name)".utf8),
            content: Self.recurringContent,
            retriesMax: 1,
            // That a tick cancels the task before is known only when it is stored, which may be minutes later.
            retentionMilliseconds: overlap == .replace ? 1_200_000 : Self.shortestKeptMilliseconds,
            tags: Self.tickTags
        )
        switch dice.below(12) {
        case 0: ask(client, .removeRecurring(name))
        case 1, 2, 3, 4:
            ask(client, .pauseRecurring(name, isPaused: true))
            if dice.oneIn(4) { return }
            ask(client, .pauseRecurring(name, isPaused: false))
        case 5: ask(client, .runRecurring(name), calls: [.submit(call(of: task))])
        case 6: ask(client, .recurring(after: dice.oneIn(2) ? nil : name, count: 2))
        case 7: ask(client, .upcomingTicks(recurrence: Bytes((dice.pick(recurrences) ?? "").utf8)))
        default:
            let spec = RecurringSpec(
                name: name,
                recurrence: Bytes((dice.pick(recurrences) ?? "").utf8),
                task: task,
                catchUpMax: UInt32(dice.below(4)),
                overlap: overlap
            )
            ask(client, .putRecurring(spec))
        }
    }

    /// Remembers the tasks that ticks submit: nobody asked for them, so the history is told when they are there.
    mutating func noteTicks(_ effects: EffectBatch) throws(Broken) {
        note(try ticks.check(effects))
        ticks.forgetRemoved(effects)
        for state in effects.recurringStates where state.skipped > 0 { report.hits.count(.event(.tickSkipped)) }
    }

    mutating func note(_ tasks: [Ticks.TickTask]) {
        for (sequence, created, tick) in tasks {
            guard let template = ticks.row(tick.recurring) else { continue }
            let id = TaskIDCipher(key: broker.identity.key).id(of: sequence, createdMilliseconds: created)
            let queue = Self.recurring.first { $0.name == template.name }?.queue ?? "a"
            let spec = TaskSpec(
                queue: queue,
                type: Cast.types[1],
                payload: template.payload,
                content: Self.recurringContent,
                retriesMax: 1
            )
            note(spec, id)
            if tick.wallMilliseconds > 0 {
                report.hits.count(.event(.tickSubmitted))
                let submit = history.invoke(.submit(call(of: spec)), client: 0, at: now)
                history.record(.returned(submit, .unknown), at: now)
            }
            guard template.overlap == .replace else { continue }
            // The next tick may cancel it.
            cancelled.insert(id)
            history.record(.returned(history.invoke(.cancel(id), client: 0, at: now), .unknown), at: now)
        }
    }

    /// Forgets all recurring tasks, so that there is an end.
    mutating func removeRecurring() throws(Broken) {
        for (name, _, _, _) in Self.recurring { _ = try reply(to: .removeRecurring(name)) }
    }
}
