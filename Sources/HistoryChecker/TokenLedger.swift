import TQModel

/// The lease tokens of all deliveries that returned.
struct TokenLedger {
    private(set) var highest = LeaseToken(rawValue: 0)
    private var recent: Set<LeaseToken> = []
    private var countMax = 4096

    /// Whether this token was not delivered before.
    mutating func insert(_ token: LeaseToken) -> Bool { recent.insert(token).inserted }

    /// Whether it is time to forget.
    var isLong: Bool { recent.count > countMax }

    /// Forgets the tokens that are too low for every claim under way: those need no memory to be refused.
    mutating func forget(upTo floor: LeaseToken) {
        recent = recent.filter { $0 > floor }
        countMax = max(4096, recent.count * 2)
    }

    mutating func raise(to token: LeaseToken) { highest = max(highest, token) }
}

/// Attempts that are counted without a delivery that was seen: a lost or late claim must explain each.
struct AttemptGap {
    let task: TaskID
    /// The deliveries that are missing have tokens between these.
    let above: LeaseToken
    let below: LeaseToken
    var missing: Int
    /// Deliveries that came late, each of which may be one of the missing or did not count.
    var uncertain = 0
    /// Where the delivery after the gap returned.
    let returned: Int
}
