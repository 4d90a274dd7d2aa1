import Testing

/// What tools/fuzz found once must never be found again.
@Suite("Inputs that were found by fuzzing")
struct ReplayTests {
    @Test("No input that ended the process once does it again", arguments: FuzzTarget.all.map(\.name))
    func regressions(_ name: String) throws {
        let target = try #require(FuzzTarget.named(name))
        for regression in try Inputs.regressions(of: target) { target.run(regression.bytes) }
    }

    @Test("Every target reads its seeds and the inputs that are kept", arguments: FuzzTarget.all.map(\.name))
    func kept(_ name: String) throws {
        let target = try #require(FuzzTarget.named(name))
        let inputs = try target.seeds() + Inputs.corpus(of: target)
        #expect(!inputs.isEmpty)
        for input in inputs { target.run(input) }
    }
}
