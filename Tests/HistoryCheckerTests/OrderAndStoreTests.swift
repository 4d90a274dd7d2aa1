import HistoryChecker
import TQModel
import Testing

/// I8 to I16: order, counters, bytes, recovery, liveness and time; and the history's own form.
struct OrderAndStoreTests {
    @Test func aLowerPriorityThatGoesFirstIsFound() {
        func broken(_ first: UInt64, _ second: UInt64, isMarked: Bool = true) -> [Invariant] {
            Script.broken { script in
                script.submit(1, rank: Priority.low.rank)
                script.submit(2, rank: Priority.high.rank)
                if isMarked { script.record(.orderBegan) }
                script.claim(first, token: 1)
                script.claim(second, token: 2)
            }
        }
        #expect(broken(1, 2) == [.order])
        #expect(broken(2, 1).isEmpty)
        #expect(broken(1, 2, isMarked: false).isEmpty)
    }

    @Test func aLaterSubmitThatGoesFirstIsFound() {
        func broken(_ order: [UInt64]) -> [Invariant] {
            Script.broken { script in
                for number in order.sorted() { script.submit(number) }
                script.record(.orderBegan)
                let deliveries = order.enumerated().map { delivered($1, UInt64($0) + 1, 1) }
                script.call(.claim(queues: [1]), .delivered(deliveries))
            }
        }
        #expect(broken([1, 2, 3]).isEmpty)
        #expect(broken([2, 1, 3]) == [.order])
        #expect(broken([1, 3, 2]) == [.order])
    }

    @Test func concurrentSubmitsHaveNoOrder() {
        let broken = Script.broken { script in
            let first = script.invoke(.submit(SubmitCall(queue: 1, payload: Digest(rawValue: 1))), client: 2)
            script.submit(2)
            script.end(first, .submitted(task(1), isDuplicate: false), client: 2)
            script.record(.orderBegan)
            script.claim(2, token: 1)
            script.claim(1, token: 2)
        }
        #expect(broken.isEmpty)
    }

    @Test func countersThatDifferFromTheRecountAreFound() {
        func broken(pending: UInt64, completed: UInt64 = 0) -> [Invariant] {
            var counts = TaskCounts()
            counts.pending = pending
            counts.completed = completed
            return Script.broken {
                $0.submit(1); $0.dump([row(1, .pending)], counters: counts)
            }
        }
        #expect(broken(pending: 1).isEmpty)
        #expect(broken(pending: 2) == [.counters])
        #expect(broken(pending: 1, completed: 1) == [.counters])
    }

    @Test func aQueueWithoutCountersIsFound() {
        let broken = Script.broken { script in
            script.submit(1)
            script.record(.dumpBegan(mustEqualPrevious: false))
            script.record(.dumped(row(1, .pending)))
            script.record(.counted(queue: 2, TaskCounts()))
            script.record(.dumpEnded)
        }
        #expect(broken == [.counters])
    }

    @Test func wrongPayloadsAreFound() {
        #expect(
            Script.broken {
                $0.submit(1); $0.submit(2); $0.claim(1, token: 1, payload: 2)
            } == [.bytes]
        )
        #expect(
            Script.broken {
                $0.submit(1); $0.dump([row(1, .pending, payload: 9)])
            } == [.bytes]
        )
        let lateSubmit = Script.broken { script in
            let submit = script.invoke(.submit(SubmitCall(queue: 1, payload: Digest(rawValue: 1))), client: 2)
            script.claim(1, token: 1)
            script.end(submit, .submitted(task(1), isDuplicate: false), client: 2)
        }
        #expect(lateSubmit.isEmpty)
    }

    @Test func wrongQueuesAndRanksAreFound() {
        #expect(
            Script.broken {
                $0.submit(1); $0.dump([row(1, .pending, queue: 2)])
            } == [.bytes]
        )
        #expect(
            Script.broken {
                $0.submit(1, rank: Priority.high.rank); $0.dump([row(1, .pending)])
            } == [.bytes]
        )
        let broken = Script.broken {
            $0.submit(1); $0.call(.claim(queues: [2]), .delivered([delivered(1, 1, 1)]))
        }
        #expect(broken == [.bytes])
    }

    @Test func wrongResultsAreFound() {
        func broken(_ result: UInt64, _ outcome: Outcome = .done) -> [Invariant] {
            Script.broken { script in
                script.submit(1)
                script.claim(1, token: 1)
                script.complete(1, token: 1, result: 7, outcome)
                let observation = Observation(state: .completed, result: Digest(rawValue: result))
                script.call(.result(task(1)), .observed(observation))
            }
        }
        #expect(broken(7).isEmpty)
        #expect(broken(8) == [.bytes])
        #expect(broken(7, .unknown).isEmpty)
        #expect(broken(8, .unknown) == [.bytes])
        #expect(broken(7, .refused(.leaseLost)).contains(.once))
    }

    @Test func aRecoveryThatIsNotIdempotentIsFound() {
        func broken(_ rows: [StoredTask], pending: UInt64 = 1) -> [Invariant] {
            var before = TaskCounts()
            before.pending = 1
            var after = TaskCounts()
            after.pending = pending
            return Script.broken { script in
                script.submit(1)
                script.dump([row(1, .pending)], counters: before)
                script.restart(.kill)
                script.dump(rows, counters: after, mustEqualPrevious: true)
            }
        }
        #expect(broken([row(1, .pending)]).isEmpty)
        #expect(broken([row(1, .scheduled)]).contains(.recovery))
        #expect(broken([]).contains(.recovery))
        #expect(broken([row(1, .pending)], pending: 2).contains(.recovery))
    }

    @Test func aTaskThatIsNeverDoneIsFound() {
        #expect(
            Script.broken {
                $0.submit(1); $0.record(.drained)
            } == [.liveness]
        )
        let notEnded = Script.broken {
            $0.submit(1); $0.claim(1, token: 1); $0.release(1, token: 1); $0.record(.drained)
        }
        #expect(notEnded == [.liveness])
        func broken(_ state: TaskState) -> [Invariant] {
            Script.broken { script in
                script.submit(1)
                script.claim(1, token: 1)
                script.complete(1, token: 1, .unknown)
                script.wait(100)
                script.record(.drained)
                script.dump([row(1, state, attempts: 1)])
            }
        }
        #expect(broken(.completed).isEmpty)
        #expect(broken(.pending) == [.liveness])
    }

    @Test func aTaskForLaterNeedNotBeDone() {
        let spec = SubmitCall(queue: 1, payload: Digest(rawValue: 1), notBeforeWallMilliseconds: 9_000_000)
        let broken = Script.broken { script in
            script.call(.submit(spec), .submitted(task(1), isDuplicate: false))
            script.record(.drained)
            script.dump([row(1, .scheduled)])
        }
        #expect(broken.isEmpty)
    }

    @Test func aDeliveryBeforeItsStartTimeIsFound() {
        let spec = SubmitCall(queue: 1, payload: Digest(rawValue: 1), notBeforeWallMilliseconds: 1_001_000)
        func broken(after milliseconds: UInt64, step: Int64 = 0) -> [Invariant] {
            Script.broken { script in
                script.call(.submit(spec), .submitted(task(1), isDuplicate: false))
                script.stepWallClock(by: step)
                script.record(.clock)
                script.stepWallClock(by: -step)
                script.wait(milliseconds)
                script.claim(1, token: 1)
            }
        }
        #expect(broken(after: 900) == [.startTime])
        #expect(broken(after: 1_000).isEmpty)
        #expect(broken(after: 0, step: 3_600_000).isEmpty)
        #expect(broken(after: 0, step: -3_600) == [.startTime])
    }

    @Test func aDeliveryBeforeItsPauseIsOverIsFound() {
        func broken(after milliseconds: UInt64, step: Int64 = 0) -> [Invariant] {
            Script.broken { script in
                script.submit(1)
                script.claim(1, token: 1)
                script.fail(1, token: 1, pause: 500)
                script.stepWallClock(by: step)
                script.wait(milliseconds)
                script.claim(1, token: 2, attempt: 2)
            }
        }
        #expect(broken(after: 400) == [.startTime])
        #expect(broken(after: 500).isEmpty)
        #expect(broken(after: 500, step: -3_600).isEmpty)
        // Store time that catches up, with nine milliseconds left from before: 454 of them are 500. Each call takes one
        // here (tools/simulate --seed 1000967).
        #expect(broken(after: 450) == [.startTime])
        #expect(broken(after: 451).isEmpty)
    }

    @Test func aMalformedHistoryBlamesTheRecorder() {
        #expect(Script.broken { $0.end(1, .done) } == [.history])
        #expect(Script.broken { $0.call(.claim(queues: [1]), .done) } == [.history])
        #expect(Script.broken { $0.record(.dumpEnded) } == [.history])
        #expect(Script.broken { $0.record(.counted(queue: 1, TaskCounts())) } == [.history])
    }

    @Test func aViolationNamesTheEventsThatContradictEachOther() throws {
        var script = Script()
        script.submit(1)
        script.call(.cancel(task(1)), .done)
        script.claim(1, token: 5)
        let violation = try #require(Checker.violations(in: script.events).first)
        #expect(violation.task == task(1))
        #expect(violation.events == [3, 4, 5])
        #expect(
            violation.description == "I3: Delivered with token 5, but it is cancelled "
                + "(task 00000000-0000-0001-0000-000000000001, events 3, 4, 5)"
        )
    }

    @Test func violationsBeyondTheBoundAreCounted() {
        var rules = Rules()
        rules.violationsMax = 2
        var checker = Checker(rules: rules)
        let now = Now(monotonicMilliseconds: 0, wallMilliseconds: 0)
        for number in 1...5 { checker.observe(Event(time: now, kind: .returned(OperationNumber(number), .done))) }
        #expect(checker.violations.count == 2)
        #expect(checker.violationCount == 5)
    }
}
