/// The value, unless it is absent or 0, which stands for "not asked for".
public func nonZero<Number: UnsignedInteger>(_ value: Number?) -> Number? {
    guard let value, value > 0 else { return nil }
    return value
}
