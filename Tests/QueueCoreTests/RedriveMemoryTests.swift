import TQModel
import Testing

@testable import QueueCore

@Suite("What is remembered of redrives") struct RedriveMemoryTests {
    private let tasks = (1...3).map { TaskSequence(UInt64($0)) }

    private func numbers(_ memory: RedriveMemory) -> [UInt64?] { tasks.map { memory[$0]?.number } }

    @Test("Each is forgotten after its time, and one that was put back again after the time of the last")
    func forgotten() {
        var memory = RedriveMemory()
        memory.note(tasks[0], LeaseToken(rawValue: 7), atMilliseconds: 10)
        memory.note(tasks[1], LeaseToken(rawValue: 8), atMilliseconds: 20)
        memory.note(tasks[0], LeaseToken(rawValue: 9), atMilliseconds: 30)
        memory.note(tasks[2], LeaseToken(rawValue: 10), atMilliseconds: 30)
        memory.forget(throughMilliseconds: 9)
        #expect(numbers(memory) == [3, 2, 4])
        memory.forget(throughMilliseconds: 20)
        #expect(numbers(memory) == [3, nil, 4] && memory[tasks[0]]?.token == LeaseToken(rawValue: 9))
        memory.forget(throughMilliseconds: 30)
        #expect(numbers(memory) == [nil, nil, nil] && memory.count == 4)
    }

    @Test("A hundred thousand come and go while as many are remembered")
    func many() {
        var memory = RedriveMemory()
        for number in 1...200_000 as ClosedRange<UInt64> {
            memory.note(TaskSequence(number), LeaseToken(rawValue: 1), atMilliseconds: number)
            if number > 100_000 { memory.forget(throughMilliseconds: number - 100_000) }
        }
        #expect(memory[TaskSequence(100_000)] == nil && memory[TaskSequence(100_001)]?.number == 100_001)
        #expect(memory[TaskSequence(200_000)]?.number == 200_000)
    }
}
