import TQModel
import Testing

@Suite("The table of errors")
struct ErrorTableTests {
    private static let httpOfGRPC: [String: Set<Int>] = [
        "OK": [200], "INVALID_ARGUMENT": [400, 413], "NOT_FOUND": [404], "UNAUTHENTICATED": [401],
        "PERMISSION_DENIED": [403], "DATA_LOSS": [500], "INTERNAL": [500], "UNKNOWN": [500],
        "DEADLINE_EXCEEDED": [504], "ALREADY_EXISTS": [409], "FAILED_PRECONDITION": [400, 409],
        "ABORTED": [409], "RESOURCE_EXHAUSTED": [413, 429, 503, 507], "UNAVAILABLE": [421, 502, 503],
        "UNIMPLEMENTED": [400],
    ]

    @Test("Codes are dense from 1, each has its row, and names are one of a kind")
    func complete() {
        let table = TQError.Code.table
        #expect(table.map(\.code.rawValue) == Array(1...UInt16(table.count)))
        #expect(Set(table.map(\.name)).count == table.count)
        for row in table {
            #expect(row.code.name == row.name)
            #expect(row.code.isRetryable == row.isRetryable)
            #expect(row.code.tableRow?.code == row.code)
        }
        #expect(table.last?.code == .bulkNotFound)
    }

    @Test("The statuses of the protocols agree, and exit codes are the documented ones")
    func statuses() {
        for row in TQError.Code.table {
            #expect(Self.httpOfGRPC[row.grpcStatus]?.contains(row.httpStatus) == true, "\(row.name)")
            #expect([1, 2, 3, 4, 5, 10, 11].contains(row.exitCode), "\(row.name)")
            #expect(row.exitCode != 2 || row.httpStatus == 404, "\(row.name)")
            #expect(row.exitCode != 5 || [401, 403].contains(row.httpStatus), "\(row.name)")
            if row.isRetryable { #expect(row.httpStatus >= 421, "\(row.name)") }
        }
    }

    @Test("An unknown code keeps its number and is not retried", arguments: [0, 34, .max] as [UInt16])
    func unknown(number: UInt16) {
        let code = TQError.Code(rawValue: number)
        #expect(code.name == "unknown(\(number))")
        #expect(code.tableRow == nil)
        #expect(!code.isRetryable)
    }

    @Test("Names and numbers are the same in every version")
    func pinned() {
        #expect(TQError.Code.invalidArgument.rawValue == 1)
        #expect(TQError.Code.taskNotFound.rawValue == 7)
        #expect(TQError.Code.queueFull.rawValue == 8)
        #expect(TQError.Code.leaseLost.rawValue == 9)
        #expect(TQError.Code.outcomeUnknown.rawValue == 12)
        #expect(TQError.Code.draining.rawValue == 16)
        #expect(TQError.Code.notLeader.rawValue == 19)
        #expect(TQError.Code.internalError.rawValue == 30)
        #expect(TQError(.queueFull, "full").description == "queueFull: full")
        #expect(TQError(.queueFull, "full").retryable)
    }
}
