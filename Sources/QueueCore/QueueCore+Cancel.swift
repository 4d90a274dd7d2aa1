import TQModel

extension QueueCore {
    /// The same for a client that asks for several.
    mutating func cancel(requested id: TaskID) -> Result<Cancellation, TQError> {
        do throws(TQError) {
            if settledCount > 0 { try checkSettling(of: [id].compactMap { cipher.sequence(of: $0) }) }
            return cancel(id)
        } catch {
            return .failure(error)
        }
    }

    mutating func cancel(_ id: TaskID) -> Result<Cancellation, TQError> {
        switch find(id) {
        case .slot(let sequence, let slot) where slot.state.isWaiting:
            endCancelled(sequence, slot, LeaseToken(rawValue: 0))
            return .success(.cancelled)
        case .slot(let sequence, let slot) where slot.state == .inProgress:
            requestCancel(id, sequence, slot)
            return .success(.requested)
        case .slot, .ended:
            return .failure(TQError(.notCancellable, "Task \(id) has ended, so there is nothing to cancel."))
        case .nowhere: return .failure(notFound(id))
        }
    }

    mutating func endCancelled(
        _ sequence: TaskSequence,
        _ slot: TaskSlot,
        _ token: LeaseToken,
        _ reason: CancelReason = .requested
    ) {
        end(sequence, slot, .cancel, .cancelled, token: token, result: [], cancelReason: reason)
        totals.cancelled += 1
    }

    /// Notes that the running attempt shall end, and tells its worker once that is stored.
    private mutating func requestCancel(_ id: TaskID, _ sequence: TaskSequence, _ slot: TaskSlot) {
        let lease = index.leases[slot.link]
        guard !lease.isCancelRequested else { return }
        var requested = transition(.requestCancel, lease, sequence, slot)
        requested.isCancelRequested = true
        requested.progress = batch.progress(index.progress[sequence])
        record(requested)
        index.leases.update(index.tasks[sequence].link) {
            $0.session = lease.session
            $0.attemptDeadlineMilliseconds = lease.attemptDeadlineMilliseconds
            $0.deadlineMilliseconds = lease.deadlineMilliseconds
            $0.isRecovered = lease.isRecovered
        }
        guard session.sessions[lease.session] != nil else { return }
        let holder = Asker(session: lease.session, request: 0, principal: .anonymous)
        reply(.cancelRequested([LeaseHandle(task: id, token: lease.token)]), to: holder)
    }

    func cancelRequested(_ handle: LeaseHandle) -> TQError {
        TQError(
            .cancelRequested,
            "Somebody cancelled task \(handle.task), so its lease is not renewed. Stop the work and report how it ended."
        )
    }
}
