import TQModel

extension QueueCore {
    mutating func complete(_ items: [Completion], _ asker: Asker, _ fetched: [Fetch: Fetched]) {
        guard items.contains(where: \.handsOver) else {
            return reply(.outcomes(items.map { complete($0).failure }), to: asker)
        }
        do throws(TQError) {
            try checkCounts(items)
        } catch {
            return reply(error, to: asker)
        }
        reply(.completed(items.map { complete($0, asker.principal, fetched) }), to: asker)
    }

    private func checkCounts(_ items: [Completion]) throws(TQError) {
        let count = items.reduce(0) { $0 + $1.followUps.count + $1.cancels.count }
        guard count <= Limits.batchCountMax else {
            throw TQError(
                .limitExceeded,
                "The completions hand over \(count) tasks in all, the limit is \(Limits.batchCountMax). Split them."
            )
        }
        var dependencies = 0
        for item in items { dependencies = try checkCount(ofDependenciesIn: item.followUps, and: dependencies) }
    }

    /// Ends a task, submits its follow-ups and cancels others: all in one group, or nothing at all.
    private mutating func complete(
        _ item: Completion,
        _ principal: Principal = .anonymous,
        _ fetched: [Fetch: Fetched] = [:]
    ) -> Result<[Submission], TQError> {
        do throws(TQError) {
            let (sequence, slot, lease) = try held(item.lease)
            guard item.result.count <= Limits.payloadBytesMax else {
                throw TQError(
                    .payloadTooLarge,
                    "The result of task \(item.lease.task) has \(item.result.count) bytes, the limit is "
                        + "\(Limits.payloadBytesMax). Store it elsewhere and complete with its address."
                )
            }
            if settledCount > 0 || !item.cancels.isEmpty {
                try checkSettling(of: [sequence] + item.cancels.compactMap { cipher.sequence(of: $0) })
            }
            let content = try stored(item.content)
            let admissions =
                try item.followUps.isEmpty ? [] : admit(item.followUps, principal, fetched, ending: sequence)
            end(sequence, slot, .complete, .completed, token: lease.token, result: item.result, content)
            totals.completed += 1
            judge(slot, lease, hasFailed: false)
            let submissions = zip(item.followUps, admissions).map { submit($0, $1) }
            for id in item.cancels { _ = cancel(id) }
            return .success(submissions)
        } catch {
            return .failure(error)
        }
    }

    /// Checks tasks that are taken all together or not at all.
    private mutating func admit(
        _ specs: [TaskSpec],
        _ principal: Principal,
        _ fetched: [Fetch: Fetched],
        ending: TaskSequence
    ) throws(TQError) -> [Admission] {
        var admissions: [Admission] = []
        var added: [UInt32: UInt64] = [:]
        var keys: Set<KeyHash> = []
        var dependents = FollowUpDependents()
        for spec in specs {
            let admission = try admit(spec, principal, fetched, whileDraining: true, ending: ending)
            admissions.append(admission)
            guard case .new(let task) = admission else { continue }
            if spec.dependencies != nil { try dependents.take(task, spec, self) }
            if task.replaced == nil {
                try checkDepth(task.queue, adding: added[task.queue, default: 0])
                added[task.queue, default: 0] += 1
            }
            if let key = task.key, !keys.insert(key).inserted { throw sharedKey("idempotency", spec.idempotencyKey) }
            if let key = task.uniqueKey, !keys.insert(key).inserted {
                throw sharedKey("unique", spec.uniqueKey?.key ?? [])
            }
        }
        return admissions
    }

    private func sharedKey(_ kind: String, _ key: Bytes) -> TQError {
        TQError(
            .conflict,
            "Two follow-ups have the \(kind) key '\(String(decoding: key, as: UTF8.self))'. Leave one of them out, or give it "
                + "another key."
        )
    }

    /// Ends a task: its outcome is stored, whoever waits for it is told.
    mutating func end(
        _ sequence: TaskSequence,
        _ slot: TaskSlot,
        _ operation: Transition.Operation,
        _ state: TaskState,
        token: LeaseToken,
        result: Bytes,
        _ content: StoredContent = .unspecified,
        cancelReason: CancelReason = .requested
    ) {
        let options = slot.hasOptions ? index.options[sequence] : nil
        let bucket = ExpiryBucket(
            storeMilliseconds: clock.milliseconds,
            keptMilliseconds: retentionMilliseconds(sequence, slot)
        )
        let part = outcomePart(bucket, adding: result.count)
        let span = EffectBatch.Span(offset: UInt32(batch.results.count), count: UInt32(result.count))
        batch.results.append(contentsOf: result)
        batch.outcomes.append(
            OutcomeRow(
                sequence: sequence,
                createdMilliseconds: slot.createdMilliseconds,
                endWallMilliseconds: now.wallMilliseconds,
                token: token,
                queue: slot.queue,
                type: slot.type,
                rank: slot.rank,
                state: state,
                cancelReason: cancelReason,
                attempts: slot.attempts,
                crashes: slot.crashes,
                bucket: bucket,
                part: part,
                tagCount: options?.tagCount ?? 0,
                result: span,
                content: content
            )
        )
        var ended = transition(operation, to: state, sequence, slot, token)
        ended.bucket = bucket
        ended.outcomePart = part
        ended.byteCount = span.count
        record(ended)
        if hasHistory(slot) {
            let counted = UInt8(min(slot.attempts, UInt16(Limits.historyMax)))
            let placeCount = slot.hasEarlierAttempts ? Limits.historyMax : counted
            batch.endedHistories.append(ExpiringRecord(.history(sequence, placeCount: placeCount), bucket: bucket))
        }
        let location = OutcomeLocation(bucket: bucket, group: batch.group, part: part)
        tellWaiting(for: sequence, id(of: sequence, slot), .outcome(location))
        settleDependents(of: sequence, state)
    }

    /// The part of the group's outcome record that takes so many bytes more.
    private mutating func outcomePart(_ bucket: ExpiryBucket, adding byteCount: Int) -> UInt16 {
        var open = openOutcomes[bucket] ?? (part: 0, byteCount: 0)
        if open.byteCount > 0, open.byteCount + byteCount > Self.segmentByteCountMax {
            open = (part: open.part + 1, byteCount: 0)
        }
        open.byteCount += byteCount + 1
        openOutcomes[bucket] = open
        return open.part
    }
}

/// Who waits for whom among tasks that are taken all together: none is stored while the others are checked.
private struct FollowUpDependents {
    /// Tasks on which some depend, and how many.
    private var counts: [TaskSequence: Int] = [:]
    /// Tasks whose places others take that depend on some.
    private var replaced: Set<TaskSequence> = []

    mutating func take(_ task: QueueCore.Admitted, _ spec: TaskSpec, _ core: QueueCore) throws(TQError) {
        guard let dependencies = task.options?.dependencies, let asked = spec.dependencies else { return }
        if let place = task.replaced { replaced.insert(place) }
        for (parent, id) in zip(dependencies.parents, asked.tasks) {
            try core.checkCount(ofThoseThatWaitFor: parent.sequence, id, added: counts[parent.sequence] ?? 0)
            counts[parent.sequence, default: 0] += 1
        }
        guard let circle = replaced.filter({ counts[$0] != nil }).min() else { return }
        throw TQError(
            .conflict,
            "A follow-up that depends on others would take the place of task \(core.id(of: circle, core.index.tasks[circle])), "
                + "on which another one depends. Submit it under another unique key."
        )
    }
}

extension Result where Failure == TQError {
    fileprivate var failure: TQError? { if case .failure(let error) = self { error } else { nil } }
}
