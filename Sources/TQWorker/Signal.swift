import Synchronization

/// Something that happens once; whoever waits for it, before or after, goes on.
final class Signal: Sendable {
    private struct State {
        var isSent = false
        var nextWaiter = 0
        var waiters: [Int: CheckedContinuation<Bool, Never>] = [:]
    }
    private let state = Mutex(State())

    var isSent: Bool { state.withLock { $0.isSent } }

    func send() {
        let waiters = state.withLock { state in
            state.isSent = true
            defer { state.waiters = [:] }
            return state.waiters.values
        }
        for waiter in waiters { waiter.resume(returning: true) }
    }

    func wait() async { _ = await wait(atMost: nil) }

    /// Whether it was sent within that time; `nil` waits for ever.
    ///
    /// Cancellation does not end the wait.
    func wait(atMost limit: Duration?) async -> Bool {
        let number = state.withLock { state in
            state.nextWaiter += 1
            return state.nextWaiter
        }
        return await withCheckedContinuation { continuation in
            let isSent = state.withLock { state in
                if !state.isSent { state.waiters[number] = continuation }
                return state.isSent
            }
            if isSent { return continuation.resume(returning: true) }
            guard let limit else { return }
            Task {
                try await Task.sleep(for: limit)
                giveUp(number)
            }
        }
    }

    private func giveUp(_ number: Int) {
        state.withLock { $0.waiters.removeValue(forKey: number) }?.resume(returning: false)
    }
}
