import TQModel

extension QueueCore {
    /// Places of the task table that one request looks at: about two milliseconds.
    private static let placesPerList = 1_000_000

    /// Answers with what is in memory of a page; what is stored is read when the reply may leave.
    mutating func list(_ query: TaskQuery, _ fetched: [Fetch: Fetched], _ asker: Asker) {
        do throws(TQError) {
            guard (1...Limits.taskPageMax).contains(query.count) else {
                throw TQError(
                    .invalidArgument,
                    "A page has 1 to \(Limits.taskPageMax) tasks, not \(query.count)."
                )
            }
            var position = try position(of: query)
            var page = TaskPage()
            guard let selection = try selection(query.filter, asker.principal) else {
                return reply(.tasks(page), to: asker)
            }
            if query.isCount, query.cursor.isEmpty, let count = counted(selection) {
                page.count = count
                return reply(.tasks(page), to: asker)
            }
            if let read = taggedRead(query) { return try list(tagged: read, query, selection, fetched, asker) }
            var tagged: Set<TaskSequence> = []
            if case .live(let sequence) = position {
                let next = list(selection, from: sequence, query, into: &page, &tagged)
                position = next.map { .live($0) } ?? .deadLetters(isNewestFirst: query.isNewestFirst)
            }
            reply(.tasks(page), to: asker, missing: .tasks(query, selection, from: position, tagged: tagged))
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

    /// Where a page begins.
    ///
    /// - Throws: `invalidArgument` when no list of this kind has such a place.
    func position(of query: TaskQuery) throws(TQError) -> ListPosition {
        let first: TaskSequence = query.isNewestFirst ? .last : TaskSequence(0)
        // Rows of lists lead to dead letters better than those of a tag that may be everybody's.
        let isLedByTag = query.filter.tag != nil && query.filter.states != [.deadLetter]
        guard !query.cursor.isEmpty else { return isLedByTag ? .tagged(first) : .live(first) }
        let position = try ListPosition(cursor: query.cursor)
        guard position.isLedByTag == isLedByTag else {
            throw TQError(
                .invalidArgument,
                "The cursor belongs to a list with another filter. Begin at the first page."
            )
        }
        return position
    }

    /// Adds tasks that have not ended, and says where to go on among them.
    ///
    /// - Parameter tagged: Gets those among them that carry tags.
    private func list(
        _ selection: TaskSelection,
        from first: TaskSequence,
        _ query: TaskQuery,
        into page: inout TaskPage,
        _ tagged: inout Set<TaskSequence>
    ) -> TaskSequence? {
        guard !selection.states.isDisjoint(with: TaskSelection.liveStates) else { return nil }
        // Whether a failed task is meant may hang on its error, which is read later.
        let isCount = query.isCount && selection.error.isEmpty
        let found = find(
            selection,
            from: first,
            isDescending: query.isNewestFirst,
            count: isCount ? index.tasks.count : Int(query.count),
            limit: Self.placesPerList
        )
        page.scanned += UInt64(found.scanned)
        guard !isCount else {
            page.count += UInt64(found.sequences.count)
            return found.next
        }
        for sequence in found.sequences {
            let slot = index.tasks[sequence]
            page.tasks.append(listed(sequence, slot))
            if tagCount(sequence, slot) > 0 { tagged.insert(sequence) }
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

    /// A task that has not ended as lists show it.
    func listed(_ sequence: TaskSequence, _ slot: TaskSlot) -> TaskStatus {
        var task = status(id(of: sequence, slot), sequence, slot)
        task.checkpoint = []
        return task
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
