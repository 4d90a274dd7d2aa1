import Logging
import QueueCore
import Storage
import Synchronization
import TQModel

extension Engine {
    /// Hands answers to their sessions; those that lack bytes which are not in memory go through the reading thread.
    func release(_ answers: [Answer]) {
        guard !answers.isEmpty else { return }
        var replies = SessionReplies()
        var lacking: [Answer] = []
        let completion = AnswerCompletion(reader.withLock { $0 })
        for answer in answers {
            if case .nothing = answer.missing {
                replies.append(answer.reply, to: answer)
            } else if !postpones(answer) {
                if let reply = completion.cachedReply(to: answer) {
                    replies.append(reply, to: answer)
                } else {
                    lacking.append(answer)
                }
            }
        }
        replies.deliver(to: sessions)
        if !lacking.isEmpty { reads.submit { [self, lacking] in complete(lacking) } }
    }

    private func complete(_ answers: [Answer]) {
        let completion = AnswerCompletion(reader.withLock { $0 })
        for answer in answers where !postpones(answer) {
            if case .compaction = answer.missing {
                compact(for: answer)
                continue
            }
            guard case .reply(let reply, let damaged) = outcome(of: answer, completion) else { continue }
            for lease in damaged { performWithReads(.damagedPayload(lease)) }
            giveCreditBack(for: answer, reply)
            if case .delivery(_, let deliveries) = reply, deliveries.isEmpty { continue }
            guard !answer.readsNewest else {
                deliverSynced(reply, to: answer)
                continue
            }
            // One by one, so that a session is seen to be congested before the next bytes are read for it.
            sessions[answer.session]?.deliver([(answer.request, reply)])
        }
    }

    /// Lets a reply leave once everything is synced that may have been read for it.
    private func deliverSynced(_ reply: Reply, to answer: Answer) {
        let ready: Reply? = monitor.withLock { state in
            // What a failed write left behind may have been read.
            guard !state.cannotChange else { return .error(readOnlyError(state)) }
            var whole = answer
            (whole.reply, whole.missing) = (reply, .nothing)
            whole.syncedThrough = state.core.newestClosedGroup
            guard whole.syncedThrough > state.synced else { return reply }
            state.hold(whole)
            wakeCommitter(&state)
            return nil
        }
        if let ready { sessions[answer.session]?.deliver([(answer.request, ready)]) }
    }

    private func outcome(of answer: Answer, _ completion: AnswerCompletion) -> AnswerCompletion.Outcome {
        let present = AnswerCompletion.Present(
            place: { [monitor] lease in monitor.withLock { $0.core.payloadPlace(of: lease) } },
            isElsewhere: { [monitor] id, ended in monitor.withLock { $0.core.isElsewhere(id, than: ended) } }
        )
        let outcome = completion.outcome(of: answer, present)
        if case .askAgain(let command) = outcome { perform([command]) }
        return outcome
    }

    /// What was taken for a stream and cannot be delivered took credit that the client would never give back.
    private func giveCreditBack(for answer: Answer, _ reply: Reply) {
        guard case .payloads(let places) = answer.missing, case .delivery(let stream, let deliveries) = reply,
            places.count > deliveries.count
        else { return }
        let count = UInt32(places.count - deliveries.count)
        logger.warning(
            "tasks were not delivered: damaged, ended meanwhile, or not readable",
            metadata: ["tasks": "\(count)"]
        )
        // No client uses request 0, so nobody is told when the stream is closed by now.
        performWithReads(.request(answer.session, id: 0, .anonymous, .addCredit(stream: stream, count: count)))
    }

    // MARK: Slow readers

    /// Keeps an answer without its payloads while its session is congested, and drops it when the session has ended.
    private func postpones(_ answer: Answer) -> Bool {
        guard let sink = sessions[answer.session] else { return true }
        guard sink.isCongested else { return false }
        postponed.withLock { $0[answer.session, default: []].append(answer) }
        // It may have caught up, or ended, since it was asked.
        if !sink.isCongested || sessions[answer.session] == nil { resume(answer.session) }
        return true
    }

    /// Goes on with a session that has read what it was sent.
    func resume(_ session: SessionID) {
        guard let answers = postponed.withLock({ $0.removeValue(forKey: session) }) else { return }
        reads.submit { [self] in complete(answers) }
    }
}
