import TQModel

// Segments and records of transitions live as long as a task needs them; the last one that goes buries them.
extension DurableIndex {
    /// Releases one entry of a record; the last one buries it, but not before recovery has taken all there is.
    mutating func release(_ handle: UInt32) {
        if records.removeEntry(handle), !isRecovering { buryRecord(handle) }
    }

    /// Forgets a record that nothing needs any more, and segments that only waited for it.
    mutating func buryRecord(_ handle: UInt32) {
        // One may free the next, and that another: too many for a recursion.
        var dead = [handle]
        while let next = dead.popLast() { dead += bury(next) }
    }

    /// Forgets one record and returns those that are dead with it.
    private mutating func bury(_ handle: UInt32) -> [UInt32] {
        let record = records[handle]
        guard record.isSegment else {
            derived.deadTransitions.append(record.group)
            records.remove(handle)
            return []
        }
        let sequences = records.sequences(handle)
        let replaced = olderRows.isEmpty ? [] : sequences.filter { dropOlderRow(of: $0, in: handle) }
        let locations = sequences.map { freeEnded($0, segment: handle) }
        if record.key.isMoved {
            for (sequence, location) in zip(sequences, locations) where location != nil {
                let key = LocatorKey(sequence: sequence, isSegment: false)
                derived.locators.append(Locator(key: key, locations: [location]))
            }
        } else if locations.contains(where: { $0 != nil }) {
            let key = LocatorKey(sequence: record.first, isSegment: true)
            derived.locators.append(Locator(key: key, locations: locations))
        }
        derived.deadSegments.append(record.key)
        records.remove(handle)
        return replaced.compactMap { sequence in
            let slot = tasks[sequence]
            guard slot.stateValue != 0, !slot.isLive, records.removeEntry(slot.segment) else { return nil }
            return slot.segment
        }
    }

    /// Frees the slot of an ended task of a dying segment and says where its outcome is.
    private mutating func freeEnded(_ sequence: TaskSequence, segment: UInt32) -> OutcomeLocation? {
        let slot = tasks[sequence]
        guard slot.stateValue != 0, slot.segment == segment else { return nil }
        let location = outcomeLocation(slot, sequence)
        dropOptions(slot, sequence)
        tasks.remove(sequence)
        carriedOutcomes[sequence] = nil
        release(slot.transition)
        return location
    }

    /// Which burial made a task a dead letter: a task that came back may have been buried anew.
    func burial(_ slot: TaskSlot) -> Ended { .deadLetter(records[slot.transition].group) }

    /// Where the outcome of an ended task is that still has its slot.
    func outcomeLocation(_ slot: TaskSlot, _ sequence: TaskSequence) -> OutcomeLocation? {
        let bucket = ExpiryBucket(rawValue: slot.link)
        guard slot.state.isFinal, bucket > expiredThrough else { return nil }
        let group = carriedOutcomes[sequence] ?? records[slot.transition].group
        return OutcomeLocation(bucket: bucket, group: group, part: slot.place)
    }
}
