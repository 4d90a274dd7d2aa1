import TQModel

@testable import QueueCore

/// Changes a gate, and says how it is then.
@discardableResult
func change(_ change: GateChange, _ core: inout CoreHarness) throws -> GateStatus {
    guard case .gates(let gates)? = core.reply(.changeGate(change)), let gate = gates.first else { throw Unanswered() }
    return gate
}

func explain(_ id: TaskID, _ core: inout CoreHarness) throws -> [WaitReason] {
    guard case .explanation(let explanation)? = core.reply(.explain(id)) else { throw Unanswered() }
    return explanation.reasons
}

/// The tasks that a claim got which waits; `nil` while it does.
func claimed(by request: UInt32, _ core: inout CoreHarness) -> [TaskID]? {
    guard case .claimed(let deliveries)? = core.takeAnswer(request)?.reply else { return nil }
    return deliveries.map(\.lease.task)
}
