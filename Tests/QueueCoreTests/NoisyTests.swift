import TQModel
import Testing

@testable import QueueCore

@Suite("Noisy groups") struct NoisyTests {
    private func core(_ rule: NoisyRule = NoisyRule(percent: 50, runningMin: 3)) -> CoreHarness {
        var core = CoreHarness()
        #expect(core.reply(.putQueuePolicy("q", QueuePolicy(noisy: rule))) == .done)
        return core
    }

    private func submit(_ group: Name?, _ core: inout CoreHarness, type: Name = "t", priority: UInt8 = 150) -> TaskID {
        core.submit {
            $0.type = type
            $0.rank = Priority(priority).rank
            $0.sharing = Sharing(group: group)
        }
    }

    @Test("Tasks of a noisy group wait until those of quiet groups run, and nobody waits when it is alone")
    func quietFirst() throws {
        var core = core()
        let noisy = (0..<8).map { _ in submit("a", &core) }
        #expect(core.claimIDs(4) == Array(noisy[..<4]))
        let quiet = [submit("b", &core), submit(nil, &core), submit("b", &core)]
        // Half of what runs are its own after those of others have begun.
        #expect(core.claimIDs(3) == [quiet[0], quiet[1], quiet[2]])
        #expect(core.claimIDs() == Array(noisy[4...]))
        try core.checkIndex()
    }

    @Test("A group is quiet again when fewer of its tasks run, also when that is because others run")
    func quietAgain() throws {
        var core = core()
        let noisy = (0..<8).map { _ in submit("a", &core) }
        let leases = core.claim(3).map(\.lease)
        let others = (0..<3).map { _ in submit("b", &core) }
        #expect(core.claimIDs(1) == [others[0]])
        #expect(core.complete(leases[0]) == nil)
        // Two of three run: too few to be noisy.
        #expect(Set(core.claimIDs(2)) == [noisy[3], others[1]])
        #expect(core.claimIDs(1) == [others[2]])
        #expect(core.claimIDs(1) == [noisy[4]])
        try core.checkIndex()
    }

    @Test("Among noisy groups the one of which the fewest run is next, over types too, and a restart forgets nothing")
    func leastNoisy() throws {
        var core = core(NoisyRule(percent: 20, runningMin: 2))
        for group in ["a", "a", "a", "b", "b"] as [Name] { _ = submit(group, &core) }
        #expect(core.claim(5).count == 5)
        let (a, b) = (submit("a", &core), submit("b", &core, type: "u"))
        try core.restart()
        #expect(core.claimIDs() == [b, a])
    }

    @Test("More urgent tasks go first, whatever group they have")
    func urgent() {
        var core = core()
        for _ in 0..<3 { _ = submit("a", &core) }
        #expect(core.claim(3).count == 3)
        let (quiet, urgent) = (submit("b", &core), submit("a", &core, priority: 151))
        #expect(core.claimIDs() == [urgent, quiet])
    }

    @Test("What makes no sense is refused")
    func refused() {
        var core = CoreHarness()
        for rule in [NoisyRule(percent: 0), NoisyRule(percent: 100), NoisyRule(percent: 10, runningMin: 0)] {
            #expect(core.errorCode(.putQueuePolicy("q", QueuePolicy(noisy: rule))) == .invalidArgument)
        }
    }
}
