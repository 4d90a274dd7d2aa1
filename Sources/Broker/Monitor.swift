import Glibc

/// A value behind a lock, with one condition to wait for: the classic monitor.
///
/// The standard library's `Mutex` has no condition to wait on.
final class Monitor<State>: @unchecked Sendable {
    private var state: State
    private var isWakeDue = false
    private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private let condition = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)

    init(_ state: consuming State) {
        self.state = state
        pthread_mutex_init(mutex, nil)
        var attributes = pthread_condattr_t()
        pthread_condattr_init(&attributes)
        pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
        pthread_cond_init(condition, &attributes)
        pthread_condattr_destroy(&attributes)
    }

    deinit {
        pthread_cond_destroy(condition)
        pthread_mutex_destroy(mutex)
        condition.deallocate()
        mutex.deallocate()
    }

    func withLock<Result>(_ body: (inout State) -> Result) -> Result { loop { .done(body(&$0)) } }

    /// Waits until the condition holds, then runs the body under the lock.
    func withLock<Result>(when holds: (State) -> Bool, _ body: (inout State) -> Result) -> Result {
        loop { holds($0) ? .done(body(&$0)) : .wait }
    }

    /// What a body of ``loop(_:)`` wants.
    enum Step<Result> {
        case done(Result)
        /// To run again when somebody wakes it.
        case wait
        /// To run again when somebody wakes it, or at that time in nanoseconds of the monotonic clock.
        case waitUntil(UInt64)
    }

    /// Runs the body under the lock until it is done; the lock is free while it waits.
    func loop<Result>(_ body: (inout State) -> Step<Result>) -> Result {
        pthread_mutex_lock(mutex)
        defer {
            let isWakeDue = isWakeDue
            self.isWakeDue = false
            pthread_mutex_unlock(mutex)
            if isWakeDue { wakeAll() }
        }
        while true {
            switch body(&state) {
            case .done(let result): return result
            case .wait: pthread_cond_wait(condition, mutex)
            case .waitUntil(let nanoseconds):
                var time = timespec(
                    tv_sec: Int(nanoseconds / 1_000_000_000),
                    tv_nsec: Int(nanoseconds % 1_000_000_000)
                )
                pthread_cond_timedwait(condition, mutex, &time)
            }
        }
    }

    /// Lets everybody who waits look again; call it after a change that may make a condition hold.
    func wakeAll() { pthread_cond_broadcast(condition) }

    /// Does the same when the lock is free again, for bodies: who is woken under the lock only runs into it.
    func wakeAllAfterwards() { isWakeDue = true }
}

/// A thread that runs pieces of work one after the other.
final class WorkThread: Sendable {
    private struct Queue {
        var work: [@Sendable () -> Void] = []
        var isStopping = false
        var hasStopped = false
    }

    private let queue = Monitor(Queue())

    init() {
        Self.start { [queue] in
            while true {
                let (work, isLast) = queue.withLock(when: { !$0.work.isEmpty || $0.isStopping }) { queue in
                    defer { queue.work.removeAll() }
                    return (queue.work, queue.isStopping)
                }
                for piece in work { piece() }
                if isLast { break }
            }
            queue.withLock { $0.hasStopped = true }
            queue.wakeAll()
        }
    }

    func submit(_ work: @escaping @Sendable () -> Void) {
        queue.withLock { $0.work.append(work) }
        queue.wakeAll()
    }

    /// Runs what was submitted, then ends; returns when it has ended.
    func stop() {
        queue.withLock { $0.isStopping = true }
        queue.wakeAll()
        queue.withLock(when: { $0.hasStopped }) { _ in }
    }

    /// Starts a thread of the operating system: the broker's threads block on the disk, which Swift's tasks must not.
    static func start(_ body: @escaping @Sendable () -> Void) {
        let box = Unmanaged.passRetained(ThreadBody(body))
        var thread = pthread_t()
        let code = pthread_create(
            &thread,
            nil,
            { pointer in
                guard let pointer else { return nil }
                let body = Unmanaged<ThreadBody>.fromOpaque(pointer).takeRetainedValue()
                body.run()
                return nil
            },
            box.toOpaque()
        )
        precondition(code == 0, "the system refused a thread: \(String(cString: strerror(code)))")
        pthread_detach(thread)
    }

    private final class ThreadBody: Sendable {
        let run: @Sendable () -> Void

        init(_ run: @escaping @Sendable () -> Void) { self.run = run }
    }
}
