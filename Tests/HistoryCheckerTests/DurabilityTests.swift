import HistoryChecker
import TQModel
import Testing

/// I1, I2, I3 and I4: what was acknowledged stays, once.
struct DurabilityTests {
    @Test func anAcknowledgedSubmitThatIsGoneIsFound() {
        #expect(
            Script.broken {
                $0.submit(1); $0.restart(.powerCut); $0.dump([])
            } == [.submitStays]
        )
        #expect(
            Script.broken {
                $0.submit(1); $0.call(.status(task(1)), .refused(.taskNotFound))
            } == [.submitStays]
        )
        #expect(
            Script.broken {
                $0.submit(1); $0.restart(.powerCut); $0.dump([row(1, .pending)])
            }.isEmpty
        )
    }

    @Test func aSubmitWithUnknownOutcomeMayBeThereOrNot() {
        let spec = SubmitCall(queue: 1, payload: Digest(rawValue: 1))
        #expect(
            Script.broken {
                $0.call(.submit(spec), .unknown); $0.dump([])
            }.isEmpty
        )
        #expect(
            Script.broken {
                $0.call(.submit(spec), .unknown); $0.dump([row(1, .pending)])
            }.isEmpty
        )
        #expect(
            Script.broken {
                _ = $0.invoke(.submit(spec)); $0.claim(1, token: 1)
            }.isEmpty
        )
    }

    @Test func aDeliveredTaskWhoseSubmitIsUnknownMustStay() {
        let spec = SubmitCall(queue: 1, payload: Digest(rawValue: 1))
        let broken = Script.broken { script in
            script.call(.submit(spec), .unknown)
            script.claim(1, token: 1)
            script.restart(.powerCut)
            script.dump([])
        }
        #expect(broken == [.submitStays])
    }

    @Test func anEndedTaskMayExpireAfterItsRetentionOnly() {
        var rules = Rules()
        rules.retentionMilliseconds = 1_000
        func broken(after milliseconds: UInt64) -> [Invariant] {
            Script.broken(rules: rules) { script in
                script.submit(1)
                script.claim(1, token: 1)
                script.complete(1, token: 1)
                script.wait(milliseconds)
                script.dump([])
            }
        }
        #expect(broken(after: 1_000).isEmpty)
        #expect(broken(after: 900) == [.endStays])
        #expect(
            Script.broken(rules: rules) {
                $0.submit(1); $0.wait(9_000); $0.dump([])
            } == [.submitStays]
        )
    }

    @Test func aCompletionThatIsUndoneIsFound() {
        func broken(_ state: TaskState) -> [Invariant] {
            Script.broken { script in
                script.submit(1)
                script.claim(1, token: 1)
                script.complete(1, token: 1)
                script.restart(.powerCut)
                script.status(1, state)
            }
        }
        #expect(broken(.completed).isEmpty)
        #expect(broken(.pending) == [.endStays])
        #expect(broken(.deadLetter) == [.endStays])
    }

    @Test func aCancelThatIsUndoneIsFound() {
        func broken(_ outcome: Outcome, _ state: TaskState) -> [Invariant] {
            Script.broken {
                $0.submit(1); $0.call(.cancel(task(1)), outcome); $0.dump([row(1, state)])
            }
        }
        #expect(broken(.done, .pending) == [.endStays])
        #expect(broken(.done, .cancelled).isEmpty)
        #expect(broken(.unknown, .pending).isEmpty)
        #expect(broken(.unknown, .cancelled).isEmpty)
        #expect(broken(.refused(.readOnly), .cancelled) == [.endStays])
    }

    @Test func aCallAboutATaskOfWhichNoReplyHasToldYetCounts() {
        func broken(_ call: Call?, _ row: StoredTask) -> [Invariant] {
            Script.broken { script in
                _ = script.invoke(.submit(SubmitCall(queue: 1, payload: Digest(rawValue: 1))))
                _ = script.invoke(.claim(queues: [1]), client: 2)
                if let call { _ = script.invoke(call, client: 2) }
                script.dump([row])
            }
        }
        #expect(broken(.cancel(task(1)), row(1, .cancelled)).isEmpty)
        #expect(broken(nil, row(1, .cancelled)) == [.endStays])
        #expect(broken(.complete(lease(1, 1), result: Digest(rawValue: 7)), row(1, .completed, attempts: 1)).isEmpty)
        #expect(broken(nil, row(1, .completed, attempts: 1)) == [.once])
    }

    @Test func aCancelRequestThatIsForgottenIsFound() {
        func broken(_ state: TaskState) -> [Invariant] {
            Script.broken { script in
                script.submit(1)
                script.claim(1, token: 1)
                script.call(.cancel(task(1)), .cancelRequested)
                script.wait(1_000)
                script.dump([row(1, state, attempts: 1, token: state == .inProgress ? 1 : nil)])
            }
        }
        #expect(broken(.inProgress).isEmpty)
        #expect(broken(.cancelled).isEmpty)
        #expect(broken(.pending) == [.noDeliveryAfterEnd])
        #expect(broken(.failed) == [.noDeliveryAfterEnd])
        #expect(broken(.completed) == [.once])
    }

    @Test func aLateTaskIsOverAsItWasAskedForAndNotDelivered() {
        func broken(
            _ lateness: SubmitCall.Lateness,
            by wall: UInt64 = 0,
            after span: UInt64 = 0,
            _ state: TaskState
        ) -> [Invariant] {
            Script.broken { script in
                let spec = SubmitCall(
                    queue: 1,
                    payload: Digest(rawValue: 1),
                    lateness: lateness,
                    startByWallMilliseconds: wall,
                    startBySpanMilliseconds: span
                )
                script.call(.submit(spec), .submitted(task(1), isDuplicate: false))
                script.wait(5_000)
                if state == .inProgress {
                    script.claim(1, token: 1)
                } else {
                    script.dump([row(1, state)])
                }
            }
        }
        // The script begins at 1,000,000.
        #expect(broken(.cancelled, by: 1_004_000, .cancelled).isEmpty)
        #expect(broken(.cancelled, by: 1_009_000, .cancelled) == [.endStays])
        #expect(broken(.cancelled, by: 1_004_000, .deadLetter) == [.attempts])
        #expect(broken(.buried, by: 1_004_000, .deadLetter).isEmpty)
        #expect(broken(.buried, by: 1_009_000, .deadLetter) == [.attempts])
        #expect(broken(.buried, by: 1_004_000, .cancelled) == [.endStays])
        #expect(broken(.cancelled, by: 1_004_000, .inProgress) == [.startTime])
        #expect(broken(.cancelled, by: 1_009_000, .inProgress).isEmpty)
        #expect(broken(.cancelled, after: 4_000, .cancelled).isEmpty)
        #expect(broken(.cancelled, after: 6_000, .cancelled) == [.endStays])
        #expect(broken(.cancelled, after: 6_000, .inProgress).isEmpty)
    }

    @Test func aRenewalOrAnAttemptAfterACancelRequestIsFound() {
        func broken(_ outcome: Outcome, isCancelled: Bool = true) -> [Invariant] {
            Script.broken { script in
                script.submit(1)
                script.claim(1, token: 1)
                if isCancelled { script.call(.cancel(task(1)), .cancelRequested) }
                script.call(.renew(lease(1, 1), leaseMilliseconds: 0), outcome)
            }
        }
        #expect(broken(.done) == [.noDeliveryAfterEnd])
        #expect(broken(.refused(.cancelRequested)).isEmpty)
        #expect(broken(.refused(.cancelRequested), isCancelled: false) == [.oneLease])
        let again = Script.broken { script in
            script.submit(1)
            script.claim(1, token: 1)
            script.call(.cancel(task(1)), .cancelRequested)
            script.wait(1_000)
            script.claim(1, token: 2, attempt: 2)
        }
        #expect(again == [.noDeliveryAfterEnd])
    }

    @Test func aFailureThatIsUndoneIsFound() {
        func broken(_ state: TaskState, isPermanent: Bool) -> [Invariant] {
            Script.broken { script in
                script.submit(1)
                script.claim(1, token: 1)
                script.fail(1, token: 1, isPermanent: isPermanent)
                script.wait(1_000)
                script.dump([row(1, state, attempts: 1, token: state == .inProgress ? 1 : nil)])
            }
        }
        #expect(broken(.inProgress, isPermanent: false) == [.endStays])
        #expect(broken(.failed, isPermanent: false).isEmpty)
        #expect(broken(.pending, isPermanent: true) == [.endStays])
        #expect(broken(.deadLetter, isPermanent: true).isEmpty)
    }

    @Test func aDeliveryAfterTheCompletionIsFound() {
        func broken(_ outcome: Outcome) -> [Invariant] {
            Script.broken { script in
                script.submit(1)
                script.claim(1, token: 1)
                script.complete(1, token: 1, outcome)
                script.wait(200)
                script.claim(1, token: 2, attempt: 2)
            }
        }
        #expect(broken(.done) == [.noDeliveryAfterEnd])
        #expect(broken(.unknown).isEmpty)
    }

    @Test func aSlowReplyOfAnOlderDeliveryIsNoDeliveryAfterTheCompletion() {
        func broken(slow: UInt64, fast: UInt64) -> [Invariant] {
            Script.broken { script in
                script.submit(1)
                let claim = script.invoke(.claim(queues: [1]), client: 2)
                script.wait(200)
                script.claim(1, token: fast, attempt: fast < slow ? 1 : 2)
                script.complete(1, token: fast)
                script.end(claim, .delivered([delivered(1, slow, fast < slow ? 2 : 1)]), client: 2)
            }
        }
        #expect(broken(slow: 1, fast: 2).isEmpty)
        #expect(broken(slow: 2, fast: 1).contains(.noDeliveryAfterEnd))
    }

    @Test func aDeliveryAfterTheCancelIsFound() {
        #expect(
            Script.broken {
                $0.submit(1); $0.call(.cancel(task(1)), .done); $0.claim(1, token: 1)
            } == [.noDeliveryAfterEnd]
        )
        let concurrent = Script.broken { script in
            script.submit(1)
            let claim = script.invoke(.claim(queues: [1]), client: 2)
            script.call(.cancel(task(1)), .refused(.notCancellable))
            script.end(claim, .delivered([delivered(1, 1, 1)]), client: 2)
        }
        #expect(concurrent.isEmpty)
    }

    @Test func aDeadLetterIsDeliveredOnlyAfterARedrive() {
        func broken(redrive: Outcome?) -> [Invariant] {
            Script.broken { script in
                script.submit(1, retriesMax: 0)
                script.claim(1, token: 1)
                script.fail(1, token: 1)
                if let redrive { script.call(.redrive(task(1), payload: nil), redrive) }
                script.claim(1, token: 2)
            }
        }
        #expect(broken(redrive: .done).isEmpty)
        #expect(broken(redrive: .unknown).isEmpty)
        #expect(broken(redrive: nil).contains(.noDeliveryAfterEnd))
        #expect(broken(redrive: .refused(.taskNotFound)).contains(.noDeliveryAfterEnd))
    }

    @Test func aPurgedDeadLetterIsOverAndNoOtherTaskIs() {
        func broken(_ purge: Outcome, then next: (inout Script) -> Void) -> [Invariant] {
            Script.broken { script in
                script.submit(1, retriesMax: 0)
                script.claim(1, token: 1)
                script.fail(1, token: 1)
                script.status(1, .deadLetter)
                script.call(.purge(task(1)), purge)
                next(&script)
            }
        }
        #expect(broken(.done) { $0.status(1, .cancelled) }.isEmpty)
        #expect(broken(.unknown) { $0.status(1, .cancelled) }.isEmpty)
        #expect(broken(.unknown) { $0.status(1, .deadLetter) }.isEmpty)
        #expect(broken(.done) { $0.status(1, .deadLetter) }.contains(.endStays))
        #expect(broken(.refused(.taskNotFound)) { _ in }.contains(.endStays))
        #expect(broken(.done) { $0.claim(1, token: 2) }.contains(.noDeliveryAfterEnd))
        #expect(broken(.done) { $0.call(.redrive(task(1), payload: nil), .done) }.contains(.endStays))
    }

    @Test func aTaskIsWhereItWasSubmittedOrWhereSomebodyMovedIt() {
        func broken(_ target: QueueNumber?, dumpedIn queue: QueueNumber) -> [Invariant] {
            Script.broken { script in
                script.submit(1)
                if let target { script.call(.arrange(task(1), queue: target, Priority.normal.rank), .unknown) }
                script.dump([row(1, .pending, queue: queue)])
                script.claim(1, token: 1)
            }
        }
        #expect(broken(nil, dumpedIn: 2).contains(.bytes))
        #expect(!broken(2, dumpedIn: 2).contains(.bytes) && !broken(2, dumpedIn: 1).contains(.bytes))
        #expect(broken(2, dumpedIn: 3).contains(.bytes))
    }

    @Test func aDeadLetterIsOverWhenItsTimeIsOrItsQueueHasTooManyAndNotBefore() {
        func broken(after milliseconds: UInt64, _ rules: Rules, isDead: Bool = true) -> [Invariant] {
            Script.broken(rules: rules) { script in
                script.submit(1, retriesMax: isDead ? 0 : 5)
                script.claim(1, token: 1)
                script.fail(1, token: 1)
                script.status(1, isDead ? .deadLetter : .failed)
                script.wait(milliseconds)
                script.call(.redrive(task(1), payload: nil), .refused(.taskNotFound))
                script.status(1, .cancelled)
            }
        }
        var rules = Rules()
        #expect(broken(after: 1_000, rules).contains(.endStays))
        rules.deadLetterRetentionMilliseconds = 900
        #expect(broken(after: 1_000, rules).isEmpty)
        #expect(broken(after: 100, rules).contains(.endStays))
        #expect(broken(after: 1_000, rules, isDead: false).contains(.endStays))
        rules.deadLetterRetentionMilliseconds = nil
        rules.cappedQueues = [1]
        #expect(broken(after: 1, rules).isEmpty)
        #expect(broken(after: 1, rules, isDead: false).contains(.endStays))
        rules.cappedQueues = [2]
        #expect(broken(after: 1_000, rules).contains(.endStays))
    }

    @Test func aDeadLetterMayBePurgedWhileItsRedriveIsUnderWay() {
        func broken(isPurged: Bool) -> [Invariant] {
            Script.broken { script in
                script.submit(1, retriesMax: 0)
                script.claim(1, token: 1)
                script.fail(1, token: 1)
                script.status(1, .deadLetter)
                let purge = isPurged ? script.invoke(.purge(task(1)), client: 2) : nil
                script.call(.redrive(task(1), payload: nil), .refused(.taskNotFound))
                if let purge { script.end(purge, .done, client: 2) }
            }
        }
        #expect(broken(isPurged: true).isEmpty)
        #expect(broken(isPurged: false).contains(.endStays))
    }

    @Test func twoAcceptedCompletionsAreFound() {
        func broken(result: UInt64, mayRepeat: Bool = false, _ outcome: Outcome = .done) -> [Invariant] {
            var rules = Rules()
            rules.completionMayRepeat = mayRepeat
            return Script.broken(rules: rules) { script in
                script.submit(1)
                script.claim(1, token: 1)
                script.complete(1, token: 1, result: 7)
                script.complete(1, token: 1, result: result, outcome)
            }
        }
        #expect(broken(result: 7) == [.once])
        #expect(broken(result: 8, mayRepeat: true) == [.once])
        #expect(broken(result: 7, mayRepeat: true).isEmpty)
        #expect(broken(result: 7, .refused(.leaseLost)).isEmpty)
    }

    @Test func aCompletionOutOfNothingIsFound() {
        #expect(
            Script.broken {
                $0.submit(1); $0.dump([row(1, .completed)])
            } == [.once]
        )
    }

    @Test func oneKeyMakesOneTask() {
        let spec = SubmitCall(queue: 1, key: 5, payload: Digest(rawValue: 1))
        var other = spec
        other.queue = 2
        func broken(first: Outcome, _ next: SubmitCall, _ second: Outcome) -> [Invariant] {
            Script.broken {
                $0.call(.submit(spec), first); $0.call(.submit(next), second)
            }
        }
        let new = Outcome.submitted(task(1), isDuplicate: false)
        let duplicate = Outcome.submitted(task(1), isDuplicate: true)
        #expect(broken(first: new, spec, duplicate).isEmpty)
        #expect(broken(first: .unknown, spec, duplicate).isEmpty)
        #expect(broken(first: .unknown, spec, new).isEmpty)
        #expect(broken(first: new, other, .submitted(task(2), isDuplicate: false)).isEmpty)
        #expect(broken(first: new, spec, new) == [.once])
        #expect(broken(first: new, spec, .submitted(task(2), isDuplicate: false)) == [.once])
        #expect(broken(first: new, spec, .submitted(task(2), isDuplicate: true)) == [.once])
        #expect(broken(first: new, other, duplicate) == [.once])
        #expect(broken(first: .refused(.queueFull), spec, duplicate) == [.once])
    }

    @Test func aForgottenKeyMayMakeAnotherTask() {
        let spec = SubmitCall(queue: 1, key: 5, payload: Digest(rawValue: 1))
        var rules = Rules()
        rules.idempotencyWindowMilliseconds = 500
        func broken(after milliseconds: UInt64) -> [Invariant] {
            Script.broken(rules: rules) { script in
                script.call(.submit(spec), .submitted(task(1), isDuplicate: false))
                script.wait(milliseconds)
                script.call(.submit(spec), .submitted(task(2), isDuplicate: false))
            }
        }
        #expect(broken(after: 500).isEmpty)
        #expect(broken(after: 400) == [.once])
    }

    @Test func aReplyMayTakeLongerThanItsKeyIsRemembered() {
        let spec = SubmitCall(queue: 1, key: 5, payload: Digest(rawValue: 1))
        var rules = Rules()
        rules.idempotencyWindowMilliseconds = 500
        func broken(after milliseconds: UInt64) -> [Invariant] {
            Script.broken(rules: rules) { script in
                script.call(.submit(spec), .submitted(task(1), isDuplicate: false))
                script.wait(600)
                let late = script.invoke(.submit(spec), client: 2)
                let later = script.invoke(.submit(spec), client: 3)
                script.wait(milliseconds)
                script.call(.submit(spec), .submitted(task(3), isDuplicate: false))
                script.end(late, .submitted(task(2), isDuplicate: false), client: 2)
                script.end(later, .submitted(task(2), isDuplicate: true), client: 3)
            }
        }
        #expect(broken(after: 600).isEmpty)
        #expect(broken(after: 300) == [.once])
    }

    @Test func aTaskThatNobodySubmittedIsFound() {
        let spec = SubmitCall(queue: 1, payload: Digest(rawValue: 1))
        #expect(Script.broken { $0.claim(1, token: 1) } == [.once])
        #expect(
            Script.broken {
                $0.call(.submit(spec), .refused(.queueFull)); $0.claim(1, token: 1)
            } == [.once]
        )
        #expect(
            Script.broken {
                $0.submit(1); $0.dump([row(1, .pending), row(2, .pending, payload: 1)])
            } == [.once]
        )
        let doubled = Script.broken {
            $0.call(.submit(spec), .unknown); $0.dump([row(1, .pending), row(2, .pending, payload: 1)])
        }
        #expect(doubled == [.once])
    }

    @Test func twoSubmitsWithOneIdAreFound() {
        let spec = SubmitCall(queue: 1, payload: Digest(rawValue: 1))
        #expect(
            Script.broken {
                $0.submit(1); $0.call(.submit(spec), .submitted(task(1), isDuplicate: false))
            } == [.once]
        )
        #expect(Script.broken { $0.call(.submit(spec), .submitted(task(1), isDuplicate: true)) } == [.once])
    }
}
