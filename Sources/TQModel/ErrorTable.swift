/// One row of the error table: what an error code is in each protocol.
public struct ErrorTableRow: Sendable {
    /// The code that the row is about.
    public let code: TQError.Code
    /// The name in JSON and in messages.
    public let name: String
    /// The status of an HTTP answer.
    public let httpStatus: Int
    /// The name of the gRPC status.
    public let grpcStatus: String
    /// Whether the same request may succeed later.
    public let isRetryable: Bool
    /// The exit code of the command-line tools.
    public let exitCode: Int32
}

extension TQError.Code {
    /// Every code of this version; docs/errors.md shows the same table.
    public static let table: [ErrorTableRow] = [
        row(.invalidArgument, "invalidArgument", 400, "INVALID_ARGUMENT", false, 1),
        row(.malformedFrame, "malformedFrame", 400, "INVALID_ARGUMENT", false, 1),
        row(.frameTooLarge, "frameTooLarge", 413, "RESOURCE_EXHAUSTED", false, 1),
        row(.unknownMessage, "unknownMessage", 400, "UNIMPLEMENTED", false, 1),
        row(.versionUnsupported, "versionUnsupported", 400, "FAILED_PRECONDITION", false, 1),
        row(.payloadTooLarge, "payloadTooLarge", 413, "INVALID_ARGUMENT", false, 1),
        row(.taskNotFound, "taskNotFound", 404, "NOT_FOUND", false, 2),
        row(.queueFull, "queueFull", 429, "RESOURCE_EXHAUSTED", true, 3),
        row(.leaseLost, "leaseLost", 409, "FAILED_PRECONDITION", false, 3),
        row(.conflict, "conflict", 409, "ALREADY_EXISTS", false, 3),
        row(.notCancellable, "notCancellable", 409, "FAILED_PRECONDITION", false, 3),
        row(.outcomeUnknown, "outcomeUnknown", 500, "UNKNOWN", true, 1),
        row(.readOnly, "readOnly", 503, "UNAVAILABLE", true, 3),
        row(.diskFull, "diskFull", 507, "RESOURCE_EXHAUSTED", true, 3),
        row(.storageCorrupt, "storageCorrupt", 500, "DATA_LOSS", false, 1),
        row(.draining, "draining", 503, "UNAVAILABLE", true, 3),
        row(.tooManyConnections, "tooManyConnections", 503, "RESOURCE_EXHAUSTED", true, 4),
        row(.timedOut, "timedOut", 504, "DEADLINE_EXCEEDED", true, 1),
        row(.notLeader, "notLeader", 421, "UNAVAILABLE", true, 4),
        row(.unauthenticated, "unauthenticated", 401, "UNAUTHENTICATED", false, 5),
        row(.forbidden, "forbidden", 403, "PERMISSION_DENIED", false, 5),
        row(.rateLimited, "rateLimited", 429, "RESOURCE_EXHAUSTED", true, 3),
        row(.limitExceeded, "limitExceeded", 400, "INVALID_ARGUMENT", false, 3),
        row(.queueNotFound, "queueNotFound", 404, "NOT_FOUND", false, 2),
        row(.workerNotFound, "workerNotFound", 404, "NOT_FOUND", false, 2),
        row(.connectionFailed, "connectionFailed", 503, "UNAVAILABLE", true, 4),
        row(.notABroker, "notABroker", 502, "UNAVAILABLE", false, 4),
        row(.taskFailed, "taskFailed", 200, "OK", false, 10),
        row(.taskCancelled, "taskCancelled", 200, "OK", false, 11),
        row(.internalError, "internalError", 500, "INTERNAL", false, 1),
        row(.cancelRequested, "cancelRequested", 409, "ABORTED", false, 3),
        row(.recurringNotFound, "recurringNotFound", 404, "NOT_FOUND", false, 2),
        row(.bulkNotFound, "bulkNotFound", 404, "NOT_FOUND", false, 2),
    ]

    /// The name in JSON and in messages.
    public var name: String { tableRow?.name ?? "unknown(\(rawValue))" }

    /// Whether the same request may succeed later; an unknown code is not retried.
    public var isRetryable: Bool { tableRow?.isRetryable ?? false }

    /// This code's row; `nil` for a code that this version does not know.
    public var tableRow: ErrorTableRow? {
        let position = Int(rawValue) - 1
        return Self.table.indices.contains(position) ? Self.table[position] : nil
    }

    private static func row(
        _ code: Self,
        _ name: String,
        _ httpStatus: Int,
        _ grpcStatus: String,
        _ isRetryable: Bool,
        _ exitCode: Int32
    ) -> ErrorTableRow {
        ErrorTableRow(
            code: code,
            name: name,
            httpStatus: httpStatus,
            grpcStatus: grpcStatus,
            isRetryable: isRetryable,
            exitCode: exitCode
        )
    }
}
