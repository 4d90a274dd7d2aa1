import TQModel

extension QueueCore {
    /// Takes a registration or a heartbeat.
    mutating func hear(_ spec: WorkerSpec, _ asker: Asker) {
        do throws(TQError) {
            let number = try hear(spec, asker.principal, isFull: true)
            reply(session.orders[number].map { .workerOrder($0) } ?? .done, to: asker)
        } catch {
            reply(error, to: asker)
        }
    }

    /// Notes that a worker lives, and registers it when it is unknown.
    ///
    /// - Parameter isFull: Whether the worker described itself; a claim only names it.
    mutating func hear(_ spec: WorkerSpec, _ principal: Principal, isFull: Bool) throws(TQError) -> UInt32 {
        let name = DurableIndex.ScopedName(namespace: principal.namespace, name: spec.name)
        let wasPresent = present(name) != nil
        let known = index.workerNumbers[name]
        let number = if let known { known } else { try register(spec, principal) }
        session.heard[number] = now.monotonicMilliseconds
        if isFull { session.workerSpecs[number] = own(spec) }
        if !wasPresent { welcomeBack(name) }
        return number
    }

    private mutating func register(_ spec: WorkerSpec, _ principal: Principal) throws(TQError) -> UInt32 {
        guard spec.name.isValid else {
            throw TQError(
                .invalidArgument,
                "'\(spec.name)' is no worker name: use 1 to \(Limits.nameBytesMax) bytes of UTF-8 without blanks, "
                    + "control characters and '*'."
            )
        }
        guard spec.metadata.count <= Limits.errorBytesMax else {
            throw TQError(
                .invalidArgument,
                "The metadata of worker '\(spec.name)' has \(spec.metadata.count) bytes, the limit is "
                    + "\(Limits.errorBytesMax). Send less."
            )
        }
        guard index.workers.count < Limits.namesMax, index.nextWorker < .max else {
            throw TQError(.limitExceeded, "The broker knows \(index.workers.count) workers, its limit. Stop some.")
        }
        let row = WorkerRow(number: index.nextWorker, namespace: principal.namespace, spec: own(spec))
        index.apply(row)
        batch.registeredWorkers.append(row)
        return row.number
    }

    /// Notes that the worker lives that renews this lease.
    mutating func hear(holder lease: Lease) {
        guard let heard = session.heard[lease.worker] else { return }
        session.heard[lease.worker] = now.monotonicMilliseconds
        guard isSilent(since: heard), let row = index.workers[lease.worker] else { return }
        welcomeBack(.init(namespace: row.namespace, name: row.spec.name))
    }

    /// Serves the streams of a worker that was silent, or unknown: they got nothing meanwhile.
    private mutating func welcomeBack(_ worker: DurableIndex.ScopedName) {
        for id in session.claims(of: worker) { serve(id) }
    }

    /// A copy that does not keep the network buffer alive that it came in.
    private func own(_ spec: WorkerSpec) -> WorkerSpec {
        var copy = spec
        copy.name = Name(bytes: Bytes(Array(spec.name.bytes)))
        copy.metadata = Bytes(Array(spec.metadata.prefix(Limits.errorBytesMax)))
        return copy
    }

    mutating func deregister(_ name: Name, _ asker: Asker) {
        let scoped = DurableIndex.ScopedName(namespace: asker.principal.namespace, name: name)
        guard let number = index.workerNumbers[scoped] else { return reply(workerNotFound(name), to: asker) }
        for place in index.leases.places(where: { $0.worker == number }) { reclaim(place, .deregistered, [:]) }
        forget(worker: number)
        reply(.done, to: asker)
    }

    mutating func order(_ name: Name, _ order: WorkerOrder, _ asker: Asker) {
        let scoped = DurableIndex.ScopedName(namespace: asker.principal.namespace, name: name)
        guard let number = index.workerNumbers[scoped] else { return reply(workerNotFound(name), to: asker) }
        session.orders[number] = order == .work ? nil : order
        if order == .work, present(scoped) != nil { welcomeBack(scoped) }
        reply(.done, to: asker)
    }

    private func workerNotFound(_ name: Name) -> TQError {
        TQError(.workerNotFound, "Worker '\(name)' is not registered.")
    }

    private mutating func forget(worker number: UInt32) {
        index.apply(removedWorker: number)
        batch.removedWorkers.append(number)
        session.heard[number] = nil
        session.workerSpecs[number] = nil
        session.orders[number] = nil
    }

    /// Gives up workers that were silent too long, and takes their tasks back.
    mutating func giveUpSilentWorkers(_ fetched: [Fetch: Fetched]) {
        for number in silentWorkers {
            let held = index.leases.places { $0.worker == number }
            for place in held { reclaim(place, .lost, fetched) }
            if let name = index.workers[number]?.spec.name {
                notices.append(.workerLost(name, leases: UInt32(held.count)))
            }
            forget(worker: number)
        }
    }

    private var silentWorkers: [UInt32] { session.heard.filter { isSilent(since: $0.value) }.keys.sorted() }

    private func isSilent(since heard: UInt64) -> Bool {
        now.monotonicMilliseconds - heard > configuration.workerInactivityMilliseconds
    }

    /// The number of a worker that was heard of lately.
    ///
    /// A claim may outlive its worker's silence. What it takes then belongs to nobody: a lease of the worker would be taken
    /// back with the others when it is given up, a crash for the task that had only just been delivered.
    func present(_ worker: DurableIndex.ScopedName) -> UInt32? {
        guard let number = index.workerNumbers[worker], let heard = session.heard[number], !isSilent(since: heard)
        else { return nil }
        return number
    }

    // MARK: What a loss needs to read

    func burialReads(session id: SessionID) -> [Fetch] {
        guard session.sessions[id]?.settings.endsLeasesOnClose == true else { return [] }
        let reads = index.leases.places { $0.session == id }.compactMap { reclaimRead($0, .lost) }
        return Array(reads.prefix(Self.lossBurialsPerCommand))
    }

    func silentWorkerReads() -> [Fetch] {
        let silent = Set(silentWorkers)
        guard !silent.isEmpty else { return [] }
        return index.leases.places { silent.contains($0.worker) }.compactMap { reclaimRead($0, .lost) }
    }

    // MARK: Sessions

    /// Ends a session's claims, streams and reads: what they would get until the session is closed, nobody would take.
    mutating func endWaits(of id: SessionID) {
        for parking in session.sessions[id]?.parked.sorted() ?? [] { session.unpark(parking) }
        session.sessions[id]?.streams = [:]
    }

    mutating func closeSession(_ id: SessionID, _ fetched: [Fetch: Fetched]) {
        guard let closed = session.sessions.removeValue(forKey: id), closed.settings.endsLeasesOnClose else { return }
        for place in index.leases.places(where: { $0.session == id }) { reclaim(place, .lost, fetched) }
    }

    mutating func drain() {
        isDraining = true
        for id in session.parked.keys.sorted() {
            guard case .claim(let claim)? = session.parked[id], claim.stream == nil else { continue }
            session.unpark(id)
            let asker = Asker(session: claim.session, request: claim.request, principal: .anonymous)
            reply(TQError(.draining, "The broker is shutting down. Claim from another one or later."), to: asker)
        }
    }

    /// Gives recovered leases their full duration, and recovered workers their full silence, from now on.
    mutating func beginServing() {
        for place in index.leases.places(where: { _ in true }) {
            let sequence = index.leases[place].sequence
            let timeout = timeoutMilliseconds(sequence, index.tasks[sequence])
            let attempt = UInt64(timeout) + Defaults.timeoutGraceMilliseconds
            index.leases.update(place) {
                // An attempt has what is left of its time, but is not taken back before its lease could be renewed.
                let spent = clock.milliseconds - min($0.claimedStoreMilliseconds, clock.milliseconds)
                let left = max(attempt - min(spent, attempt), UInt64($0.durationMilliseconds))
                $0.attemptDeadlineMilliseconds = now.monotonicMilliseconds + left
                $0.extend(from: now.monotonicMilliseconds)
                $0.isRecovered = true
            }
        }
        for number in index.workers.keys { session.heard[number] = now.monotonicMilliseconds }
        collectAbsentParents()
        findForgotten()
        beginTicks()
    }
}
