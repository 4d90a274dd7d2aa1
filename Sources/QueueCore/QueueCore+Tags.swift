import TQModel

// The tags of a task are on the disk alone: its options say how many it has, so that others cost nothing.
extension QueueCore {
    // MARK: Carrying tags

    func check(_ tags: [TaskTag]) throws(TQError) {
        guard tags.count <= Limits.tagsMax else {
            throw TQError(
                .invalidArgument,
                "A task carries at most \(Limits.tagsMax) tags, not \(tags.count). Use fewer of them."
            )
        }
        for (place, tag) in tags.enumerated() {
            try check(tag)
            guard !tags[..<place].contains(tag) else {
                throw TQError(.invalidArgument, "The tag '\(tag)' is given twice. Leave one of them out.")
            }
        }
    }

    func check(_ tag: TaskTag) throws(TQError) {
        guard tag.isValid else {
            throw TQError(
                .invalidArgument,
                "'\(tag)' is no tag: use 1 to \(Limits.tagBytesMax) bytes of UTF-8 without blanks, control characters "
                    + "and '*'."
            )
        }
    }

    /// Stores the tags of a task that is stored in this group.
    mutating func tag(_ sequence: TaskSequence, _ tags: [TaskTag], insteadOf old: [TaskTag] = []) {
        guard !tags.isEmpty || !old.isEmpty else { return }
        // The same ones, too, for whoever takes its place in this group: the row that they were read for is gone.
        openTags[sequence] = tags
        guard tags != old else { return }
        batch.tags.append(TagsRow(sequence: sequence, tags: tags, dropped: old.filter { !tags.contains($0) }))
    }

    /// How many tags a task carries that has not ended.
    func tagCount(_ sequence: TaskSequence, _ slot: TaskSlot) -> UInt8 {
        slot.hasOptions ? index.options[sequence]?.tagCount ?? 0 : 0
    }

    // MARK: Tags of tasks that are replaced

    /// The stored tags of tasks whose places these take.
    ///
    /// - Parameter ending: A task that is over before they are submitted.
    func replacedTagReads(
        _ specs: [TaskSpec],
        _ principal: Principal,
        ending: TaskSequence? = nil
    ) -> [Fetch] {
        specs.indices.compactMap { place in
            guard specs[place].uniqueKey?.onConflict == .replace, let unique = specs[place].uniqueKey,
                let holder = holder(
                    of: hash(unique.key, .uniqueness, of: specs[place], principal),
                    unique,
                    ending: ending
                )
            else { return nil }
            return storedTagsRead(holder.sequence)
        }
    }

    /// The stored tags of tasks whose places follow-ups take.
    func replacedTagReads(_ items: [Completion], _ principal: Principal) -> [Fetch] {
        items.indices.flatMap { place in
            items[place].followUps.isEmpty
                ? []
                : replacedTagReads(
                    items[place].followUps,
                    principal,
                    ending: cipher.sequence(of: items[place].lease.task)
                )
        }
    }

    /// The tags of a task, unless it has none, or the open group has them.
    private func storedTagsRead(_ sequence: TaskSequence) -> Fetch? {
        let slot = index.tasks[sequence]
        guard tagCount(sequence, slot) > 0, openTags[sequence] == nil else { return nil }
        return .tags(sequence, of: index.records[slot.segment].key)
    }

    /// The tags of a task that is about to be replaced.
    ///
    /// - Throws: `rateLimited` when it came into the way only after the tags of others were read.
    func tags(ofReplaced sequence: TaskSequence, _ fetched: [Fetch: Fetched]) throws(TQError) -> [TaskTag] {
        guard let read = storedTagsRead(sequence) else { return openTags[sequence] ?? [] }
        switch fetched[read] {
        case .tags(let tags): return tags
        // What is not there has nothing that leads to it, or is for a repair.
        case .missing, .damaged: return []
        default:
            throw TQError(
                .rateLimited,
                "The task to replace has tags that are still to be read. Submit again.",
                retryAfterMilliseconds: 50
            )
        }
    }

    // MARK: Lists by tag

    /// Rows that one page of a list looks at for each task that it may have: with other filters, not all fit.
    private static let taggedPerTask = 10
    private static let taggedPerPageMin = 100

    /// Tasks with a tag, as a list needs them before it is decided; dead letters alone are found by other rows, too.
    func taggedRead(_ query: TaskQuery) -> Fetch? {
        guard let tag = query.filter.tag, tag.isValid, (1...Limits.taskPageMax).contains(query.count),
            case .tagged(let first)? = try? position(of: query)
        else { return nil }
        return .tagged(
            tag,
            from: first,
            isDescending: query.isNewestFirst,
            limit: max(Int(query.count) * Self.taggedPerTask, Self.taggedPerPageMin)
        )
    }

    /// Answers with the tasks that a read has found, those in memory as they are now.
    mutating func list(
        tagged read: Fetch,
        _ query: TaskQuery,
        _ selection: TaskSelection,
        _ fetched: [Fetch: Fetched],
        _ asker: Asker
    ) throws(TQError) {
        guard case .tagged(_, _, _, let limit) = read, case .tagged(let sequences)? = fetched[read] else {
            throw TQError(
                .storageCorrupt,
                "The rows that lead to tasks with this tag are damaged. Run 'tq-inspect verify'."
            )
        }
        var found: [TaggedTask] = []
        // One more than the page has says that there is a next one.
        var room = Int(query.count) + 1
        var scanned = 0
        for sequence in sequences where room > 0 {
            scanned += 1
            let slot = index.tasks[sequence]
            if !slot.isLive {
                found.append(TaggedTask(sequence: sequence, place: .stored(stored(slot, sequence))))
            } else if isMeant(slot, by: selection) {
                found.append(TaggedTask(sequence: sequence, place: .inMemory(listed(sequence, slot))))
                room -= 1
            }
        }
        let isWhole = scanned == sequences.count && scanned < limit
        let next = isWhole ? nil : sequences[..<scanned].last.flatMap { $0.next(isDescending: query.isNewestFirst) }
        reply(
            .tasks(TaskPage(scanned: UInt64(scanned - found.count))),
            to: asker,
            missing: .taggedTasks(query, selection, found, next: next)
        )
    }

    /// Whether a task that has not ended is selected, as far as the core can tell.
    func isMeant(_ slot: TaskSlot, by selection: TaskSelection) -> Bool {
        slot.isLive && selection.states.contains(slot.state)
            && selection.matches(
                queue: slot.queue,
                type: slot.type,
                slot.rank,
                createdMilliseconds: slot.createdMilliseconds
            )
            && index.queueNames.namespace(slot.queue) == selection.namespace
            && selection.types?.matches(index.typeNames.name(slot.type).bytes) ?? true
    }

    /// Where a task is that has ended, or is a dead letter.
    private func stored(_ slot: TaskSlot, _ sequence: TaskSequence) -> Ended {
        if slot.state == .deadLetter { return index.burial(slot) }
        return index.outcomeLocation(slot, sequence).map { .outcome($0) } ?? .anywhere(redrives: redriven.count)
    }
}

extension TaskSequence {
    /// The next one in that direction; `nil` behind the last one there can be.
    fileprivate func next(isDescending: Bool) -> TaskSequence? {
        if isDescending { return rawValue == 0 ? nil : TaskSequence(rawValue - 1) }
        return rawValue == .max ? nil : TaskSequence(rawValue + 1)
    }
}
