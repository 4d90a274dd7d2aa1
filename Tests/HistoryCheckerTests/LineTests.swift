import HistoryChecker
import TQModel
import Testing

struct LineTests {
    @Test func everyKindOfEventIsReadAsItWasWritten() throws {
        let events = everyKind + Rehearsal(seed: 1, steps: 2_000).events
        #expect(try Event.events(in: lines(events)) == events)
    }

    @Test func aLineIsWordsWithTabsBetween() {
        let now = Now(monotonicMilliseconds: 5, wallMilliseconds: 9)
        let call = Call.fail(lease(1, 7), isPermanent: true, retryAfterMilliseconds: nil)
        let event = Event(time: now, client: 3, kind: .invoked(11, call))
        let text = String(decoding: lines([event]), as: UTF8.self)
        #expect(text == "5\t9\t3\tinvoked\t11\tfail\t00000000-0000-0001-0000-000000000001\t7\t1\t-\n")
    }

    @Test func aTornLastLineIsLeftOut() throws {
        let events = Rehearsal(seed: 2, steps: 20).events
        let bytes = lines(events)
        let last = lines(Array(events.suffix(1))).count
        for torn in 1..<last {
            #expect(try Event.events(in: Array(bytes.dropLast(torn))) == Array(events.dropLast()))
        }
        #expect(try Event.events(in: []).isEmpty)
    }

    @Test(arguments: [
        ("", 1), ("1\t2", 2), ("x\t2\t0\tserving", 1), ("1\t2\t0\tserved", 4), ("1\t2\t0\tserving\t", 4),
        ("1\t2\t0\treturned\t1\tsubmitted\tabc\t0", 7), ("1\t2\t0\tstopped\tslowly", 5),
        ("1\t2\t4294967296\tserving", 3), ("1\t-2\t0\tserving", 2), ("1\t2\t0\tdumpBegan\t2", 5),
        ("1\t2\t0\treturned\t1\tobserved\tdone\t-\t-", 7), ("1\t2\t0\treturned\t1\tdelivered\t", 7),
    ])
    func aWrongLineNamesItsField(_ text: String, _ field: Int) {
        let error = #expect(throws: LineError.self) { try Event.events(in: Array("1\t2\t0\tserving\n\(text)\n".utf8)) }
        #expect(error?.line == 2)
        #expect(error?.field == field, "\(error?.description ?? "")")
    }

    @Test func noBytesTrapTheReaderOrTheChecker() {
        var random = SplitMix64(seed: 7)
        let original = lines(Rehearsal(seed: 3, steps: 200).events)
        var readable = 0
        for _ in 0..<500 {
            var bytes = original
            for _ in 0...Int.random(in: 0..<4, using: &random) {
                let place = Int.random(in: 0..<bytes.count, using: &random)
                switch Int.random(in: 0..<4, using: &random) {
                case 0: bytes[place] = UInt8.random(in: 0...255, using: &random)
                case 1: bytes[place] = UInt8.random(in: UInt8(ascii: "0")...UInt8(ascii: "9"), using: &random)
                case 2: bytes.insert(UInt8(ascii: "9"), at: place)
                default: bytes.remove(at: place)
                }
            }
            for line in bytes.split(separator: UInt8(ascii: "\n")) { _ = try? Event(line: line) }
            // Numbers that were altered and events that are missing must not stop the checker either.
            let events = bytes.split(separator: UInt8(ascii: "\n")).compactMap { try? Event(line: $0) }
            readable += events.count
            _ = Checker.violations(in: events)
        }
        #expect(readable > 10_000)
    }

    @Test func digestsTellBytesApart() {
        let texts = ["", "\0", "\0\0", "a", "b", "ab", "ba"]
        #expect(Set(texts.map { Digest(of: $0.utf8) }).count == texts.count)
    }

    private func lines(_ events: [Event]) -> [UInt8] {
        var bytes: [UInt8] = []
        for event in events { event.appendLine(to: &bytes) }
        return bytes
    }

    /// What a rehearsal does not come to.
    private var everyKind: [Event] {
        var counts = TaskCounts()
        for state in TaskState.allCases { counts[state] = .max - UInt64(state.rawValue) }
        let now = Now(monotonicMilliseconds: .max, wallMilliseconds: 0)
        let delivery = delivered(1, .max, .max)
        let kinds: [Event.Kind] = [
            .invoked(0, .claim(queues: [])), .invoked(1, .claim(queues: [0, .max])), .returned(1, .delivered([])),
            .returned(2, .delivered([delivery, delivery])), .returned(3, .refused(TQError.Code(rawValue: .max))),
            .counted(queue: nil, counts), .counted(queue: 4, counts), .orderBegan, .orderEnded, .drained, .clock,
            .returned(4, .observed(Observation(state: .blocked))), .stopped(.clean), .sessionEnded,
        ]
        return kinds.map { Event(time: now, client: .max, kind: $0) }
    }
}
