import TQModel

/// A worker's time-limited right to run one attempt.
struct Lease: Sendable {
    var sequence: TaskSequence
    var token: LeaseToken
    /// The worker's number; 0 for a client that is no worker.
    var worker: UInt32
    /// How long the lease lasts after a claim or renewal; this is what is stored, never a deadline.
    var durationMilliseconds: UInt32
    /// When the attempt began, in store time.
    var claimedStoreMilliseconds: UInt64
    /// Whether somebody asked for the end of the attempt: the lease is not renewed any more.
    var isCancelRequested = false
    /// The number of what the task shares; 0 for nothing.
    var sharing: UInt32 = 0

    // What follows is session state: after a restart each lease has its full duration again, and no session.

    /// When the lease lapses on the monotonic clock, at the end of the attempt at the latest.
    var deadlineMilliseconds: UInt64 = 0
    /// When the attempt is taken back, on the monotonic clock, however often the lease is renewed.
    var attemptDeadlineMilliseconds: UInt64 = 0
    /// The session that holds it; 0 after a restart.
    var session: UInt64 = 0
    /// Whether it was recovered and not renewed since: its lapse is nobody's crash.
    var isRecovered = false

    fileprivate var next: UInt32 = 0
    fileprivate var previous: UInt32 = 0

    init(
        sequence: TaskSequence,
        token: LeaseToken,
        worker: UInt32,
        durationMilliseconds: UInt32,
        claimedStoreMilliseconds: UInt64
    ) {
        self.sequence = sequence
        self.token = token
        self.worker = worker
        self.durationMilliseconds = durationMilliseconds
        self.claimedStoreMilliseconds = claimedStoreMilliseconds
    }

    /// Lets the lease last its duration from that moment, but not beyond the end of the attempt.
    mutating func extend(from monotonicMilliseconds: UInt64) {
        deadlineMilliseconds = min(
            monotonicMilliseconds + UInt64(durationMilliseconds),
            attemptDeadlineMilliseconds
        )
    }
}

/// The leases that are held, with a timing wheel that finds the lapsed ones.
///
/// A slot of the wheel is 256 ms wide and holds a doubly linked list through the leases, so that adding, moving and
/// ending a lease take constant time. A lease never lapses early; how late depends on who asks how often.
struct LeaseTable: Sendable {
    private static let slotBits: UInt64 = 8
    /// 1,024 slots turn once in 262 s; a longer lease stays in its slot for several turns.
    private static let slotCount: UInt64 = 1024

    private var leases: ContiguousArray<Lease> = [
        Lease(
            sequence: TaskSequence(0),
            token: LeaseToken(rawValue: 0),
            worker: 0,
            durationMilliseconds: 0,
            claimedStoreMilliseconds: 0
        )
    ]
    private var free: [UInt32] = []
    private var heads = ContiguousArray<UInt32>(repeating: 0, count: Int(slotCount))
    /// The slot that was looked through last, as a number of all time.
    private var cursor: UInt64 = 0
    private(set) var count = 0

    subscript(place: UInt32) -> Lease { leases[Int(place)] }

    mutating func insert(_ lease: Lease) -> UInt32 {
        count += 1
        let place: UInt32
        if let reused = free.popLast() {
            place = reused
            leases[Int(place)] = lease
        } else {
            place = UInt32(leases.count)
            leases.append(lease)
        }
        link(place)
        return place
    }

    mutating func remove(_ place: UInt32) {
        unlink(place)
        leases[Int(place)].sequence = TaskSequence(0)
        free.append(place)
        count -= 1
    }

    /// Changes a lease and puts it where its deadline belongs.
    mutating func update(_ place: UInt32, _ change: (inout Lease) -> Void) {
        unlink(place)
        change(&leases[Int(place)])
        link(place)
    }

    /// Places of leases whose deadline is at or before that time, at most `limit`, in order of deadline and sequence.
    mutating func lapsed(monotonicMilliseconds now: UInt64, limit: Int) -> [UInt32] {
        let newest = now >> Self.slotBits
        // After a long sleep every slot is looked through once, not once for each turn.
        if newest >= Self.slotCount { cursor = max(cursor, newest - (Self.slotCount - 1)) }
        var found: [UInt32] = []
        scan: while cursor <= newest {
            var place = heads[Int(cursor % Self.slotCount)]
            while place != 0 {
                if leases[Int(place)].deadlineMilliseconds <= now {
                    found.append(place)
                    if found.count == limit { break scan }
                }
                place = leases[Int(place)].next
            }
            if cursor == newest { break }
            cursor += 1
        }
        // What is found has not been removed yet; the cursor stays at the first slot that may still hold some.
        if let first = found.map({ leases[Int($0)].deadlineMilliseconds >> Self.slotBits }).min() {
            cursor = min(cursor, first)
        }
        return found.sorted {
            (leases[Int($0)].deadlineMilliseconds, leases[Int($0)].sequence.rawValue)
                < (leases[Int($1)].deadlineMilliseconds, leases[Int($1)].sequence.rawValue)
        }
    }

    /// Places of all leases that the predicate holds for, in order of place.
    func places(where predicate: (Lease) -> Bool) -> [UInt32] {
        leases.indices.dropFirst()
            .filter { leases[$0].sequence.rawValue != 0 && predicate(leases[$0]) }
            .map { UInt32($0) }
    }

    private mutating func link(_ place: UInt32) {
        let slot = slot(of: place)
        let head = heads[slot]
        leases[Int(place)].next = head
        leases[Int(place)].previous = 0
        if head != 0 { leases[Int(head)].previous = place }
        heads[slot] = place
        cursor = min(cursor, leases[Int(place)].deadlineMilliseconds >> Self.slotBits)
    }

    private mutating func unlink(_ place: UInt32) {
        let lease = leases[Int(place)]
        if lease.previous == 0 {
            heads[slot(of: place)] = lease.next
        } else {
            leases[Int(lease.previous)].next = lease.next
        }
        if lease.next != 0 { leases[Int(lease.next)].previous = lease.previous }
    }

    private func slot(of place: UInt32) -> Int {
        Int(leases[Int(place)].deadlineMilliseconds >> Self.slotBits % Self.slotCount)
    }
}
