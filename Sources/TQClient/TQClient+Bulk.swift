public import TQModel

extension TQClient {
    /// Begins to change all tasks that a filter is for; the broker goes on by itself, over restarts too.
    ///
    /// When the connection is lost before the reply, it may have begun: ``bulkOperations()`` shows it.
    /// - Throws: `invalidArgument` when no task can be meant, `limitExceeded` when too many are under way.
    public func startBulk(_ spec: BulkSpec) async throws(TQError) -> BulkStatus {
        try await bulk(.startBulk(spec), resend: .never)
    }

    /// The bulk operations that are under way, and the last ones that have ended, in the order of their starts.
    public func bulkOperations() async throws(TQError) -> [BulkStatus] {
        guard case .bulkOperations(let operations) = try await call(.bulkOperations) else { throw .unexpectedReply }
        return operations
    }

    /// A bulk operation.
    ///
    /// - Throws: `bulkNotFound` when there is none with that number, or it ended long ago.
    public func bulkOperation(_ number: UInt32) async throws(TQError) -> BulkStatus {
        guard let operation = try await bulkOperations().first(where: { $0.number == number }) else {
            throw TQError(
                .bulkNotFound,
                "There is no bulk operation \(number), or it ended long ago. See the list of them."
            )
        }
        return operation
    }

    /// Ends a bulk operation before its time; what it has changed stays changed.
    ///
    /// - Throws: `bulkNotFound` among others.
    @discardableResult
    public func stopBulk(_ number: UInt32) async throws(TQError) -> BulkStatus {
        try await bulk(.stopBulk(number), resend: .always)
    }

    /// Waits for the end of a bulk operation; a cancelled wait leaves it alone.
    ///
    /// - Parameter onProgress: Called now and then with how far it is.
    public func waitForBulk(
        _ number: UInt32,
        onProgress: (BulkStatus) -> Void = { _ in }
    ) async throws -> BulkStatus {
        try await poll(until: { $0.phase != .running }, onProgress: onProgress) { try await bulkOperation(number) }
    }

    private func bulk(_ request: Request, resend: Call.Resend) async throws(TQError) -> BulkStatus {
        let reply = try await session.call(request, resend: resend, patience: options.connectionPatience)
        guard case .bulkOperations(let operations) = reply, let operation = operations.first else {
            throw .unexpectedReply
        }
        return operation
    }
}
