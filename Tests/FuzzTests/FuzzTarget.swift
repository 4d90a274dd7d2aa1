/// A parser of foreign bytes, and what must hold of it whatever the bytes are.
///
/// A new one is a file in Targets and its name in ``all``.
struct FuzzTarget: Sendable {
    /// How tools/fuzz calls it, and the name of its directory of regressions and of its file of inputs.
    let name: String
    /// What is read, in a few words.
    let summary: String
    /// Valid inputs to begin with.
    let seeds: @Sendable () throws -> [[UInt8]]
    /// Reads the bytes; a trap or a failed ``expect(_:_:)`` is a finding, an error is not.
    let run: @Sendable (_ bytes: [UInt8]) -> Void

    static let all: [FuzzTarget] = [
        .messages, .broker, .records, .batches, .recovery, .mark, .configuration, .words, .recurrence, .zone,
        .history, .zstd,
    ]

    static func named(_ name: String) -> FuzzTarget? { all.first { $0.name == name } }
}

/// Ends the process when something does not hold that must.
func expect(_ condition: Bool, _ sentence: @autoclosure () -> String) {
    if !condition { fatalError(sentence()) }
}

/// Ends the process when two values differ, with both of them.
func expectEqual<Value: Equatable>(_ found: Value, _ expected: Value, _ sentence: @autoclosure () -> String) {
    expect(found == expected, "\(sentence())\nfound:    \(found)\nexpected: \(expected)")
}
