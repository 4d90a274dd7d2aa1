import HistoryChecker
import TQModel
import Testing

/// I5, I6 and I7: who holds a task, with which token, for the how manieth time.
struct LeaseTests {
    @Test func aDeliveryDuringAValidLeaseIsFound() {
        func broken(after milliseconds: UInt64, _ between: (inout Script) -> Void = { _ in }) -> [Invariant] {
            Script.broken { script in
                script.submit(1)
                script.claim(1, token: 1)
                between(&script)
                script.wait(milliseconds)
                script.claim(1, token: 2, attempt: 2, client: 2)
            }
        }
        #expect(broken(after: 10) == [.oneLease])
        #expect(broken(after: 100).isEmpty)
        #expect(broken(after: 10) { $0.fail(1, token: 1) }.isEmpty)
        #expect(broken(after: 10) { $0.fail(1, token: 1, .unknown) }.isEmpty)
        #expect(broken(after: 10) { $0.fail(1, token: 1, .refused(.readOnly)) } == [.oneLease])
        #expect(broken(after: 10) { $0.record(.sessionEnded, client: 1) }.isEmpty)
        #expect(broken(after: 10) { $0.record(.sessionEnded, client: 2) } == [.oneLease])
    }

    @Test func aLateDeliveryThatMayNotCountLeavesTheGapToOneThatDoes() {
        func broken(_ late: ClosedRange<UInt64>) -> [Invariant] {
            Script.broken { script in
                script.submit(1)
                let claims = late.map { script.invoke(.claim(queues: [1]), client: UInt32($0) + 1) }
                script.record(.sessionEnded, client: 2)
                script.wait(1_000)
                script.claim(1, token: 9, attempt: 2)
                for (claim, token) in zip(claims, late) {
                    script.end(claim, .delivered([delivered(1, token, 1)]), client: UInt32(token) + 1)
                }
            }
        }
        #expect(broken(1...1).isEmpty)
        #expect(broken(1...2).isEmpty)
        #expect(broken(2...2).isEmpty)
        #expect(broken(1...3) == [.attempts])
    }

    @Test func aRenewedLeaseIsValidForLonger() {
        func broken(_ outcome: Outcome) -> [Invariant] {
            Script.broken { script in
                script.submit(1)
                script.claim(1, token: 1)
                script.wait(50)
                script.call(.renew(lease(1, 1), leaseMilliseconds: 0), outcome)
                script.wait(60)
                script.claim(1, token: 2, attempt: 2, client: 2)
            }
        }
        #expect(broken(.done) == [.oneLease])
        #expect(broken(.unknown).isEmpty)
    }

    @Test func aLeaseStartsAgainAfterARestart() {
        func broken(_ stop: Event.Stop, survives: Bool = true) -> [Invariant] {
            var rules = Rules()
            rules.leasesSurviveRestart = survives
            return Script.broken(rules: rules) { script in
                script.submit(1)
                script.claim(1, token: 1)
                script.wait(60)
                script.restart(stop)
                script.wait(60)
                script.claim(1, token: 2, attempt: 2)
            }
        }
        #expect(broken(.kill) == [.oneLease])
        #expect(broken(.kill, survives: false).isEmpty)
        #expect(broken(.powerCut).isEmpty)
    }

    @Test func aRenewalProvesThatAPowerCutUndoesNothing() {
        let broken = Script.broken { script in
            script.submit(1)
            script.claim(1, token: 1)
            script.call(.renew(lease(1, 1), leaseMilliseconds: 0), .done)
            script.restart(.powerCut)
            script.claim(1, token: 2)
        }
        // After a restart an attempt may not count, but its lease holds.
        #expect(broken == [.oneLease])
    }

    @Test func aValidLeaseThatIsCalledLostIsFound() {
        func broken(after milliseconds: UInt64) -> [Invariant] {
            Script.broken { script in
                script.submit(1)
                script.claim(1, token: 1)
                script.wait(milliseconds)
                script.complete(1, token: 1, .refused(.leaseLost))
            }
        }
        #expect(broken(after: 50) == [.oneLease])
        #expect(broken(after: 100).isEmpty)
    }

    @Test func aLeaseWithoutAHolderIsFound() {
        #expect(
            Script.broken {
                $0.submit(1); $0.status(1, .inProgress)
            } == [.oneLease]
        )
        let lost = Script.broken { script in
            script.submit(1)
            script.call(.claim(queues: [1]), .unknown)
            script.dump([row(1, .inProgress, attempts: 1, token: 1)])
        }
        #expect(lost.isEmpty)
        let other = Script.broken { script in
            script.submit(1)
            script.claim(1, token: 1)
            script.dump([row(1, .inProgress, attempts: 1, token: 2)])
        }
        #expect(other == [.oneLease])
    }

    @Test func aLeasedTaskThatIsPendingIsFound() {
        func broken(after milliseconds: UInt64) -> [Invariant] {
            Script.broken { script in
                script.submit(1)
                script.claim(1, token: 1)
                script.wait(milliseconds)
                script.dump([row(1, .pending, attempts: 1)])
            }
        }
        #expect(broken(after: 10) == [.oneLease])
        #expect(broken(after: 100).isEmpty)
    }

    @Test func aTaskThatIsTwiceInADumpIsFound() {
        #expect(
            Script.broken {
                $0.submit(1); $0.dump([row(1, .pending), row(1, .pending)])
            } == [.oneLease]
        )
    }

    @Test func aTokenThatComesAgainIsFound() {
        func broken(_ first: UInt64, _ second: UInt64) -> [Invariant] {
            Script.broken { script in
                script.submit(1)
                script.submit(2)
                script.claim(1, token: first)
                script.restart(.kill)
                script.claim(2, token: second)
            }
        }
        #expect(broken(1, 2).isEmpty)
        #expect(broken(1, 1) == [.fencing])
        #expect(broken(2, 1) == [.fencing])
    }

    @Test func concurrentClaimsMayReturnInAnyOrder() {
        func broken(_ token: UInt64) -> [Invariant] {
            Script.broken { script in
                script.submit(1)
                script.submit(2)
                let claim = script.invoke(.claim(queues: [1]), client: 2)
                script.claim(1, token: 2)
                script.end(claim, .delivered([delivered(2, token, 1)]), client: 2)
            }
        }
        #expect(broken(1).isEmpty)
        #expect(broken(2) == [.fencing])
    }

    @Test func aStaleTokenThatIsAcceptedIsFound() {
        func broken(_ call: Call, _ outcome: Outcome = .done) -> [Invariant] {
            Script.broken { script in
                script.submit(1)
                script.claim(1, token: 1)
                script.wait(100)
                script.claim(1, token: 2, attempt: 2, client: 2)
                script.call(call, outcome)
            }
        }
        #expect(broken(.complete(lease(1, 1), result: Digest(rawValue: 7))) == [.fencing])
        #expect(broken(.fail(lease(1, 1), isPermanent: false, retryAfterMilliseconds: nil)) == [.fencing])
        #expect(broken(.release(lease(1, 1), delayMilliseconds: 0)) == [.fencing])
        #expect(broken(.renew(lease(1, 1), leaseMilliseconds: 0)) == [.fencing])
        #expect(broken(.complete(lease(1, 3), result: Digest(rawValue: 7))) == [.fencing])
        #expect(broken(.complete(lease(1, 1), result: Digest(rawValue: 7)), .refused(.leaseLost)).isEmpty)
        #expect(broken(.complete(lease(1, 2), result: Digest(rawValue: 7))).isEmpty)
    }

    @Test func aLeaseThatEndsTwiceIsFound() {
        #expect(
            Script.broken {
                $0.submit(1); $0.claim(1, token: 1); $0.fail(1, token: 1); $0.release(1, token: 1)
            } == [.fencing]
        )
        #expect(
            Script.broken {
                $0.submit(1); $0.claim(1, token: 1); $0.release(1, token: 1); $0.complete(1, token: 1)
            }
                == [.fencing]
        )
        let renewed = Script.broken { script in
            script.submit(1)
            script.claim(1, token: 1)
            script.complete(1, token: 1)
            script.call(.renew(lease(1, 1), leaseMilliseconds: 0), .done)
        }
        #expect(renewed == [.fencing])
    }

    @Test func attemptsRiseByOne() {
        func broken(_ second: UInt16, _ end: (inout Script) -> Void) -> [Invariant] {
            Script.broken { script in
                script.submit(1)
                script.claim(1, token: 1)
                end(&script)
                script.claim(1, token: 2, attempt: second)
            }
        }
        let fail: (inout Script) -> Void = { $0.fail(1, token: 1) }
        let release: (inout Script) -> Void = { $0.release(1, token: 1) }
        #expect(broken(1, fail) == [.attempts])
        #expect(broken(2, fail).isEmpty)
        #expect(broken(3, fail) == [.attempts])
        #expect(broken(1, release).isEmpty)
        #expect(broken(2, release) == [.attempts])
        #expect(broken(1) { $0.release(1, token: 1, .unknown) }.isEmpty)
        #expect(broken(2) { $0.release(1, token: 1, .unknown) }.isEmpty)
        #expect(broken(1) { $0.restart(.powerCut) }.isEmpty)
        #expect(
            broken(2) {
                $0.wait(100); $0.restart(.powerCut)
            }.isEmpty
        )
        // A lapse after a restart is nobody's crash: its attempt does not count.
        #expect(
            broken(1) {
                $0.restart(.kill); $0.wait(100)
            }.isEmpty
        )
        #expect(
            broken(0) {
                $0.restart(.kill); $0.wait(100)
            } == [.attempts]
        )
        #expect(
            broken(3) {
                $0.wait(100); $0.call(.claim(queues: [1]), .unknown)
            }.isEmpty
        )
        #expect(
            broken(4) {
                $0.wait(100); $0.call(.claim(queues: [1]), .unknown)
            } == [.attempts]
        )
    }

    @Test func attemptsEndAtTheLimit() {
        func broken(extend: Bool) -> [Invariant] {
            var rules = Rules()
            rules.crashesExtendAttempts = extend
            return Script.broken(rules: rules) { script in
                script.submit(1, retriesMax: 1, crashesMax: 1)
                for attempt in 1...3 {
                    script.claim(1, token: UInt64(attempt), attempt: UInt16(attempt))
                    script.wait(100)
                }
            }
        }
        #expect(broken(extend: false) == [.attempts])
        #expect(broken(extend: true).isEmpty)
    }

    @Test func aDeadLetterNeedsAReason() {
        func broken(_ attempts: UInt16, isPermanent: Bool = false, crashesMax: UInt16 = 0) -> [Invariant] {
            Script.broken { script in
                script.submit(1, retriesMax: 1, crashesMax: crashesMax)
                for attempt in 1...attempts {
                    script.claim(1, token: UInt64(attempt), attempt: attempt)
                    script.fail(1, token: UInt64(attempt), isPermanent: isPermanent)
                }
                script.status(1, .deadLetter, attempts: attempts)
            }
        }
        #expect(broken(1) == [.attempts])
        #expect(broken(2).isEmpty)
        #expect(broken(1, isPermanent: true).isEmpty)
        #expect(broken(1, crashesMax: 1).isEmpty)
        #expect(broken(1, crashesMax: 2) == [.attempts])
    }

    @Test func storedAttemptsAreTheDeliveries() {
        func broken(_ attempts: UInt16) -> [Invariant] {
            Script.broken {
                $0.submit(1); $0.claim(1, token: 1); $0.dump([row(1, .inProgress, attempts: attempts, token: 1)])
            }
        }
        #expect(broken(0) == [.attempts])
        #expect(broken(1).isEmpty)
        #expect(broken(2) == [.attempts])
    }
}
