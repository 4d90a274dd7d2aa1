/// How a task shares the workers with others: keys of which only so many tasks run at once, and a group that takes turns.
///
/// It takes one word, so that a task that shares nothing pays nothing for it.
public struct Sharing: Hashable, Sendable {
    private let names: Names?

    /// - Parameters:
    ///   - limitKey: An account, a host, a customer…: the gate of that key says how many tasks run at once, and how fast
    ///     they begin. Without a gate it bounds nothing.
    ///   - serialKey: Tasks with that key run one after the other, in the order in which they were submitted.
    ///   - group: Groups of tasks with the same priority take turns, however many tasks each of them has.
    ///   - weight: How many turns the group takes where another one takes one, from 1 to ``weightMax``.
    public init(limitKey: Name? = nil, serialKey: Name? = nil, group: Name? = nil, weight: UInt16 = 1) {
        let isNone = limitKey == nil && serialKey == nil && group == nil
        names = isNone ? nil : Names(limitKey, serialKey, group, group == nil ? 1 : weight)
    }

    /// Nothing but the queue.
    public static let none = Sharing()

    /// The most turns that a group takes where another one takes one.
    public static let weightMax: UInt16 = 1_000

    /// Whether nothing is asked for.
    public var isNone: Bool { names == nil }
    /// The key whose gate says how many tasks run at once.
    public var limitKey: Name? { names?.limitKey }
    /// The key whose tasks run one after the other.
    public var serialKey: Name? { names?.serialKey }
    /// The group that takes turns with others.
    public var group: Name? { names?.group }
    /// How many turns the group takes where another one takes one.
    public var weight: UInt16 { names?.weight ?? 1 }

    /// The same with names of its own, so that it does not keep a network buffer alive.
    public var copy: Sharing {
        func own(_ name: Name?) -> Name? { name.map { Name(bytes: Bytes(Array($0.bytes))) } }
        return Sharing(limitKey: own(limitKey), serialKey: own(serialKey), group: own(group), weight: weight)
    }

    public static func == (left: Self, right: Self) -> Bool {
        if left.names === right.names { return true }
        guard let one = left.names, let other = right.names else { return false }
        return one.limitKey == other.limitKey && one.serialKey == other.serialKey && one.group == other.group
            && one.weight == other.weight
    }

    public func hash(into hasher: inout Hasher) {
        guard let names else { return }
        hasher.combine(names.limitKey)
        hasher.combine(names.serialKey)
        hasher.combine(names.group)
        hasher.combine(names.weight)
    }

    private final class Names: Sendable {
        let limitKey: Name?
        let serialKey: Name?
        let group: Name?
        let weight: UInt16

        init(_ limitKey: Name?, _ serialKey: Name?, _ group: Name?, _ weight: UInt16) {
            self.limitKey = limitKey
            self.serialKey = serialKey
            self.group = group
            self.weight = weight
        }
    }
}

extension Sharing: CustomStringConvertible {
    /// Such as `limit key a, group b x 3`.
    public var description: String {
        let parts = [
            limitKey.map { "limit key \($0)" }, serialKey.map { "serial key \($0)" },
            group.map { weight == 1 ? "group \($0)" : "group \($0) x \(weight)" },
        ]
        return isNone ? "none" : parts.compactMap { $0 }.joined(separator: ", ")
    }
}
