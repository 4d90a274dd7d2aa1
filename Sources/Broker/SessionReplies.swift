import QueueCore
import TQModel

/// Replies gathered by session, so that each session is handed its part of a commit group at once.
struct SessionReplies {
    private var replies: [SessionID: [(request: UInt32, reply: Reply)]] = [:]
    private var order: [SessionID] = []

    mutating func append(_ reply: Reply, to answer: Answer) {
        // Request 0 is the broker's own: nobody waits for its answer.
        guard answer.request != 0 || reply.isUnasked else { return }
        if replies[answer.session]?.append((answer.request, reply)) == nil {
            replies[answer.session] = [(answer.request, reply)]
            order.append(answer.session)
        }
    }

    func deliver(to sessions: SessionTable) {
        for session in order { sessions[session]?.deliver(replies[session] ?? []) }
    }
}
