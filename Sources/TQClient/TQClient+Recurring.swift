public import TQModel

extension TQClient {
    /// Keeps a recurring task, in the place of the one with its name.
    ///
    /// Put again unchanged, as a deployment does, it loses no tick and gets none twice.
    /// - Throws: `invalidArgument` for a recurrence that cannot be read or is never due, among others.
    @discardableResult
    public func putRecurring(_ spec: RecurringSpec) async throws(TQError) -> RecurringStatus {
        var spec = spec
        try encode(&spec.task)
        return try await recurring(.putRecurring(spec))
    }

    /// Stops a recurring task until it is resumed.
    ///
    /// - Throws: `recurringNotFound` among others.
    @discardableResult
    public func pauseRecurring(_ name: Name) async throws(TQError) -> RecurringStatus {
        try await recurring(.pauseRecurring(name, isPaused: true))
    }

    /// Lets a paused recurring task go on; ticks in between are left out.
    ///
    /// - Throws: `recurringNotFound` among others.
    @discardableResult
    public func resumeRecurring(_ name: Name) async throws(TQError) -> RecurringStatus {
        try await recurring(.pauseRecurring(name, isPaused: false))
    }

    /// Forgets a recurring task; tasks that it has submitted stay.
    ///
    /// - Throws: `recurringNotFound` among others.
    public func removeRecurring(_ name: Name) async throws(TQError) {
        let patience = options.connectionPatience
        _ = try await session.call(.removeRecurring(name), resend: .never, patience: patience)
    }

    /// Submits the task of a recurring one now, besides its ticks.
    ///
    /// - Throws: `recurringNotFound` among others.
    public func runRecurring(_ name: Name) async throws(TQError) -> TaskID {
        let patience = options.connectionPatience
        let reply = try await session.call(.runRecurring(name), resend: .never, patience: patience)
        guard case .submitted(let results) = reply, let result = results.first else { throw .unexpectedReply }
        return try result.get().id
    }

    /// The recurring tasks with names behind that one, in the order of their names.
    public func recurringTasks(after name: Name? = nil, count: UInt32 = 100) async throws(TQError) -> RecurringPage {
        guard case .recurring(let page) = try await call(.recurring(after: name, count: count)) else {
            throw .unexpectedReply
        }
        return page
    }

    /// The next ticks that a recurrence would have, in milliseconds since 1970; nothing is kept.
    public func upcomingTicks(of recurrence: String) async throws(TQError) -> [UInt64] {
        guard case .ticks(let ticks) = try await call(.upcomingTicks(recurrence: Bytes(recurrence.utf8))) else {
            throw .unexpectedReply
        }
        return ticks
    }

    private func recurring(_ request: Request) async throws(TQError) -> RecurringStatus {
        guard case .recurring(let page) = try await call(request), let status = page.tasks.first else {
            throw .unexpectedReply
        }
        return status
    }
}
