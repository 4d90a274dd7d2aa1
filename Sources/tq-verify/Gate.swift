import Synchronization

/// Lets requests through, or holds all of them back until it is opened again.
final class Gate: Sendable {
    private struct State {
        var isOpen = true
        var inside = 0
        var waiting: [CheckedContinuation<Void, Never>] = []
        var closer: CheckedContinuation<Void, Never>?
    }

    private let state = Mutex(State())

    /// Runs a request; waits first while the gate is closed.
    func pass<Result>(_ request: () async -> Result) async -> Result {
        await enter()
        defer { leave() }
        return await request()
    }

    private func enter() async {
        while !tryToEnter() {
            await withCheckedContinuation { continuation in
                let isOpen = state.withLock { state in
                    if !state.isOpen { state.waiting.append(continuation) }
                    return state.isOpen
                }
                if isOpen { continuation.resume() }
            }
        }
    }

    private func tryToEnter() -> Bool {
        state.withLock { state in
            if state.isOpen { state.inside += 1 }
            return state.isOpen
        }
    }

    private func leave() {
        let closer = state.withLock { state in
            state.inside -= 1
            guard state.inside == 0 else { return nil as CheckedContinuation<Void, Never>? }
            defer { state.closer = nil }
            return state.closer
        }
        closer?.resume()
    }

    /// Lets nobody in from now on; returns when nobody is inside.
    ///
    /// One caller at a time.
    func close() async {
        await withCheckedContinuation { continuation in
            let isEmpty = state.withLock { state in
                state.isOpen = false
                if state.inside > 0 { state.closer = continuation }
                return state.inside == 0
            }
            if isEmpty { continuation.resume() }
        }
    }

    /// Lets everybody in again.
    func open() {
        let waiting = state.withLock { state in
            defer { state.waiting = [] }
            state.isOpen = true
            return state.waiting
        }
        for continuation in waiting { continuation.resume() }
    }
}
