public import TQModel

/// A name and the number that stands for it in records.
public struct NameRow: Hashable, Sendable {
    /// What the name names.
    public var kind: NameKind
    /// The number, from 1 in each kind, given once and kept.
    public var number: UInt32
    /// The namespace of the name; 0 is the default one.
    public var namespace: UInt32
    /// The name.
    public var name: Name

    /// Creates a row.
    public init(kind: NameKind, number: UInt32, namespace: UInt32, name: Name) {
        self.kind = kind
        self.number = number
        self.namespace = namespace
        self.name = name
    }
}

/// What a number stands for.
public enum NameKind: UInt8, Sendable, CaseIterable {
    /// A queue.
    case queue = 1
    /// A task type.
    case type = 2
    /// A retry policy; its name is its text.
    case retryPolicy = 3
    /// What a payload or a result is.
    case contentType = 4

    /// How many of a kind there may be.
    public var countMax: Int {
        switch self {
        case .queue, .type: Limits.namesMax
        case .retryPolicy: Limits.retryPoliciesMax
        case .contentType: Limits.contentTypesMax
        }
    }
}
