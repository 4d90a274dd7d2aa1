import TQModel

/// Retry policies and the numbers that stand for them; a number is given once and kept.
struct RetryPolicyTable: Sendable {
    private var numbers: [RetryPolicy: UInt32] = [:]
    private var policies: ContiguousArray<RetryPolicy> = [.standard]

    /// Policies given a number so far.
    var count: Int { policies.count - 1 }

    func number(of policy: RetryPolicy) -> UInt32? { numbers[policy] }

    /// `nil` for 0, which stands for none, and for what has no number.
    func policy(_ number: UInt32) -> RetryPolicy? {
        number > 0 && Int(number) < policies.count ? policies[Int(number)] : nil
    }

    /// Adds a policy under the number behind the last one.
    mutating func insert(_ policy: RetryPolicy, number: UInt32) {
        while policies.count <= Int(number) { policies.append(.standard) }
        policies[Int(number)] = policy
        numbers[policy] = number
    }
}
