import QueueCore
import TQModel

/// What is on the way between clients and the broker.
///
/// A connection keeps its order in both directions, as TCP does; between connections everything may overtake. What left a
/// client before it gave up may still arrive, after the client has asked again elsewhere.
struct Network {
    /// Something that will reach the broker.
    struct Parcel {
        var session: SessionID
        var command: Command
        var kind: CommandKind
        /// The worker that the broker hears of by it.
        var worker: Name?
        /// How many parcels were sent before it.
        var number: UInt64
    }

    private(set) var parcels: [Parcel] = []
    private(set) var replies: [BrokerProcess.SentReply] = []
    private var sent: UInt64 = 0
    private var newestArrived: UInt64 = 0

    mutating func send(_ command: Command, _ kind: CommandKind, of session: SessionID, worker: Name? = nil) {
        sent += 1
        parcels.append(Parcel(session: session, command: command, kind: kind, worker: worker, number: sent))
    }

    mutating func send(_ sent: [BrokerProcess.SentReply]) { replies += sent }

    /// The oldest parcel of a connection, with whether it comes after one that was sent later on another connection.
    mutating func arrival(of session: SessionID) -> (parcel: Parcel, isOvertaken: Bool)? {
        guard let place = parcels.firstIndex(where: { $0.session == session }) else { return nil }
        let parcel = parcels.remove(at: place)
        defer { newestArrived = max(newestArrived, parcel.number) }
        return (parcel, parcel.number < newestArrived)
    }

    /// The oldest reply of the connection that the reply at that place belongs to.
    mutating func reply(at place: Int) -> BrokerProcess.SentReply {
        let session = replies[place].answer.session
        return replies.remove(at: replies.firstIndex { $0.answer.session == session } ?? place)
    }

    /// The newest parcels of a connection, but for so many of the oldest, are lost, and all replies to it.
    ///
    /// - Returns: The requests that never arrive.
    mutating func cut(_ session: SessionID, keeping count: Int) -> Set<UInt32> {
        replies.removeAll { $0.answer.session == session }
        var position = 0
        var lost: Set<UInt32> = []
        parcels.removeAll { parcel in
            guard parcel.session == session else { return false }
            position += 1
            guard position > count else { return false }
            if case .request(_, let id, _, _) = parcel.command { lost.insert(id) }
            return true
        }
        return lost
    }
}
