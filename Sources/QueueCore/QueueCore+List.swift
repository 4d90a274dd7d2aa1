import TQModel

extension QueueCore {
    /// Places of the task table that one request looks at: about two milliseconds.
    private static let placesPerList = 1_000_000

    /// Answers with what is in memory of a page; what is stored is read when the reply may leave.
    mutating func list(_ query: TaskQuery, _ asker: Asker) {
        do throws(TQError) {
            guard (1...Limits.taskPageMax).contains(query.count) else {
                throw TQError(
                    .invalidArgument,
                    "A page has 1 to \(Limits.taskPageMax) tasks, not \(query.count)."
                )
            }
            let isNewestFirst = query.isNewestFirst
            var position: ListPosition =
                query.cursor.isEmpty
                ? .live(isNewestFirst ? .last : TaskSequence(0)) : try ListPosition(cursor: query.cursor)
            var page = TaskPage()
            guard let selection = try selection(query.filter, asker.principal) else {
                return reply(.tasks(page), to: asker)
            }
            if query.isCount, query.cursor.isEmpty, let count = counted(selection) {
                page.count = count
                return reply(.tasks(page), to: asker)
            }
            if case .live(let sequence) = position {
                let next = list(selection, from: sequence, query, into: &page)
                position = next.map { .live($0) } ?? .deadLetters(isNewestFirst: isNewestFirst)
            }
            reply(.tasks(page), to: asker, missing: .tasks(query, selection, from: position))
        } catch {
            reply(error, to: asker)
        }
    }

    /// How many tasks a selection has, where counters tell that.
    private func counted(_ selection: TaskSelection) -> UInt64? {
        var plain = selection
        (plain.states, plain.queue) = ([], nil)
        guard plain == TaskSelection(namespace: selection.namespace) else { return nil }
        let queues = selection.queue.map { $0...$0 } ?? 1...max(1, UInt32(index.queues.count - 1))
        return queues.reduce(0) { sum, queue in
            guard Int(queue) < index.queues.count, index.queueNames.namespace(queue) == selection.namespace else {
                return sum
            }
            let counts = index.queues[Int(queue)].counts
            return selection.states.reduce(sum) { $0 + counts[$1] }
        }
    }

    /// Adds tasks that have not ended, and says where to go on among them.
    private func list(
        _ selection: TaskSelection,
        from first: TaskSequence,
        _ query: TaskQuery,
        into page: inout TaskPage
    ) -> TaskSequence? {
        guard !selection.states.isDisjoint(with: TaskSelection.liveStates) else { return nil }
        // Whether a failed task is meant may hang on its error, which is read later.
        let isCount = query.isCount && selection.error.isEmpty
        let found = find(
            selection,
            from: first,
            isDescending: query.isNewestFirst,
            count: isCount ? .max : Int(query.count),
            limit: Self.placesPerList
        )
        page.scanned += UInt64(found.scanned)
        guard !isCount else {
            page.count += UInt64(found.sequences.count)
            return found.next
        }
        for sequence in found.sequences {
            let slot = index.tasks[sequence]
            var task = status(id(of: sequence, slot), sequence, slot)
            task.checkpoint = []
            page.tasks.append(task)
        }
        return found.next
    }

    /// Finds tasks that have not ended; see ``TaskTable/find(from:isDescending:count:limit:where:)``.
    ///
    /// Errors are not in memory, so what a selection says of them is left to who has read them.
    func find(
        _ selection: TaskSelection,
        from first: TaskSequence,
        isDescending: Bool,
        count: Int,
        limit: Int
    ) -> TaskTable.Found {
        // A set would hash for each of a million places.
        let states = selection.states.intersection(TaskSelection.liveStates).reduce(UInt16(0)) { $0 | 1 << $1.rawValue }
        var matchingTypes = [Bool?](repeating: nil, count: selection.types == nil ? 0 : index.typeNames.count + 1)
        return index.tasks.find(from: first, isDescending: isDescending, count: count, limit: limit) { slot in
            states >> slot.stateValue & 1 != 0
                && selection.matches(
                    queue: slot.queue,
                    type: slot.type,
                    slot.rank,
                    createdMilliseconds: slot.createdMilliseconds
                )
                && (selection.queue != nil || index.queueNames.namespace(slot.queue) == selection.namespace)
                && matches(selection.types, slot.type, &matchingTypes)
        }
    }

    /// Whether a type has a prefix; of a million tasks most have the same few.
    private func matches(_ pattern: TypePattern?, _ type: UInt32, _ known: inout [Bool?]) -> Bool {
        guard let pattern else { return true }
        guard Int(type) < known.count else { return false }
        if let matches = known[Int(type)] { return matches }
        let matches = pattern.matches(index.typeNames.name(type).bytes)
        known[Int(type)] = matches
        return matches
    }
}
