import TQModel
import Testing

@Suite("Priorities")
struct PriorityTests {
    @Test("Priority 255 has the first rank, and every rank shows its priority")
    func ranks() {
        #expect(Priority(255).rank == Rank(rawValue: 0))
        for value in UInt8.min...UInt8.max {
            #expect(Priority(value).rank.priority == Priority(value))
            #expect(Rank(rawValue: Priority(value).rank.rawValue | 0xff_ffff).priority == Priority(value))
            if value > 0 { #expect(Priority(value).rank < Priority(value - 1).rank) }
        }
    }

    @Test("Names and numbers are read, in either case")
    func parsing() {
        #expect(Priority("low") == Priority(50))
        #expect(Priority("Normal") == Priority(150))
        #expect(Priority("medium") == Priority(150))
        #expect(Priority("HIGH") == Priority(255))
        #expect(Priority("critical") == Priority(255))
        #expect(Priority("0") == Priority(0))
        #expect(Priority("255") == Priority(255))
    }

    @Test("Anything else is no priority", arguments: ["", "256", "-1", "1.5", "urgent", " 5", "0x10"])
    func refused(text: String) { #expect(Priority(text) == nil) }

    @Test("Tiers meet at 100 and 200")
    func tiers() {
        #expect(Priority(0).tier == .low)
        #expect(Priority(99).tier == .low)
        #expect(Priority(100).tier == .normal)
        #expect(Priority(199).tier == .normal)
        #expect(Priority(200).tier == .high)
        #expect(Priority(255).tier == .high)
    }
}
