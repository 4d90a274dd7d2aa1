import TQModel

/// The only source of chance in a run: the same seed gives the same throws.
struct Dice {
    private var generator: SplitMix64

    init(seed: UInt64) { generator = SplitMix64(seed: seed) }

    /// A number from 0 to below the bound.
    mutating func below(_ bound: Int) -> Int { Int(truncatingIfNeeded: generator.next() % UInt64(bound)) }

    mutating func oneIn(_ bound: Int) -> Bool { below(bound) == 0 }

    /// One of the elements, if there are any.
    mutating func pick<Elements: RandomAccessCollection>(_ elements: Elements) -> Elements.Element? {
        guard !elements.isEmpty else { return nil }
        return elements[elements.index(elements.startIndex, offsetBy: below(elements.count))]
    }

    /// One of the elements, mostly one of the last.
    mutating func pickRecent<Element>(_ elements: [Element]) -> Element? {
        pick(oneIn(4) ? elements[...] : elements.suffix(8))
    }

    mutating func next() -> UInt64 { generator.next() }
}
