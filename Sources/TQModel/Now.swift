/// The time of one decision; both clocks are inputs, so that the same commands give the same state.
public struct Now: Hashable, Sendable {
    /// Milliseconds of a clock that never goes back and stands still for nobody; its zero means nothing.
    public var monotonicMilliseconds: UInt64
    /// Milliseconds since 1970; may jump either way.
    public var wallMilliseconds: UInt64

    public init(monotonicMilliseconds: UInt64, wallMilliseconds: UInt64) {
        self.monotonicMilliseconds = monotonicMilliseconds
        self.wallMilliseconds = wallMilliseconds
    }
}
